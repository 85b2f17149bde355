//! windrow's own keys: entries of `customProperties` with vendor `windrow`.

use std::sync::Arc;

use crate::code::Code;
use crate::diagnostic::Place;
use crate::id::Table;
use crate::window::Grain;
use crate::yaml::{Node, Value};

use super::super::model::{
    ColumnCase, ColumnOrder, Compression, Dedupe, DedupePolicy, ExtraColumns, Input, Late, MissingColumns, OnViolation, Output,
    Reader, ReaderFormat, SortKey, Split, SplitBy, TransformKind, TransformSpec, WindowRule,
};
use super::fields::{Map, Reading};
use super::keys;

/// The value of a windrow key of an element; unknown windrow keys and ones without a vendor are reported.
pub(super) fn windrow_value<'n>(
    reading: &mut Reading,
    element: &Map<'n>,
    what: &str,
    known: &[&str],
    key: &str,
) -> Option<&'n Node> {
    windrow_values(reading, element, what, known).into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// All windrow keys of an element with their values.
pub(super) fn windrow_values<'n>(
    reading: &mut Reading,
    element: &Map<'n>,
    what: &str,
    known: &[&str],
) -> Vec<(&'n str, &'n Node)> {
    let Some(list) = element.get("customProperties") else { return Vec::new() };
    let mut found: Vec<(&str, &Node)> = Vec::new();
    for item in reading.list(list, "customProperties") {
        let Some(entry) = reading.map(item, "a custom property", keys::CUSTOM_PROPERTY) else { continue };
        let Some(name_node) = reading.require(&entry, "property", "a custom property") else { continue };
        let name = name_node.text().unwrap_or_default();
        match entry.get("vendor").and_then(Node::text) {
            Some("windrow") => {}
            None if known.contains(&name) => {
                reading.report(
                    name_node,
                    Code::ContractMissingKey,
                    format!("`{name}` lacks its vendor"),
                    "add `vendor: windrow`",
                );
                continue;
            }
            _ => continue,
        }
        if !known.contains(&name) {
            let title = format!("unknown windrow key `{name}` in {what}");
            reading.report(name_node, Code::ContractUnknownKey, title, crate::suggest::hint(name, known));
        } else if found.iter().any(|(other, _)| *other == name) {
            reading.report(name_node, Code::ContractConflict, format!("`{name}` is given twice"), "");
        } else if let Some(value) = reading.require(&entry, "value", &format!("custom property `{name}`")) {
            found.push((name, value));
        }
    }
    found
}

/// Reads `window`.
pub(super) fn window(reading: &mut Reading, node: &Node) -> Option<WindowRule> {
    let map = reading.map(node, "window", &["grain", "zone", "column"])?;
    let grain = reading.require(&map, "grain", "window")?;
    let grain = reading.word(grain, "grain", &[("hour", Grain::Hour), ("day", Grain::Day), ("month", Grain::Month)])?;
    let zone = map.get("zone").and_then(|node| super::property::zone(reading, node, "zone")).unwrap_or_else(|| "UTC".to_owned());
    let column = map.get("column").and_then(|node| reading.text(node, "column")).map(Arc::from);
    Some(WindowRule { grain, zone, column, place: node.place.clone() })
}

/// Reads `input`.
pub(super) fn input(reading: &mut Reading, node: &Node) -> Option<Input> {
    let map = reading.map(node, "input", &["path", "minFiles", "marker"])?;
    let path_node = reading.require(&map, "path", "input")?;
    let path = path_pattern(reading, path_node, "path")?;
    if !path.contains('{') {
        let help = "add {window}, or {yyyy}, {MM}, {dd}, {HH}";
        reading.report(path_node, Code::ContractValue, "path is the same for every window", help);
    }
    let min_files = map.get("minFiles").and_then(|node| reading.whole(node, "minFiles", 0, 1_000_000)).unwrap_or(1);
    let marker = map.get("marker").and_then(|node| path_pattern(reading, node, "marker"));
    Some(Input { path, min_files, marker, place: node.place.clone() })
}

fn path_pattern(reading: &mut Reading, node: &Node, what: &str) -> Option<String> {
    let path = reading.text(node, what)?;
    let bad_segment = |segment: &str| matches!(segment, "" | "." | ".." | "**");
    let problem = if path.split('/').any(bad_segment) {
        Some("must be segments joined by `/`, without `.`, `..`, `**` or a leading `/`; it is relative to {lake}/raw/".to_owned())
    } else {
        unknown_placeholder(path)
    };
    if let Some(problem) = problem {
        reading.report(node, Code::ContractValue, format!("{what} `{path}` {problem}"), "");
        return None;
    }
    Some(path.to_owned())
}

fn unknown_placeholder(path: &str) -> Option<String> {
    const KNOWN: [&str; 5] = ["yyyy", "MM", "dd", "HH", "window"];
    for part in path.split('{').skip(1) {
        match part.split_once('}') {
            Some((name, _)) if KNOWN.contains(&name) => {}
            Some((name, _)) => {
                return Some(format!(
                    "has the unknown placeholder {{{name}}}; known are {{yyyy}} {{MM}} {{dd}} {{HH}} {{window}}"
                ));
            }
            None => return Some("has a { that is not closed".to_owned()),
        }
    }
    None
}

pub(in crate::contract) const READER: &[&str] = &[
    "format",
    "compression",
    "delimiter",
    "quote",
    "header",
    "nullValues",
    "quotedNull",
    "missingColumns",
    "extraColumns",
    "columnOrder",
    "columnCase",
    "blankLines",
    "maxFieldBytes",
    "maxRowBytes",
];

/// Reads `reader`.
pub(super) fn reader(reading: &mut Reading, node: &Node) -> Option<Reader> {
    let map = reading.map(node, "reader", READER)?;
    let formats = [("csv", ReaderFormat::Csv), ("ndjson", ReaderFormat::Ndjson), ("parquet", ReaderFormat::Parquet)];
    let format = reading.require(&map, "format", "reader")?;
    let format = reading.word(format, "format", &formats)?;
    let mut reader = default_reader(format, &node.place);
    dialect(reading, &map, &mut reader);
    policies(reading, &map, &mut reader);
    if let Some(node) = map.get("maxFieldBytes") {
        reader.max_field_bytes = reading.bytes(node, "maxFieldBytes", 1, 1 << 30).unwrap_or(reader.max_field_bytes);
    }
    if let Some(node) = map.get("maxRowBytes") {
        reader.max_row_bytes = reading.bytes(node, "maxRowBytes", 1, 1 << 31).unwrap_or(reader.max_row_bytes);
    }
    if reader.max_field_bytes > reader.max_row_bytes {
        reading.report(node, Code::ContractConflict, "maxFieldBytes is greater than maxRowBytes", "");
    }
    no_foreign_keys(reading, &map, format);
    Some(reader)
}

fn default_reader(format: ReaderFormat, place: &Place) -> Reader {
    Reader {
        format,
        compression: Compression::ByExtension,
        delimiter: b',',
        quote: Some(b'"'),
        header: true,
        null_values: vec![String::new()],
        quoted_null: false,
        missing_columns: MissingColumns::Fail,
        extra_columns: ExtraColumns::Fail,
        column_order: ColumnOrder::Strict,
        column_case: ColumnCase::Strict,
        skip_blank_lines: false,
        max_field_bytes: 1 << 20,
        max_row_bytes: 16 << 20,
        place: place.clone(),
    }
}

fn dialect(reading: &mut Reading, map: &Map<'_>, reader: &mut Reader) {
    if let Some(node) = map.get("compression") {
        let words = [
            ("extension", Compression::ByExtension),
            ("none", Compression::None),
            ("gzip", Compression::Gzip),
            ("zstd", Compression::Zstd),
        ];
        reader.compression = reading.word(node, "compression", &words).unwrap_or(reader.compression);
    }
    if let Some(node) = map.get("delimiter") {
        reader.delimiter = ascii_byte(reading, node, "delimiter").unwrap_or(reader.delimiter);
    }
    if let Some(node) = map.get("quote") {
        let none = node.text() == Some("none");
        reader.quote = if none { None } else { ascii_byte(reading, node, "quote").or(reader.quote) };
    }
    if reader.quote == Some(reader.delimiter) {
        reading.report(map.node, Code::ContractConflict, "delimiter and quote are the same character", "");
    }
    if let Some(node) = map.get("header") {
        reader.header = reading.boolean(node, "header").unwrap_or(reader.header);
    }
    if let Some(node) = map.get("nullValues") {
        let items = reading.list(node, "nullValues");
        // A plain `null` or nothing in the list would be ambiguous between the word and the empty text.
        reader.null_values = items
            .iter()
            .filter_map(|item| {
                if item.is_null() {
                    reading.report(
                        item,
                        Code::ContractValue,
                        "a null token must be a text",
                        "write \"\" for the empty text, or quote the word",
                    );
                }
                item.text().filter(|_| !item.is_null()).map(str::to_owned)
            })
            .collect();
    }
    if let Some(node) = map.get("quotedNull") {
        reader.quoted_null = reading.boolean(node, "quotedNull").unwrap_or(reader.quoted_null);
    }
}

fn ascii_byte(reading: &mut Reading, node: &Node, what: &str) -> Option<u8> {
    let text = match node.text() {
        Some("\\t" | "tab") => "\t",
        Some(text) => text,
        None => "",
    };
    let byte = match text.as_bytes() {
        [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'\n' | b'\r' | 0) => Some(*byte),
        _ => None,
    };
    if byte.is_none() {
        reading.report(
            node,
            Code::ContractValue,
            format!("{what} must be one ASCII character that is no letter or digit"),
            "for a tab write \"\\t\"",
        );
    }
    byte
}

fn policies(reading: &mut Reading, map: &Map<'_>, reader: &mut Reader) {
    if let Some(node) = map.get("missingColumns") {
        let words = [("fail", MissingColumns::Fail), ("null", MissingColumns::Null)];
        reader.missing_columns = reading.word(node, "missingColumns", &words).unwrap_or(reader.missing_columns);
    }
    if let Some(node) = map.get("extraColumns") {
        let words = [("fail", ExtraColumns::Fail), ("ignore", ExtraColumns::Ignore)];
        reader.extra_columns = reading.word(node, "extraColumns", &words).unwrap_or(reader.extra_columns);
    }
    if let Some(node) = map.get("columnOrder") {
        let words = [("strict", ColumnOrder::Strict), ("any", ColumnOrder::Any)];
        reader.column_order = reading.word(node, "columnOrder", &words).unwrap_or(reader.column_order);
    }
    if let Some(node) = map.get("columnCase") {
        let words = [("strict", ColumnCase::Strict), ("ignore", ColumnCase::Ignore)];
        reader.column_case = reading.word(node, "columnCase", &words).unwrap_or(reader.column_case);
    }
    if let Some(node) = map.get("blankLines") {
        reader.skip_blank_lines = reading.word(node, "blankLines", &[("fail", false), ("skip", true)]).unwrap_or(false);
    }
}

fn no_foreign_keys(reading: &mut Reading, map: &Map<'_>, format: ReaderFormat) {
    let csv_only = ["delimiter", "quote", "header", "nullValues", "quotedNull", "columnOrder"];
    let text_only = ["compression", "blankLines", "maxFieldBytes", "maxRowBytes"];
    for (key, _) in map.entries() {
        let name = key.text().unwrap_or_default();
        let foreign = (format != ReaderFormat::Csv && csv_only.contains(&name))
            || (format == ReaderFormat::Parquet && text_only.contains(&name));
        if foreign {
            reading.report(key, Code::ContractConflict, format!("`{name}` has no meaning for {}", format.as_str()), "remove it");
        }
    }
}

/// Reads `onViolation`.
pub(super) fn on_violation(reading: &mut Reading, node: &Node) -> Option<OnViolation> {
    if let Value::Scalar { .. } = node.value {
        return reading.word(node, "onViolation", &[("fail", OnViolation::Fail)]);
    }
    let map = reading.map(node, "onViolation", &["quarantineRows"])?;
    let budget = reading.require(&map, "quarantineRows", "onViolation")?;
    let map = reading.map(budget, "quarantineRows", &["maxRows", "maxPercent"])?;
    let max_rows = reading.require(&map, "maxRows", "quarantineRows")?;
    let max_rows = reading.whole(max_rows, "maxRows", 0, u64::MAX)?;
    let percent = reading.require(&map, "maxPercent", "quarantineRows")?;
    let text = percent.text().unwrap_or_default();
    let units = super::super::literal::decimal_units(text, 7, 4).filter(|units| (0..=1_000_000).contains(units));
    let Some(units) = units else {
        reading.report(
            percent,
            Code::ContractValue,
            format!("maxPercent `{text}` must be 0 to 100 with at most 4 digits after the point"),
            "",
        );
        return None;
    };
    Some(OnViolation::QuarantineRows { max_rows, max_per_million: u64::try_from(units).unwrap_or_default() })
}

/// Reads `late`.
pub(super) fn late(reading: &mut Reading, node: &Node) -> Option<Late> {
    reading.word(node, "late", &[("rerun", Late::Rerun), ("ignore", Late::Ignore), ("fail", Late::Fail)])
}

/// Reads `dedupe`.
pub(super) fn dedupe(reading: &mut Reading, node: &Node) -> Option<Dedupe> {
    let policy = if let Value::Scalar { .. } = node.value {
        let first = reading.word(node, "dedupe", &[("fail", false), ("first", true)])?;
        if first { DedupePolicy::First } else { DedupePolicy::Fail }
    } else {
        let map = reading.map(node, "dedupe", &["lastBy"])?;
        let column = reading.require(&map, "lastBy", "dedupe")?;
        DedupePolicy::LastBy(reading.text(column, "lastBy")?.into())
    };
    Some(Dedupe { policy, place: node.place.clone() })
}

/// Reads `sort`.
pub(super) fn sort(reading: &mut Reading, node: &Node) -> Vec<SortKey> {
    let texts = reading.texts(node, "sort");
    texts
        .into_iter()
        .map(|text| match text.rsplit_once(' ') {
            Some((column, "desc")) => SortKey { column: column.trim().into(), descending: true },
            Some((column, "asc")) => SortKey { column: column.trim().into(), descending: false },
            _ => SortKey { column: text.into(), descending: false },
        })
        .collect()
}

/// Reads `split`: `store_id`, `day(at)`, `month(order_date)`, `year(order_date)`.
pub(super) fn split(reading: &mut Reading, node: &Node) -> Option<Split> {
    let text = reading.text(node, "split")?.trim().to_owned();
    let of = |column: &str, by| Some(Split { column: column.trim().into(), by, place: node.place.clone() });
    let Some((function, rest)) = text.split_once('(') else { return of(&text, SplitBy::Value) };
    let known = [("day", SplitBy::Day), ("month", SplitBy::Month), ("year", SplitBy::Year)];
    let by = known.iter().find(|(name, _)| *name == function.trim());
    if let (Some((_, by)), Some(column)) = (by, rest.strip_suffix(')')) {
        return of(column, *by);
    }
    let title = format!("`{text}` is no split");
    reading.report(node, Code::ContractValue, title, "write a column, or day(column), month(column) or year(column)");
    None
}

/// Reads `output`.
pub(super) fn output(reading: &mut Reading, node: &Node) -> Option<Output> {
    let map = reading.map(node, "output", &["targetFileSize", "rowGroupRows", "zstdLevel"])?;
    let mut output = Output::default();
    if let Some(node) = map.get("targetFileSize") {
        output.target_file_bytes = reading.bytes(node, "targetFileSize", 1 << 10, 2 << 30)?;
    }
    if let Some(node) = map.get("rowGroupRows") {
        output.row_group_rows = reading.whole(node, "rowGroupRows", 1_000, 100_000_000)?;
    }
    if let Some(node) = map.get("zstdLevel") {
        output.zstd_level = u8::try_from(reading.whole(node, "zstdLevel", 1, 22)?).unwrap_or(1);
    }
    Some(output)
}

/// Reads `transform`.
pub(super) fn transform(reading: &mut Reading, node: &Node) -> Option<TransformSpec> {
    let map = reading.map(node, "transform", &["sql", "rust", "inputs"])?;
    let kind = match (map.get("sql"), map.get("rust")) {
        (Some(sql), None) => TransformKind::Sql(sql_file(reading, sql)?),
        (None, Some(rust)) => TransformKind::Rust(reading.text(rust, "rust")?.to_owned()),
        _ => {
            reading.report(node, Code::ContractConflict, "transform needs either `sql` or `rust`", "");
            return None;
        }
    };
    let inputs_node = reading.require(&map, "inputs", "transform")?;
    let mut inputs: Vec<Table> = Vec::new();
    for item in reading.list(inputs_node, "inputs") {
        match item.text().unwrap_or_default().parse::<Table>() {
            Ok(table) if table.layer == crate::id::Layer::Raw => {
                reading.report(item, Code::ContractConflict, format!("`{table}` cannot be read by SQL"), "read its clean table");
            }
            Ok(table) if inputs.contains(&table) => {
                reading.report(item, Code::ContractConflict, format!("`{table}` is named twice"), "")
            }
            Ok(table) => inputs.push(table),
            Err(error) => reading.report(item, Code::ContractValue, error.message().to_owned(), "write clean.orders"),
        }
    }
    Some(TransformSpec { kind, inputs, place: node.place.clone() })
}

fn sql_file(reading: &mut Reading, node: &Node) -> Option<String> {
    let path = reading.text(node, "sql")?;
    let bad = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
    if !path.ends_with(".sql") || path.split('/').any(bad) {
        reading.report(node, Code::ContractValue, format!("`{path}` is not the path of a .sql file below the SQL folder"), "");
        return None;
    }
    Some(path.to_owned())
}
