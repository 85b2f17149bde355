//! Every way a raw file can be wrong, through the real binary: kind, exit code, place and message, and nothing visible.

use crate::parquet_files;
use crate::support::{Project, files, findings, gzip, rows};
use crate::tiny::{HEADER, PARTITION, ROW, Tiny, raw_file, run};

/// One raw file, and what it is called in the snapshot.
struct Case {
    name: &'static str,
    file: &'static str,
    bytes: Vec<u8>,
}

fn case(name: &'static str, file: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name, file, bytes: bytes.into() }
}

/// A CSV file with one sound row, then the given lines.
fn lines(name: &'static str, lines: &str) -> Case {
    case(name, "t.csv", format!("{HEADER}{ROW}{lines}"))
}

/// Runs every case on a project of its own and says what became of it.
fn outcomes(tiny: &Tiny, cases: Vec<Case>) -> String {
    cases.into_iter().map(|case| outcome(tiny, &case)).collect()
}

fn outcome(tiny: &Tiny, case: &Case) -> String {
    let project = tiny.project();
    project.write(&raw_file(case.file), &case.bytes);
    format!("{} ({})\n{}", case.name, case.file, after_run(&project))
}

/// What a run says, with the two facts that must always hold: raw untouched, and nothing visible after a failure.
fn after_run(project: &Project) -> String {
    let raw = project.tree("lake/raw");
    let out = run(project);
    assert_eq!(project.tree("lake/raw"), raw);
    let result = out.json();
    assert_eq!(result["exit_code"], out.code);
    if out.code == 0 {
        let rows = project.view("clean/t", PARTITION).unwrap();
        assert_eq!(result["counts"]["rows"], rows.len());
        return format!("  ok\n{}", rows.iter().map(|row| format!("  {row}\n")).collect::<String>());
    }
    project.assert_nothing_visible();
    let error = &result["error"];
    assert_eq!(error["exit_code"], out.code);
    assert_eq!(error["error"], format!("Windrow.{}", error["kind"].as_str().unwrap()));
    let message = error["message"].as_str().unwrap();
    format!("  exit {} {}: {message}\n{}", out.code, error["kind"].as_str().unwrap(), findings(error))
}

fn assert_outcomes(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.add_filter("[0-9]{20}-[0-9a-f]{32}", "[attempt]");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn a_sound_window_is_published_so_the_cases_can_fail() {
    let text = outcome(&Tiny::default(), &lines("sound", ""));
    assert!(text.contains("  ok\n") && text.contains("price: 1.50"), "{text}");
}

#[test]
fn rows_of_the_wrong_shape() {
    let text = outcomes(
        &Tiny::default(),
        vec![
            lines("short row", "2,1.50,2024-01-02\n"),
            lines("long row", "2,1.50,2024-01-02,2024-01-02T03:04:05,one,0.5,true,extra\n"),
            lines("blank line", &format!("\n{ROW}")),
            lines("blank last line", "\n"),
            lines("unterminated quote", "2,1.50,2024-01-02,2024-01-02T03:04:05,\"one,0.5,true\n"),
            lines("quote in the middle of a field", "2,1.50,2024-01-02,2024-01-02T03:04:05,o\"ne,0.5,true\n"),
            lines("text after a closing quote", "2,1.50,2024-01-02,2024-01-02T03:04:05,\"one\"s,0.5,true\n"),
            lines("lone carriage return", "2,1.50,2024-01-02,2024-01-02T03:04:05,one\rtwo,0.5,true\n"),
        ],
    );
    assert_outcomes("csv_rows", &text);
}

#[test]
fn values_of_the_wrong_type() {
    let text = outcomes(
        &Tiny::default(),
        vec![
            lines("text in an integer", "two,1.50,2024-01-02,2024-01-02T03:04:05,one,0.5,true\n"),
            lines("white space around an integer", " 2,1.50,2024-01-02,2024-01-02T03:04:05,one,0.5,true\n"),
            lines("integer overflow", "2147483648,1.50,2024-01-02,2024-01-02T03:04:05,one,0.5,true\n"),
            lines("decimal comma", "2,\"1,50\",2024-01-02,2024-01-02T03:04:05,one,0.5,true\n"),
            lines("decimal with too many digits after the point", "2,1.505,2024-01-02,2024-01-02T03:04:05,one,0.5,true\n"),
            lines("decimal with too many digits before the point", "2,12345678.00,2024-01-02,2024-01-02T03:04:05,one,0.5,true\n"),
            lines("impossible date", "2,1.50,2023-02-29,2024-01-02T03:04:05,one,0.5,true\n"),
            lines("wrong date pattern", "2,1.50,02.01.2024,2024-01-02T03:04:05,one,0.5,true\n"),
            lines("impossible time", "2,1.50,2024-01-02,2024-01-02T24:00:00,one,0.5,true\n"),
            lines("wrong time pattern", "2,1.50,2024-01-02,2024-01-02 03:04:05,one,0.5,true\n"),
            lines("digits finer than the pattern", "2,1.50,2024-01-02,2024-01-02T03:04:05.5,one,0.5,true\n"),
            lines("NaN", "2,1.50,2024-01-02,2024-01-02T03:04:05,one,NaN,true\n"),
            lines("infinity", "2,1.50,2024-01-02,2024-01-02T03:04:05,one,-inf,true\n"),
            lines("number over the largest float", "2,1.50,2024-01-02,2024-01-02T03:04:05,one,1e999,true\n"),
            lines("boolean in another spelling", "2,1.50,2024-01-02,2024-01-02T03:04:05,one,0.5,TRUE\n"),
            lines("several in one row", "two,free,today,now,one,half,maybe\n"),
        ],
    );
    assert_outcomes("csv_values", &text);
}

#[test]
fn empty_and_null_are_told_apart() {
    let text = outcomes(
        &Tiny::default(),
        vec![
            lines("empty fields are null", "2,,,,,,\n"),
            lines("null tokens are null", "2,NA,NA,NA,NA,NA,NA\n"),
            lines("quoted empty is an empty text", "2,,,,\"\",,\n"),
            lines("quoted null token is a text", "2,,,,\"NA\",,\n"),
            lines("quoted empty is no decimal", "2,\"\",,,,,\n"),
            lines("quoted null token is no date", "2,,\"NA\",,,,\n"),
            lines("another null token", "2,NULL,,,,,\n"),
            lines("null in a required column", ",,,,,,\n"),
        ],
    );
    assert_outcomes("csv_nulls", &text);
}

#[test]
fn damaged_bytes() {
    let mut latin = format!("{HEADER}{ROW}2,,,,caf").into_bytes();
    latin.extend(b"\xe9,,\n");
    let text = outcomes(
        &Tiny::default(),
        vec![
            case("invalid UTF-8", "t.csv", latin),
            lines("NUL byte", "2,,,,o\0e,,\n"),
            case("UTF-16", "t.csv", format!("{HEADER}{ROW}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
        ],
    );
    assert_outcomes("csv_bytes", &text);
}

#[test]
fn compressed_files() {
    let plain = format!("{HEADER}{}", ROW.repeat(2000));
    let packed = gzip(plain.as_bytes());
    let mut bad_crc = packed.clone();
    let crc = bad_crc.len() - 8;
    bad_crc[crc] ^= 1;
    let zstd = zstd::encode_all(plain.as_bytes(), 1).unwrap();
    let text = outcomes(
        &Tiny::default(),
        vec![
            case("gzip", "t.csv.gz", gzip(format!("{HEADER}{ROW}").as_bytes())),
            case("gzip of two members", "t.csv.gz", [gzip(HEADER.as_bytes()), gzip(ROW.as_bytes())].concat()),
            case("truncated gzip", "t.csv.gz", &packed[..packed.len() / 2]),
            case("gzip without its last byte", "t.csv.gz", &packed[..packed.len() - 1]),
            case("trailing garbage after gzip", "t.csv.gz", [packed.as_slice(), b"garbage"].concat()),
            case("bad gzip CRC", "t.csv.gz", bad_crc),
            case("zstd", "t.csv.zst", zstd::encode_all(format!("{HEADER}{ROW}").as_bytes(), 1).unwrap()),
            case("truncated zstd", "t.csv.zst", &zstd[..zstd.len() - 2]),
            case("gzip content under .csv", "t.csv", packed.clone()),
            case("plain content under .csv.gz", "t.csv.gz", plain.clone()),
            case("wrong extension", "t.txt", plain.clone()),
            case("another packing", "t.csv.bz2", plain.clone()),
        ],
    );
    assert_outcomes("compressed", &text);
}

#[test]
fn headers_and_line_ends() {
    let text = outcomes(
        &Tiny::default(),
        vec![
            case("empty file", "t.csv", ""),
            case("only a line end", "t.csv", "\n"),
            case("no header", "t.csv", ROW),
            case("missing column", "t.csv", "n,price,day,at,name,ratio\n1,,,,,\n"),
            case("extra column", "t.csv", "n,price,day,at,name,ratio,ok,more\n1,,,,,,,\n"),
            case("misspelt column", "t.csv", "n,price,day,at,nmae,ratio,ok\n1,,,,,,\n"),
            case("duplicate column", "t.csv", "n,price,day,at,name,ratio,ok,name\n1,,,,,,,\n"),
            case("reordered columns", "t.csv", "n,day,price,at,name,ratio,ok\n1,,,,,,\n"),
            case("column in another case", "t.csv", "n,price,day,at,Name,ratio,ok\n1,,,,,,\n"),
            case("header only", "t.csv", HEADER),
            case("no newline at the end", "t.csv", format!("{HEADER}{}", ROW.trim_end())),
            case("CRLF", "t.csv", format!("{HEADER}{ROW}").replace('\n', "\r\n")),
            case("byte order mark", "t.csv", format!("\u{feff}{HEADER}{ROW}")),
        ],
    );
    assert_outcomes("csv_headers", &text);
}

#[test]
fn a_header_alone_is_zero_rows_where_the_gate_allows_none() {
    let tiny = Tiny { row_count: "mustBeGreaterOrEqualTo: 0", ..Tiny::default() };
    let text = outcome(&tiny, &case("header only", "t.csv", HEADER));
    assert_eq!(text, "header only (t.csv)\n  ok\n");
}

#[test]
fn one_column_files() {
    let tiny = Tiny { columns: "      - {name: name, logicalType: string}", ..Tiny::default() };
    let text = outcomes(
        &tiny,
        vec![
            case("one column", "t.csv", "name\none\ntwo\n"),
            case("a quoted empty field", "t.csv", "name\none\n\"\"\n"),
            case("a blank line", "t.csv", "name\none\n\ntwo\n"),
            case("a delimiter", "t.csv", "name\none\ntwo,three\n"),
        ],
    );
    assert_outcomes("csv_one_column", &text);
}

#[test]
fn a_field_of_20_megabytes_is_refused_by_the_named_limit() {
    let field = "x".repeat(20_000_000);
    let wide = Tiny::of_format("{format: csv, maxFieldBytes: 64MiB, maxRowBytes: 64MiB}");
    let text = [
        outcome(&Tiny::default(), &lines("over maxFieldBytes", &format!("2,,,,{field},,\n"))),
        outcome(&Tiny::default(), &lines("quoted, over maxFieldBytes", &format!("2,,,,\"{field}\",,\n"))),
    ];
    assert_outcomes("csv_limits", &text.concat());
    let allowed = outcome(&wide, &lines("within a raised limit", &format!("2,,,,{field},,\n")));
    assert!(allowed.contains("  ok\n") && allowed.contains(&field), "{}", &allowed[..500]);
}

#[test]
fn ndjson_files() {
    let sound = r#"{"n":1,"price":1.50,"day":"2024-01-02","at":"2024-01-02T03:04:05","name":"one","ratio":0.5,"ok":true}"#;
    let line = |name, line: &str| case(name, "t.ndjson", format!("{sound}\n{line}\n"));
    let text = outcomes(
        &Tiny::of_format("{format: ndjson, missingColumns: \"null\"}"),
        vec![
            line("keys in another order, one left out", r#"{"name":"two","n":2}"#),
            line("a decimal that no float holds", r#"{"n":2,"price":9007199.91}"#),
            line("a decimal with too many digits", r#"{"n":2,"price":0.105}"#),
            line("bad JSON", r#"{"n":2,"#),
            line("no object", "[2]"),
            line("duplicate key", r#"{"n":2,"name":"a","name":"b"}"#),
            line("undeclared key", r#"{"n":2,"more":1}"#),
            line("text for an integer", r#"{"n":"2"}"#),
            line("number for a text", r#"{"n":2,"name":2}"#),
            line("fraction for an integer", r#"{"n":2.5}"#),
            line("object for a number", r#"{"n":2,"price":{}}"#),
            line("integer overflow", r#"{"n":2147483648}"#),
            line("null in a required column", r#"{"n":null}"#),
            line("a required key left out", r#"{"name":"two"}"#),
            line("impossible date", r#"{"n":2,"day":"2024-02-30"}"#),
            line("blank line", ""),
            case("CSV under .ndjson", "t.ndjson", format!("{HEADER}{ROW}")),
            case("truncated gzip", "t.ndjson.gz", &gzip(sound.as_bytes())[..40]),
        ],
    );
    assert_outcomes("ndjson", &text);
}

#[test]
fn parquet_input_files() {
    let sound = parquet_files::sound();
    let mut flipped = sound.clone();
    let middle = flipped.len() / 4;
    flipped[middle..middle + 16].fill(0xff);
    let text = outcomes(
        &Tiny { columns: parquet_files::COLUMNS, ..Tiny::of_format("{format: parquet}") },
        vec![
            case("sound", "t.parquet", sound.clone()),
            case("cut off", "t.parquet", &sound[..sound.len() - 10]),
            case("text under .parquet", "t.parquet", "n,name\n1,one\n"),
            case("wider integer", "t.parquet", parquet_files::wide_integer()),
            case("float for a decimal", "t.parquet", parquet_files::float_price()),
            case("missing column", "t.parquet", parquet_files::without_name()),
            case("null in a required column", "t.parquet", parquet_files::null_key()),
        ],
    );
    assert_outcomes("parquet", &text);
    let tiny = Tiny { columns: parquet_files::COLUMNS, ..Tiny::of_format("{format: parquet}") };
    let damaged = outcome(&tiny, &case("damaged page", "t.parquet", flipped));
    assert!(damaged.contains("exit 65 CorruptInput") && damaged.contains("  W0510 lake/raw/t/2024-01-02/t.parquet"), "{damaged}");
}

#[test]
fn violations_of_all_files_of_a_window_are_reported_and_counted_in_full() {
    let project = Tiny::default().project();
    let wrong = |count: usize| format!("{HEADER}{ROW}{}", "two,,,,,,\n".repeat(count));
    project.write(&raw_file("a.csv"), wrong(10_010));
    project.write(&raw_file("b.csv"), format!("{}3,,,,,maybe,\n", wrong(3)));
    project.write(&raw_file("c.csv"), format!("{HEADER}{ROW}"));
    let text = after_run(&project);
    assert_outcomes("two_files", &text);
    let evidence = evidence(&project);
    assert_eq!(evidence["details"]["violations"], 10_014);
    assert_eq!(evidence["details"]["rejected_rows"], 10_014);
    assert_eq!(evidence["details"]["rows_in"], 10_017);
    assert_eq!(rejects(&project).len(), 10_000, "listed up to the bound");
}

#[test]
fn quarantined_rows_within_the_budget_are_put_aside_and_add_up() {
    let tiny = Tiny { on_violation: "{quarantineRows: {maxRows: 2, maxPercent: 40}}", ..Tiny::default() };
    let project = tiny.project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{}two,x,,,,,\n3,\n", ROW.repeat(4)));
    let result = run(&project).expect(0).json();
    let table = &result["windows"][0]["tables"][0];
    assert_eq!((&table["rows_in"], &table["rows_out"], &table["rows_rejected"]), (&6.into(), &4.into(), &2.into()));
    assert_eq!(project.view("clean/t", PARTITION).unwrap().len(), 4);
    let rows: Vec<String> = rejects(&project);
    assert_outcomes("rejects", &rows.join("\n"));
    let staged = project.documents("staged").into_values().next().unwrap();
    assert_eq!(staged["rows"], serde_json::json!({"in": 6, "out": 4, "rejected": 2}));
}

#[test]
fn quarantined_rows_beyond_either_budget_fail_the_window() {
    for budget in ["{quarantineRows: {maxRows: 1, maxPercent: 100}}", "{quarantineRows: {maxRows: 100, maxPercent: 30}}"] {
        let project = Tiny { on_violation: budget, ..Tiny::default() }.project();
        project.write(&raw_file("t.csv"), format!("{HEADER}{}two,x,,,,,\n3,\n", ROW.repeat(4)));
        run(&project).expect(65);
        project.assert_nothing_visible();
        assert_eq!(evidence(&project)["details"]["rejected_rows"], 2);
        assert_eq!(rejects(&project).len(), 3);
    }
}

#[test]
fn a_budget_ends_where_rejects_can_no_longer_be_listed() {
    let tiny = Tiny { on_violation: "{quarantineRows: {maxRows: 50000, maxPercent: 100}}", ..Tiny::default() };
    for (wrong, code) in [(10_000, 0), (10_001, 65)] {
        let project = tiny.project();
        project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}{}", "two,,,,,,\n".repeat(wrong)));
        run(&project).expect(code);
        assert_eq!(rejects(&project).len(), 10_000);
    }
}

#[test]
fn damage_is_never_within_a_budget() {
    let tiny = Tiny { on_violation: "{quarantineRows: {maxRows: 100, maxPercent: 100}}", ..Tiny::default() };
    for damage in ["2,,,,\"open,,\n", "2,,,,o\0e,,\n"] {
        let project = tiny.project();
        project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}{damage}"));
        run(&project).expect(65);
        project.assert_nothing_visible();
    }
}

fn quarantine_file(project: &Project, name: &str) -> Vec<u8> {
    let found: Vec<_> = files(&project.path("lake/quarantine")).into_iter().filter(|(key, _)| key.ends_with(name)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    std::fs::read(&found[0].1).unwrap()
}

fn evidence(project: &Project) -> serde_json::Value {
    serde_json::from_slice(&quarantine_file(project, "evidence.json")).unwrap()
}

fn rejects(project: &Project) -> Vec<String> {
    rows(&quarantine_file(project, "rejects.parquet"))
}
