//! Typed access to the spanned tree; every refusal becomes a finding with place, caret and remedy.

use std::sync::Arc;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Place};
use crate::suggest;
use crate::yaml::{self, Node, Value};

/// The reading of one file: its text and what was found wrong so far.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) file: Arc<str>,
    pub(crate) text: Arc<str>,
    pub(crate) findings: Vec<Diagnostic>,
}

impl Reading {
    pub(crate) fn new(file: &Arc<str>, text: &Arc<str>) -> Self {
        Reading { file: file.clone(), text: text.clone(), findings: Vec::new() }
    }

    /// Reports a finding at a node.
    pub(crate) fn report(&mut self, node: &Node, code: Code, title: impl Into<String>, help: impl Into<String>) {
        self.report_at(&node.place, node.length, code, title, help);
    }

    /// Reports a finding at a place.
    pub(crate) fn report_at(
        &mut self,
        place: &Place,
        length: usize,
        code: Code,
        title: impl Into<String>,
        help: impl Into<String>,
    ) {
        let mut finding = yaml::with_line(Diagnostic::new(code, place.clone(), title), &self.text, length);
        let help = help.into();
        finding.help = (!help.is_empty()).then_some(help);
        self.findings.push(finding);
    }

    /// Views a node as a mapping with only these keys; anything else is reported.
    pub(crate) fn map<'n>(&mut self, node: &'n Node, what: &str, allowed: &[&str]) -> Option<Map<'n>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_kind(node, what, "a mapping");
            return None;
        };
        for (key, _) in entries {
            let name = key.text().unwrap_or_default();
            if !allowed.contains(&name) {
                let title = format!("unknown key `{name}` in {what}");
                self.report(key, Code::ContractUnknownKey, title, suggest::hint(name, allowed));
            }
        }
        Some(Map { node, entries })
    }

    /// Views a node as a list.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Scalar { .. } | Value::Map(_) => {
                self.wrong_kind(node, what, "a list");
                &[]
            }
        }
    }

    /// Reports a value of another kind than expected.
    pub(crate) fn wrong_kind(&mut self, node: &Node, what: &str, expected: &str) {
        let title = format!("{what} must be {expected}, found {}", node.kind());
        self.report(node, Code::ContractValue, title, "");
    }

    /// The value of a key that must be there.
    pub(crate) fn require<'n>(&mut self, map: &Map<'n>, key: &str, what: &str) -> Option<&'n Node> {
        let found = map.get(key);
        if found.is_none() {
            let title = format!("{what} lacks `{key}`");
            self.report(map.node, Code::ContractMissingKey, title, format!("add `{key}: …`"));
        }
        found
    }

    /// A text; numbers and booleans written plainly count as their text.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = node.text().filter(|_| !node.is_null());
        if text.is_none() {
            self.wrong_kind(node, what, "a text");
        }
        text
    }

    /// A list of texts.
    pub(crate) fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<&'n str> {
        let items = self.list(node, what);
        let quoted_or_plain = |item: &'n Node| item.text().filter(|_| !item.is_null());
        items.iter().filter_map(|item| quoted_or_plain(item).or_else(|| self.text(item, what))).collect()
    }

    /// `true` or `false`, written plainly.
    pub(crate) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.value {
            Value::Scalar { text, quoted: false } if text == "true" => Some(true),
            Value::Scalar { text, quoted: false } if text == "false" => Some(false),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
                self.wrong_kind(node, what, "true or false");
                None
            }
        }
    }

    /// A whole number within bounds, both inclusive.
    pub(crate) fn whole(&mut self, node: &Node, what: &str, least: u64, most: u64) -> Option<u64> {
        let number = plain(node).and_then(|text| text.replace('_', "").parse::<u64>().ok());
        let in_bounds = number.filter(|number| (least..=most).contains(number));
        if in_bounds.is_none() {
            let shown = node.text().unwrap_or(node.kind());
            let title = format!("{what} must be a whole number from {least} to {most}, found `{shown}`");
            self.report(node, Code::ContractValue, title, "");
        }
        in_bounds
    }

    /// A number of bytes: `1048576`, `64KiB`, `128MiB`, `1GiB`.
    pub(crate) fn bytes(&mut self, node: &Node, what: &str, least: u64, most: u64) -> Option<u64> {
        let text = node.text().unwrap_or_default().trim();
        let (digits, factor) = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
            .into_iter()
            .find_map(|(unit, factor)| text.strip_suffix(unit).map(|digits| (digits.trim(), factor)))
            .unwrap_or((text, 1_u64));
        let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        let in_bounds = number.filter(|number| (least..=most).contains(number));
        if in_bounds.is_none() {
            let title = format!("{what} must be {least} to {most} bytes, found `{text}`");
            self.report(node, Code::ContractValue, title, "write a number of bytes, or one with KiB, MiB or GiB");
        }
        in_bounds
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = node.text().unwrap_or_default();
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.report(node, Code::ContractValue, format!("{what} cannot be `{text}`"), suggest::hint(text, &names));
        }
        found
    }
}

/// The text of a plain scalar.
pub(crate) fn plain(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, quoted: false } => Some(text),
        Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
    }
}

/// A mapping whose keys have been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'n> {
    pub(crate) node: &'n Node,
    entries: &'n [(Node, Node)],
}

impl<'n> Map<'n> {
    /// The value of a key; a plain null counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// Where a key stands; the mapping itself when it is absent.
    pub(crate) fn key_place(&self, key: &str) -> &'n Place {
        self.entries.iter().find(|(name, _)| name.text() == Some(key)).map_or(&self.node.place, |(name, _)| &name.place)
    }

    /// The keys and values as written.
    pub(crate) fn entries(&self) -> &'n [(Node, Node)] {
        self.entries
    }
}
