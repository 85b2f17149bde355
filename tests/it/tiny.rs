//! A project of one dataset `t`, whose contract has one column of every simple type.

use crate::support::{Out, Project};

/// The window of every case.
pub(crate) const WINDOW: &str = "2024-01-02";
/// The partition folder of that window.
pub(crate) const PARTITION: &str = "t_date=2024-01-02";
/// The header of its CSV files.
pub(crate) const HEADER: &str = "n,price,day,at,name,ratio,ok\n";
/// A sound row.
pub(crate) const ROW: &str = "1,1.50,2024-01-02,2024-01-02T03:04:05,one,0.5,true\n";

const COLUMNS: &str = r#"
      - {name: n, logicalType: integer, logicalTypeOptions: {format: i32}, required: true}
      - {name: price, logicalType: number, physicalType: "DECIMAL(9,2)"}
      - {name: day, logicalType: date}
      - {name: at, logicalType: timestamp, logicalTypeOptions: {format: "yyyy-MM-dd'T'HH:mm:ss", timezone: false}, physicalType: TIMESTAMP(6)}
      - {name: name, logicalType: string}
      - {name: ratio, logicalType: number, physicalType: DOUBLE}
      - {name: ok, logicalType: boolean}
"#;

/// What differs from the plain dataset.
pub(crate) struct Tiny {
    /// The columns of raw and clean; the second list is without formats of texts.
    pub(crate) columns: &'static str,
    /// The value of `reader`.
    pub(crate) reader: &'static str,
    /// The value of `onViolation`.
    pub(crate) on_violation: &'static str,
    /// The threshold of the clean table's row count.
    pub(crate) row_count: &'static str,
    /// Whether there is a curated table.
    pub(crate) is_curated: bool,
}

impl Default for Tiny {
    fn default() -> Self {
        Tiny {
            columns: COLUMNS,
            reader: r#"{format: csv, nullValues: ["", "NA"]}"#,
            on_violation: "fail",
            row_count: "mustBeGreaterThan: 0",
            is_curated: false,
        }
    }
}

impl Tiny {
    /// The plain dataset in another format.
    pub(crate) fn of_format(reader: &'static str) -> Tiny {
        Tiny { reader, ..Tiny::default() }
    }

    /// Writes the project, without any raw file.
    pub(crate) fn project(&self) -> Project {
        let project = Project::empty();
        project.write("windrow.toml", "version = 1\n");
        project.write("quality/profiles/default.yaml", "version: 1\nname: default\nchecks: {}\n");
        project.write("schemas/t.raw.odcs.yaml", self.raw_contract());
        project.write("schemas/t.clean.odcs.yaml", self.clean_contract());
        if self.is_curated {
            project.write("schemas/t.curated.odcs.yaml", self.curated_contract());
            project.write("jobs/sql/t.sql", "SELECT n, price, day, at, name, ratio, ok, {window} AS t_date FROM clean_t\n");
        }
        project
    }

    fn raw_contract(&self) -> String {
        let keys = format!(
            "      - {{property: input, vendor: windrow, value: {{path: \"t/{{window}}/*\"}}}}
      - {{property: reader, vendor: windrow, value: {}}}
      - {{property: onViolation, vendor: windrow, value: {}}}",
            self.reader, self.on_violation
        );
        contract("raw", "{grain: day}", &keys, self.columns, "")
    }

    fn clean_contract(&self) -> String {
        let quality = format!("    quality:\n      - {{id: some_rows, metric: rowCount, {}}}\n", self.row_count);
        contract("clean", "{grain: day}", "", &self.output_columns(), &quality)
    }

    fn curated_contract(&self) -> String {
        let keys = "      - {property: transform, vendor: windrow, value: {sql: t.sql, inputs: [clean.t]}}";
        let quality = "    quality:\n      - {id: rows_published, metric: rowCount, mustBeGreaterThan: 0}\n";
        contract("curated", "{grain: day}", keys, &self.output_columns(), quality)
    }

    fn output_columns(&self) -> String {
        let partition = "      - {name: t_date, logicalType: date, required: true, partitioned: true, partitionKeyPosition: 1}\n";
        format!("{}\n{partition}", self.columns.trim_matches('\n').replace(r#"format: "yyyy-MM-dd'T'HH:mm:ss", "#, ""))
    }
}

fn contract(layer: &str, window: &str, keys: &str, columns: &str, quality: &str) -> String {
    let columns = columns.trim_matches('\n');
    format!(
        "apiVersion: v3.2.0
kind: DataContract
id: t-{layer}
version: 1.0.0
status: active
schema:
  - name: t
    logicalType: object
    customProperties:
      - {{property: layer, vendor: windrow, value: {layer}}}
      - {{property: window, vendor: windrow, value: {window}}}
{keys}{newline}    properties:
{columns}
{quality}",
        newline = if keys.is_empty() { "" } else { "\n" },
    )
}

/// The key of a raw file of the window, below the project.
pub(crate) fn raw_file(name: &str) -> String {
    format!("lake/raw/t/{WINDOW}/{name}")
}

/// Runs the window.
pub(crate) fn run(project: &Project) -> Out {
    project.run_json(&["run", "--dataset", "t", "--window", WINDOW])
}
