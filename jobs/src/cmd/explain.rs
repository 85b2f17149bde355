//! `windrow explain CODE`: what a finding's code means and what to do about it.

use serde_json::json;
use windrow_core::{Code, Error, ErrorKind, Result, suggest};

use crate::cli::Common;
use crate::report::{RESULT_SCHEMA, Reporter};

/// Arguments of `windrow explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The code, such as W0201; none lists all
    code: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Prints the explanation of a code, or all codes with their titles.
///
/// # Errors
/// `Usage` for an unknown code.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let wanted = args.code.as_deref().map(str::to_uppercase);
    let codes: Vec<Code> =
        Code::ALL.iter().copied().filter(|code| wanted.as_deref().is_none_or(|wanted| wanted == code.as_str())).collect();
    if let (Some(wanted), true) = (&wanted, codes.is_empty()) {
        let all: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let hint = suggest::nearest(wanted, all)
            .map_or_else(|| "`windrow explain` lists all".to_owned(), |near| format!("did you mean {near}?"));
        return Err(Error::new(ErrorKind::Usage, format!("no finding has the code `{}`", wanted.escape_debug())).help(hint));
    }
    let text = match (codes.as_slice(), &wanted) {
        ([code], Some(_)) => format!(
            "{code}: {}\n\n{}\n\nKind: {} (exit {}). {}.",
            code.title(),
            code.explanation(),
            code.kind(),
            code.kind().exit_code(),
            code.kind().next_step()
        ),
        _ => codes.iter().map(|code| format!("{code}  {}", code.title())).collect::<Vec<_>>().join("\n"),
    };
    let list: Vec<_> = codes
        .iter()
        .map(|code| json!({"code": code.as_str(), "title": code.title(), "explanation": code.explanation(), "kind": code.kind().name(), "exit_code": code.kind().exit_code()}))
        .collect();
    reporter.result(&json!({"schema": RESULT_SCHEMA, "verb": "explain", "codes": list}), &text)?;
    Ok(0)
}
