//! Parsing with the grammar polars parses with, so that lint and engine read the same language.

use sqlparser::ast::{Expr, Query, Statement};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};
use sqlparser::tokenizer::{Location, Token};
use windrow_core::{Code, Diagnostic};

use crate::text::{Rendered, SqlText};

/// Parses a text that must be one query: SELECT, WITH, VALUES or a set operation of them.
///
/// # Errors
/// `W0701` at the offending token, `W0702` for any other statement.
pub(crate) fn parse_query(sql: &SqlText<'_>, rendered: &Rendered) -> Result<Query, Vec<Diagnostic>> {
    let mut statements =
        parser(&rendered.text).and_then(|mut parser| parser.parse_statements()).map_err(|error| syntax(sql, rendered, &error))?;
    let extra = statements.len() > 1;
    match statements.pop() {
        None => Err(vec![sql.finding(Code::SqlSyntax, (1, 1), 1, "the file holds no statement").help("write one SELECT")]),
        Some(_) if extra => {
            let place = after_first_statement(rendered);
            Err(vec![
                sql.finding(Code::SqlUnsupported, place, 1, "more than one statement")
                    .help("keep one SELECT; use WITH for steps"),
            ])
        }
        Some(Statement::Query(query)) => Ok(*query),
        Some(other) => {
            let word = other.to_string().split_whitespace().next().unwrap_or_default().to_owned();
            let place = first_token(rendered);
            let finding = sql.finding(Code::SqlUnsupported, place, word.chars().count(), format!("`{word}` is not a query"));
            Err(vec![finding.help("a transform or check is one SELECT or WITH … SELECT")])
        }
    }
}

/// Parses a text that must be one expression.
///
/// # Errors
/// `W0701` at the offending token.
pub(crate) fn parse_expression(sql: &SqlText<'_>) -> Result<Expr, Vec<Diagnostic>> {
    let rendered = sql.replaced(Vec::new());
    let mut parser = parser(sql.text).map_err(|error| syntax(sql, &rendered, &error))?;
    let expression = parser.parse_expr().map_err(|error| syntax(sql, &rendered, &error))?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(expression);
    }
    let place = written(&rendered, rest.span.start);
    Err(vec![sql.finding(Code::SqlSyntax, place, rest.token.to_string().chars().count(), format!("unexpected `{}`", rest.token))])
}

/// The written line and column of a location the parser names.
pub(crate) fn written(rendered: &Rendered, location: Location) -> (u64, u64) {
    rendered.written(location.line.max(1), location.column.max(1))
}

fn parser(text: &str) -> Result<Parser<'static>, ParserError> {
    static DIALECT: GenericDialect = GenericDialect;
    Parser::new(&DIALECT).with_options(ParserOptions { trailing_commas: true, ..ParserOptions::default() }).try_with_sql(text)
}

/// The parser appends ` at Line: 3, Column: 7` to its messages.
fn syntax(sql: &SqlText<'_>, rendered: &Rendered, error: &ParserError) -> Vec<Diagnostic> {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
        ParserError::RecursionLimitExceeded => "too deeply nested".to_owned(),
    };
    let (message, place) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => (message.to_owned(), location(place)),
        None => (text, None),
    };
    let end =
        (rendered.text.lines().count() as u64, rendered.text.lines().last().map_or(0, |line| line.chars().count()) as u64 + 1);
    let (line, column) = place.unwrap_or((end.0.max(1), end.1));
    let length = message.rsplit_once("found: ").map_or(1, |(_, token)| token.trim().chars().count());
    vec![sql.finding(Code::SqlSyntax, rendered.written(line, column), length, lowercase_first(&message))]
}

fn location(text: &str) -> Option<(u64, u64)> {
    let (line, column) = text.split_once(", Column: ")?;
    Some((line.trim().parse().ok()?, column.trim().parse().ok()?))
}

fn lowercase_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

fn first_token(rendered: &Rendered) -> (u64, u64) {
    let tokens = parser(&rendered.text).map(|parser| parser.peek_token().span.start);
    tokens.map_or((1, 1), |start| written(rendered, start))
}

fn after_first_statement(rendered: &Rendered) -> (u64, u64) {
    let Ok(mut parser) = parser(&rendered.text) else { return (1, 1) };
    let _ = parser.parse_statement();
    while parser.consume_token(&Token::SemiColon) {}
    written(rendered, parser.peek_token().span.start)
}
