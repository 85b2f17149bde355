//! A verb's JSON result in the two forms that Step Functions takes: output of a success, error and cause of a failure.

use serde_json::{Map, Value, json};

/// The longest error name, in characters.
const MAX_ERROR: usize = 256;
/// The longest cause: half of the 32,768 characters the API takes, so that the failures of fifteen tables fit into the
/// 262,144 bytes of one state. The API counts characters; bytes of UTF-8 are at least as many, whichever characters it means.
const MAX_CAUSE_BYTES: usize = 16_384;
/// The longest output, in bytes of UTF-8: half of what the API takes, because it is added to the state's input.
const MAX_OUTPUT_BYTES: usize = 131_072;

/// The texts of a cause and how many bytes each may take as JSON; together they leave room for findings.
const TEXTS: [(&str, usize); 8] = [
    ("alert", 2_000),
    ("kind", 100),
    ("message", 3_000),
    ("help", 1_500),
    ("dataset", 300),
    ("layer", 100),
    ("window", 100),
    ("run_id", 300),
];
/// The same for the place of the evidence.
const MAX_EVIDENCE_BYTES: usize = 2_000;
/// The same for one text of a finding.
const MAX_FINDING_BYTES: usize = 1_500;
/// What a finding keeps.
const OF_FINDING: [&str; 7] = ["code", "file", "line", "column", "found", "expected", "contract"];
/// What an output keeps, however long it is.
const OF_RESULT: [&str; 8] = ["schema", "verb", "dataset", "layer", "window", "run_id", "status", "exit_code"];

/// A failure as `SendTaskFailure` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// The name that `Retry` and `Catch` match on: `Windrow.SchemaMismatch`. Never over 256 characters.
    pub error: String,
    /// One line of JSON with `alert`, message, help, identity of the run, evidence and findings. Never over 16,384 bytes.
    pub cause: String,
}

/// Says a failed result in the form and within the limits of `SendTaskFailure`; findings that do not fit are left out,
/// the last ones first.
///
/// ```
/// use serde_json::json;
/// let result = json!({"status": "failed", "alert": "orders not published", "error": {"error": "Windrow.Transient"}});
/// let failure = windrow_aws::task_failure(&result);
/// assert_eq!(failure.error, "Windrow.Transient");
/// assert!(failure.cause.starts_with(r#"{"alert":"orders not published""#));
/// ```
pub fn task_failure(result: &Value) -> TaskFailure {
    let error = &result["error"];
    let name = error["error"].as_str().unwrap_or("Windrow.Internal");
    let mut cause = Map::new();
    for (key, most) in TEXTS {
        let text = [result, error].into_iter().find_map(|from| from[key].as_str());
        let text = text.or((key == "alert").then_some("a windrow job failed"));
        cause.insert(key.to_owned(), text.map_or(Value::Null, |text| cut(text, most).into()));
    }
    if error["rows"].is_object() {
        cause.insert(
            "rows".to_owned(),
            json!({"read": error["rows"]["read"].as_u64(), "refused": error["rows"]["refused"].as_u64()}),
        );
    }
    let evidence = error["context"]["evidence"].as_str().map(|place| cut(place, MAX_EVIDENCE_BYTES));
    cause.insert("evidence".to_owned(), evidence.into());
    let findings = fitting(
        error["findings"].as_array().map_or(&[][..], Vec::as_slice),
        MAX_CAUSE_BYTES - encoded(&Value::Object(cause.clone())),
    );
    cause.insert("findings".to_owned(), findings.into());
    TaskFailure { error: name.chars().take(MAX_ERROR).collect(), cause: Value::Object(cause).to_string() }
}

/// Says a result in the form and within the limit of `SendTaskSuccess`, as [`output_within`] does.
pub fn task_output(result: &Value) -> String {
    output_within(result, MAX_OUTPUT_BYTES)
}

/// Says a result in at most so many bytes: the longest fields are left out until it fits, and `left_out` names them.
pub fn output_within(result: &Value, most: usize) -> String {
    let text = result.to_string();
    let Some(fields) = result.as_object().filter(|_| text.len() > most) else {
        // A text or number of that length is no result of ours.
        return if text.len() > most { "{}".to_owned() } else { text };
    };
    let mut sizes: Vec<(usize, &String)> = fields.iter().map(|(key, value)| (encoded(value), key)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let (mut kept, mut left_out) = (fields.clone(), Vec::new());
    for (_, key) in sizes.into_iter().filter(|(_, key)| !OF_RESULT.contains(&key.as_str())) {
        kept.remove(key);
        left_out.push(cut(key, 100));
        kept.insert("left_out".to_owned(), left_out.clone().into());
        let text = Value::Object(kept.clone()).to_string();
        if text.len() <= most {
            return text;
        }
    }
    "{}".to_owned()
}

/// The first findings, as many as fit into this many bytes with their key.
fn fitting(findings: &[Value], room: usize) -> Vec<Value> {
    let mut left = room.saturating_sub(r#","findings":[]"#.len());
    let mut kept = Vec::new();
    for finding in findings.iter().map(slim) {
        let size = encoded(&finding) + 1;
        if size > left {
            break;
        }
        left -= size;
        kept.push(finding);
    }
    kept
}

fn slim(finding: &Value) -> Value {
    let keep = |key: &&str| -> (String, Value) {
        let value = match &finding[*key] {
            Value::String(text) => cut(text, MAX_FINDING_BYTES).into(),
            Value::Number(number) => number.clone().into(),
            _ => Value::Null,
        };
        ((*key).to_owned(), value)
    };
    Value::Object(OF_FINDING.iter().map(keep).collect())
}

/// How many bytes a value takes as JSON.
fn encoded(value: &Value) -> usize {
    value.to_string().len()
}

/// The start of a text that takes at most so many bytes as a JSON text with its quotes; whole characters, and `…` for the
/// rest.
fn cut(text: &str, most: usize) -> String {
    let size = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c.is_control() && c.is_ascii() => 6,
        c => c.len_utf8(),
    };
    let room = most.saturating_sub(2);
    if text.chars().map(size).sum::<usize>() <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub('…'.len_utf8());
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            let fits = size(*c) <= left;
            left = left.saturating_sub(size(*c));
            fits
        })
        .collect();
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A character of any length in UTF-8 and in JSON, many times.
    fn hostile() -> impl Strategy<Value = String> {
        let character = prop_oneof![
            Just('x'),
            Just('"'),
            Just('\\'),
            Just('\n'),
            Just('\0'),
            Just('\u{7f}'),
            Just('é'),
            Just('…'),
            Just('🦀'),
            any::<char>()
        ];
        (character, 0..50_000_usize).prop_map(|(character, times)| std::iter::repeat_n(character, times).collect())
    }

    fn finding() -> impl Strategy<Value = Value> {
        (hostile(), any::<u64>(), hostile()).prop_map(|(text, line, found)| {
            json!({"code": "W0201", "file": text, "line": line, "column": line, "found": found, "expected": text, "contract": null, "notes": [text]})
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_cause_of_any_result_fits_and_has_an_alert(
            (alert, message, help) in (hostile(), hostile(), hostile()),
            (evidence, name) in (hostile(), hostile()),
            findings in proptest::collection::vec(finding(), 0..24),
        ) {
            let result = json!({
                "alert": alert, "dataset": message, "layer": help, "window": alert, "run_id": message,
                "error": {
                    "error": name, "kind": name, "message": message, "help": help, "findings": findings,
                    "context": {"evidence": evidence}, "rows": {"read": u64::MAX, "refused": message},
                },
            });
            let failure = task_failure(&result);
            prop_assert!(failure.cause.len() <= MAX_CAUSE_BYTES && failure.error.chars().count() <= MAX_ERROR);
            let cause: Value = serde_json::from_str(&failure.cause).unwrap();
            prop_assert!(cause["alert"].is_string() && !failure.cause.contains('\n'));
            prop_assert!(findings.is_empty() || !cause["findings"].as_array().unwrap().is_empty(), "the first finding always fits");
            let shown = cause["alert"].as_str().unwrap();
            prop_assert!(alert == shown || alert.starts_with(shown.strip_suffix('…').unwrap()));
        }

        #[test]
        fn the_output_of_any_result_fits_and_keeps_its_status(
            (long, longer) in (hostile(), hostile()),
            many in 0..40_usize,
        ) {
            let result = json!({"schema": 1, "status": "staged", "exit_code": 0, "files": vec![&long; many], "steps": vec![&longer; many]});
            let text = task_output(&result);
            prop_assert!(text.len() <= MAX_OUTPUT_BYTES);
            let output: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&output["status"], "staged");
            prop_assert!(output == result || output["left_out"].is_array());
        }
    }

    #[test]
    fn findings_are_left_out_from_the_end_only() {
        let findings: Vec<Value> =
            (0..1_000).map(|line| json!({"code": "W0201", "file": "raw/a.csv", "line": line, "column": 7})).collect();
        let result = json!({"alert": "a", "error": {"error": "Windrow.SchemaMismatch", "findings": findings}});
        let failure = task_failure(&result);
        let cause: Value = serde_json::from_str(&failure.cause).unwrap();
        let kept = cause["findings"].as_array().unwrap();
        assert!(
            kept.len() < 1_000 && failure.cause.len() > MAX_CAUSE_BYTES - 200,
            "{} findings, {} bytes",
            kept.len(),
            failure.cause.len()
        );
        assert!(kept.iter().zip(0..).all(|(finding, line)| finding["line"] == line));
        assert_eq!((&cause["evidence"], &cause["rows"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn what_is_no_result_of_a_verb_still_makes_a_failure_and_an_output() {
        let failure = task_failure(&json!("x".repeat(300_000)));
        assert_eq!(failure.error, "Windrow.Internal");
        assert!(failure.cause.contains(r#""alert":"a windrow job failed""#), "{}", failure.cause);
        assert_eq!(task_output(&json!("x".repeat(300_000))), "{}");
    }
}
