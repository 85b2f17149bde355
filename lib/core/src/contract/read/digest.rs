//! What a contract says of rows, as one digest: comments, layout of the text and the size of files do not count.

use serde_json::{Value as Json, json};

use crate::yaml::{Node, Value};
use crate::{Result, canonical};

/// The option that decides how rows are cut into files, and not which rows there are.
const FILE_SIZE: &str = "targetFileSize";

/// SHA-256, hex, of all keys and values in written order, but for [`FILE_SIZE`].
pub(super) fn rows_sha256(contract: &Node) -> Result<String> {
    Ok(canonical::sha256_hex(&canonical::to_bytes(&of_node(contract))?))
}

fn of_node(node: &Node) -> Json {
    match &node.value {
        Value::Scalar { text, quoted } => json!([text, quoted]),
        Value::List(items) => items.iter().filter(|item| !is_file_size(item)).map(of_node).collect(),
        Value::Map(entries) => without_file_size(entries).map(|(key, value)| json!([of_node(key), of_node(value)])).collect(),
    }
}

fn without_file_size(entries: &[(Node, Node)]) -> impl Iterator<Item = &(Node, Node)> {
    entries.iter().filter(|(key, _)| key.text() != Some(FILE_SIZE))
}

/// windrow's property `output` that names the size of files and nothing else: the same as none.
fn is_file_size(item: &Node) -> bool {
    let Value::Map(entries) = &item.value else { return false };
    let value = |key: &str| entries.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value);
    let options = value("value").filter(|_| value("property").and_then(Node::text) == Some("output"));
    matches!(options.map(|options| &options.value), Some(Value::Map(options)) if without_file_size(options).next().is_none())
}

#[cfg(test)]
mod tests {
    use crate::contract;

    fn text(output: &str) -> String {
        format!(
            "apiVersion: v3.2.0\nkind: DataContract\nid: t\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n    customProperties:\n      - {{property: layer, vendor: windrow, value: clean}}\n      - {{property: window, vendor: windrow, value: {{grain: day}}}}\n{output}    quality: [{{id: rows, metric: rowCount, mustBeGreaterThan: 0}}]\n    properties:\n      - {{name: n, logicalType: string}}\n      - {{name: day, logicalType: date, required: true, partitioned: true, partitionKeyPosition: 1}}\n"
        )
    }

    fn digests(text: &str) -> (String, String) {
        let contract = contract::read("t.clean.odcs.yaml", text).unwrap();
        (contract.rows_sha256, contract.sha256)
    }

    fn output(options: &str) -> String {
        text(&format!("      - {{property: output, vendor: windrow, value: {{{options}}}}}\n"))
    }

    #[test]
    fn the_size_of_files_and_comments_do_not_count() {
        let plain = digests(&text(""));
        for same in [output("targetFileSize: 1MiB"), output("targetFileSize: 2MiB"), format!("# why\n{}", text(""))] {
            let found = digests(&same);
            assert_eq!(found.0, plain.0, "{same}");
            assert_ne!(found.1, plain.1, "the digest of the text is of all of it");
        }
        let level = digests(&output("zstdLevel: 3")).0;
        assert_eq!(digests(&output("targetFileSize: 1MiB, zstdLevel: 3")).0, level);
    }

    #[test]
    fn everything_else_counts() {
        let plain = text("");
        let others = [
            output("zstdLevel: 3"),
            output("zstdLevel: 4"),
            output("rowGroupRows: 5000"),
            plain.replace("name: n,", "name: m,"),
            plain.replace("logicalType: string", "logicalType: string, required: true"),
            plain.replace("version: 1.0.0", "version: 1.0.1"),
            text("      - {property: sort, vendor: windrow, value: [n]}\n"),
        ];
        let mut found: Vec<String> = others.iter().map(|text| digests(text).0).collect();
        found.push(digests(&plain).0);
        found.sort();
        found.dedup();
        assert_eq!(found.len(), others.len() + 1);
    }
}
