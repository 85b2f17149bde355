//! Contracts: what is read, and what is refused with which words at which place.

use windrow_core::contract::{self, DataType, DedupePolicy, OnViolation, SplitBy};

const RAW: &str = r#"apiVersion: v3.2.0
kind: DataContract
id: orders-raw
version: 1.0.0
status: active
schema:
  - name: orders
    customProperties:
      - {property: layer, vendor: windrow, value: raw}
      - {property: window, vendor: windrow, value: {grain: day}}
      - {property: input, vendor: windrow, value: {path: "orders/{window}/*.csv"}}
      - {property: reader, vendor: windrow, value: {format: csv, nullValues: ["", NA]}}
    properties:
      - {name: id, logicalType: string, logicalTypeOptions: {format: uuid}, required: true}
      - {name: paid, logicalType: number, physicalType: "DECIMAL(15,2)", logicalTypeOptions: {minimum: 0}}
      - {name: n, logicalType: integer, logicalTypeOptions: {format: i32, maximum: 10}}
      - {name: at, logicalType: timestamp, physicalType: TIMESTAMP(3), logicalTypeOptions: {timezone: true}}
"#;

const CLEAN: &str = r#"apiVersion: v3.2.0
kind: DataContract
id: orders-clean
version: 1.0.0
status: active
schema:
  - name: orders
    customProperties:
      - {property: layer, vendor: windrow, value: clean}
      - {property: window, vendor: windrow, value: {grain: day, zone: America/New_York, column: at}}
      - {property: dedupe, vendor: windrow, value: {lastBy: at}}
      - {property: sort, vendor: windrow, value: [id, "at desc"]}
      - {property: onViolation, vendor: windrow, value: {quarantineRows: {maxRows: 10, maxPercent: 0.5}}}
    quality:
      - {id: rows, metric: rowCount, mustBeGreaterThan: 0}
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true}
      - {name: at, logicalType: timestamp, physicalType: TIMESTAMP(3), logicalTypeOptions: {timezone: true}, required: true}
      - {name: cents, logicalType: integer, logicalTypeOptions: {format: i64}, transformLogic: CAST(paid * 100 AS BIGINT)}
      - {name: day, logicalType: date, partitioned: true, partitionKeyPosition: 1}
"#;

fn findings(file: &str, text: &str) -> String {
    match contract::read(file, text) {
        Ok(_) => "accepted".to_owned(),
        Err(findings) => findings
            .iter()
            .map(|f| format!("{}{}", f.one_line(), f.help.as_deref().map(|h| format!(" [{h}]")).unwrap_or_default()))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn a_raw_contract_is_read_exactly() {
    let contract = contract::read("schemas/orders.raw.odcs.yaml", RAW).unwrap();
    assert_eq!(contract.table.to_string(), "raw.orders");
    let types: Vec<String> = contract.properties.iter().map(|p| p.data_type.describe()).collect();
    assert_eq!(
        types,
        ["string (uuid)", "decimal(15,2)", "integer (i32)", "timestamp (yyyy-MM-dd'T'HH:mm:ss[.SSSSSSSSS]XXX, ms, UTC)"]
    );
    assert_eq!(contract.reader.as_ref().unwrap().null_values, ["", "NA"]);
    assert_eq!((contract.properties[1].type_place.line, contract.properties[1].type_place.column), (15, 22));
}

#[test]
fn a_clean_contract_is_read_exactly() {
    let contract = contract::read("orders.clean.odcs.yaml", CLEAN).unwrap();
    assert_eq!(contract.dedupe.as_ref().unwrap().policy, DedupePolicy::LastBy("at".into()));
    assert_eq!(contract.on_violation, OnViolation::QuarantineRows { max_rows: 10, max_per_million: 5000 });
    assert!(contract.sort[1].descending);
    assert_eq!(&*contract.partition().unwrap().name, "day");
    assert_eq!(contract.property("cents").unwrap().logic.as_ref().unwrap().0, "CAST(paid * 100 AS BIGINT)");
    assert!(matches!(contract.properties[0].data_type, DataType::String { format: None }));
}

#[test]
fn a_split_names_a_column_and_what_of_it_counts() {
    for (text, column, by, label) in [
        ("id", "id", SplitBy::Value, "2013-01-02T05:00"),
        ("day(at)", "at", SplitBy::Day, "2013-01-02"),
        ("month( at )", "at", SplitBy::Month, "2013-01"),
        ("year(at)", "at", SplitBy::Year, "2013"),
    ] {
        let line = format!("{{lastBy: at}}}}\n      - {{property: split, vendor: windrow, value: {text}}}");
        let contract = contract::read("orders.clean.odcs.yaml", &CLEAN.replace("{lastBy: at}}", &line)).unwrap();
        let split = contract.split.unwrap();
        assert_eq!((&*split.column, split.by, split.to_string()), (column, by, text.replace(' ', "")));
        assert_eq!(split.by.label("2013-01-02T05:00"), label);
    }
    assert_eq!(SplitBy::Year.label("-0044-03-15"), "-0044");
    assert_eq!(SplitBy::Month.label("2013"), "2013", "never cut inside what is shorter");
    let classified = CLEAN.replace("name: id, ", "name: id, classification: secret, ");
    let classified = classified.replace("{lastBy: at}}", "{lastBy: at}}\n      - {property: split, vendor: windrow, value: id}");
    assert!(findings("orders.clean.odcs.yaml", &classified).contains("cannot split by `id`: it is classified"));
}

#[test]
fn unique_is_a_rule_of_the_gate() {
    let text = CLEAN.replacen("primaryKey: true}", "primaryKey: true, unique: true}", 1);
    let contract = contract::read("orders.clean.odcs.yaml", &text).unwrap();
    assert_eq!(contract.checks.last().unwrap().id, "id_unique");
    let raw = RAW.replacen("required: true}", "required: true, unique: true}", 1);
    assert!(findings("orders.raw.odcs.yaml", &raw).contains("raw files can only be counted"));
}

/// Each edit turns a legal contract into an illegal one; the finding names the place and the remedy.
#[test]
fn every_mistake_is_named_with_its_place() {
    let raw_edits = [
        ("nullValues: [", "nullValue: ["),
        ("grain: day", "grain: dayly"),
        ("format: i32, maximum: 10", "maximum: 10"),
        ("maximum: 10", "maximum: ten"),
        ("maximum: 10", "maximum: 3000000000"),
        ("DECIMAL(15,2)", "DECIMAL(39,2)"),
        (r#"physicalType: "DECIMAL(15,2)", "#, ""),
        ("logicalType: string", "logicalType: sting"),
        ("timezone: true", "timezone: true, format: \"yyyy-MM-dd\""),
        ("timezone: true", "format: \"yyyy-MM-dd'T'HH:mm:ssXXX\""),
        ("{window}/*.csv", "today/*.csv"),
        ("{window}/*.csv", "../{window}.csv"),
        ("{window}/*.csv", "{day}/*.csv"),
        ("value: raw}", "value: clean}"),
        (", vendor: windrow, value: {format: csv", ", value: {format: csv"),
        ("format: csv,", "format: parquet,"),
        ("- {name: n,", "- {name: ID,"),
        ("status: active", "status: active\nstatus: active"),
        ("required: true", "required: yes"),
        ("kind: DataContract\n", ""),
        ("    properties:", "    propertys:"),
        ("apiVersion: v3.2.0", "apiVersion: v2.2.2"),
    ];
    let clean_edits = [
        ("column: at", "column: att"),
        ("{lastBy: at}", "{lastBy: nope}"),
        ("value: {lastBy: at}", "value: last"),
        (", primaryKey: true", ""),
        ("sort, vendor: windrow, value: [id", "sort, vendor: windrow, value: [idd"),
        ("{lastBy: at}}", "{lastBy: at}}\n      - {property: split, vendor: windrow, value: weeks(at)}"),
        ("{lastBy: at}}", "{lastBy: at}}\n      - {property: split, vendor: windrow, value: month(at}"),
        ("{lastBy: at}}", "{lastBy: at}}\n      - {property: split, vendor: windrow, value: att}"),
        ("{lastBy: at}}", "{lastBy: at}}\n      - {property: split, vendor: windrow, value: month(id)}"),
        ("{lastBy: at}}", "{lastBy: at}}\n      - {property: split, vendor: windrow, value: day}"),
        ("{lastBy: at}}", "{lastBy: at}}\n      - {property: split, vendor: windrow, value: cents}"),
        ("partitioned: true, partitionKeyPosition: 1", "required: true"),
        ("name: day, logicalType: date", "name: day, logicalType: string"),
        ("zone: America/New_York", "zone: America/NewYork"),
        ("maxPercent: 0.5", "maxPercent: 101"),
        ("mustBeGreaterThan: 0", "mustBe: 1, mustBeGreaterThan: 0"),
        (", mustBeGreaterThan: 0", ""),
        ("metric: rowCount", "metric: rowcount"),
        ("    quality:\n      - {id: rows, metric: rowCount, mustBeGreaterThan: 0}\n", ""),
    ];
    let mut shown = String::new();
    for (file, base, edits) in
        [("orders.raw.odcs.yaml", RAW, &raw_edits[..]), ("orders.clean.odcs.yaml", CLEAN, &clean_edits[..])]
    {
        for (from, to) in edits {
            assert!(base.contains(from), "{from}");
            let found = findings(file, &base.replacen(from, to, 1));
            assert_ne!(found, "accepted", "{from} -> {to}");
            shown.push_str(&format!("# {} -> {}\n{found}\n\n", from.trim(), to.trim()));
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn the_file_name_says_dataset_and_layer() {
    assert!(findings("orders.yaml", RAW).contains("is not <dataset>.<layer>.odcs.yaml"));
    assert!(findings("items.raw.odcs.yaml", RAW).contains("differs from the file's dataset"));
}
