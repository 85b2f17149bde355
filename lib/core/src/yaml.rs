//! YAML with positions: a small tree in which every key and value knows its line and column.
//!
//! Anchors, aliases, tags, several documents, non-text keys and duplicate keys are refused: a contract has no use for
//! them, and each can make a file say something else than it seems to say.

use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Place};

/// How deep collections may nest.
const MAX_DEPTH: usize = 40;
/// How large a file may be, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// A value with its position.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it starts.
    pub place: Place,
    /// How many characters of its first line it spans, at least 1.
    pub length: usize,
}

/// A scalar, a list or a mapping.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text; `quoted` or block scalars are always strings, plain ones may be numbers, booleans or null.
    Scalar {
        /// The text, unescaped.
        text: String,
        /// Tells whether it was written in quotes or as a block.
        quoted: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping in written order, keys unique.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar, `None` for collections.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Tells whether it is a plain null (`null`, `~` or nothing).
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, quoted: false } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { .. } if self.is_null() => "nothing",
            Value::Scalar { quoted: true, .. } => "a text",
            Value::Scalar { text, .. } if text == "true" || text == "false" => "a boolean",
            Value::Scalar { text, .. } if text.parse::<f64>().is_ok() => "a number",
            Value::Scalar { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Parses one document.
///
/// # Errors
/// One finding with the place where the text stops making sense.
pub fn parse(file: &Arc<str>, text: &str) -> Result<Node, Box<Diagnostic>> {
    if text.len() > MAX_BYTES {
        let title = format!("file is larger than {} MiB", MAX_BYTES >> 20);
        return Err(Box::new(Diagnostic::new(Code::ContractSyntax, Place::file(file.clone()), title)));
    }
    let mut builder = Builder { file, text, stack: Vec::new(), root: None };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.accept(event, span)?,
            Err(error) => {
                let place = Place::new(file.clone(), error.marker().line() as u64, error.marker().col() as u64 + 1);
                return Err(Box::new(with_line(Diagnostic::new(Code::ContractSyntax, place, error.info().to_owned()), text, 1)));
            }
        }
    }
    builder.root.ok_or_else(|| Box::new(Diagnostic::new(Code::ContractSyntax, Place::file(file.clone()), "the file is empty")))
}

/// Adds the line of text a finding's place points into.
pub fn with_line(diagnostic: Diagnostic, text: &str, length: usize) -> Diagnostic {
    let index = usize::try_from(diagnostic.place.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let start = usize::try_from(diagnostic.place.column.saturating_sub(1)).unwrap_or_default();
    match text.lines().nth(index) {
        Some(line) if diagnostic.place.line > 0 => {
            let room = line.chars().count().saturating_sub(start).max(1);
            diagnostic.excerpt(line.to_owned(), start, length.min(room))
        }
        _ => diagnostic,
    }
}

enum Open {
    List(Node, Vec<Node>),
    Map(Node, Vec<(Node, Node)>, Option<Node>),
}

struct Builder<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    stack: Vec<Open>,
    root: Option<Node>,
}

impl Builder<'_> {
    fn accept(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Diagnostic>> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_when(anchor > 0 || tag.is_some(), span, "anchors and tags are not supported")?;
                let quoted = style != ScalarStyle::Plain;
                let node = self.node(Value::Scalar { text: text.into_owned(), quoted }, span);
                self.place_node(node)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_when(anchor > 0 || tag.is_some(), span, "anchors and tags are not supported")?;
                self.refuse_when(self.stack.len() >= MAX_DEPTH, span, "nested too deeply")?;
                let node = self.node(Value::List(Vec::new()), span);
                self.stack.push(Open::List(node, Vec::new()));
                Ok(())
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_when(anchor > 0 || tag.is_some(), span, "anchors and tags are not supported")?;
                self.refuse_when(self.stack.len() >= MAX_DEPTH, span, "nested too deeply")?;
                let node = self.node(Value::Map(Vec::new()), span);
                self.stack.push(Open::Map(node, Vec::new(), None));
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(_) => self.refuse_when(true, span, "aliases are not supported"),
            Event::DocumentStart(_) => self.refuse_when(self.root.is_some(), span, "a second document in the file"),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn refuse_when(&self, refuse: bool, span: Span, why: &str) -> Result<(), Box<Diagnostic>> {
        if !refuse {
            return Ok(());
        }
        let place = self.place(span);
        Err(Box::new(with_line(Diagnostic::new(Code::ContractSyntax, place, why), self.text, 1)))
    }

    fn place(&self, span: Span) -> Place {
        Place::new(self.file.clone(), span.start.line() as u64, span.start.col() as u64 + 1)
    }

    fn node(&self, value: Value, span: Span) -> Node {
        let same_line = span.start.line() == span.end.line();
        let length = if same_line { span.end.col().saturating_sub(span.start.col()).max(1) } else { 1 };
        Node { value, place: self.place(span), length }
    }

    fn close(&mut self) -> Result<(), Box<Diagnostic>> {
        let node = match self.stack.pop() {
            Some(Open::List(node, items)) => Node { value: Value::List(items), ..node },
            Some(Open::Map(node, entries, _)) => Node { value: Value::Map(entries), ..node },
            None => return Ok(()),
        };
        self.place_node(node)
    }

    fn place_node(&mut self, node: Node) -> Result<(), Box<Diagnostic>> {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, pending)) => match pending.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let problem = match node.text() {
                        None => Some("a key must be a text".to_owned()),
                        Some(key) if entries.iter().any(|(other, _)| other.text() == Some(key)) => {
                            Some(format!("key `{key}` appears twice"))
                        }
                        Some(_) => None,
                    };
                    if let Some(problem) = problem {
                        let diagnostic = Diagnostic::new(Code::ContractSyntax, node.place.clone(), problem);
                        return Err(Box::new(with_line(diagnostic, self.text, node.length)));
                    }
                    *pending = Some(node);
                }
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Node, Box<Diagnostic>> {
        parse(&"t.yaml".into(), text)
    }

    #[test]
    fn keys_and_values_know_their_place() {
        let node = parse_text("a: 1\nb:\n  - {c: 'x'}\n").unwrap();
        let Value::Map(entries) = &node.value else { panic!("not a map") };
        let Value::List(items) = &entries[1].1.value else { panic!("not a list") };
        let Value::Map(inner) = &items[0].value else { panic!("not a map") };
        assert_eq!((inner[0].1.place.line, inner[0].1.place.column), (3, 9));
        assert_eq!((inner[0].1.text(), inner[0].1.kind()), (Some("x"), "a text"));
    }

    #[test]
    fn what_could_mislead_is_refused() {
        for text in ["a: 1\na: 2", "a: &x 1\nb: *x", "a: !!str 1", "a: 1\n---\nb: 2", "", "a: [1", "? [a]\n: b", &"[".repeat(100)]
        {
            assert!(parse_text(text).is_err(), "{text}");
        }
    }
}
