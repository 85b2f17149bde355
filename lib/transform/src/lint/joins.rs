//! Joins: polars answers rightly only where every term of ON equates one column of each side.
//!
//! Any other term becomes a filter after the join, which drops the unmatched rows of an outer join and turns an anti join
//! into a semi join. What is refused here is refused without knowing the columns of the tables.

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, Select, SelectItem, SelectItemQualifiedWildcardKind,
    Spanned, TableFactor, TableWithJoins,
};
use sqlparser::tokenizer::Span;

use super::dialect::without_brackets;

/// A refusal: where, what, and what to write instead.
pub(crate) type Refusal = (Span, String, String);

/// Which rows a join keeps without a match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inner,
    Left,
    /// RIGHT and FULL: rows of the right table alone.
    Outer,
    /// SEMI and ANTI: no columns of the right table.
    Filter,
}

/// Every join of a SELECT that polars would compute differently.
pub(crate) fn check(select: &Select) -> Vec<Refusal> {
    let mut found = Vec::new();
    if let [_, second, ..] = select.from.as_slice() {
        found.push(refusal(second.span(), "a join by comma is not supported", "write JOIN … ON a.x = b.x, or CROSS JOIN"));
    }
    for table in &select.from {
        let mut earlier: Vec<&str> = name_of(&table.relation).into_iter().collect();
        for join in &table.joins {
            check_join(join, &earlier, &mut found);
            earlier.extend(name_of(&join.relation));
        }
    }
    if let [table] = select.from.as_slice() {
        check_wildcards(select, table, &mut found);
    }
    found
}

fn refusal(span: Span, title: impl Into<String>, help: impl Into<String>) -> Refusal {
    (span, title.into(), help.into())
}

fn name_of(table: &TableFactor) -> Option<&str> {
    match table {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.value.as_str())
        }
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str()),
        _ => None,
    }
}

fn kind_of(operator: &JoinOperator) -> Option<(Kind, &JoinConstraint)> {
    match operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => Some((Kind::Inner, constraint)),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => Some((Kind::Left, constraint)),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) | JoinOperator::FullOuter(constraint) => {
            Some((Kind::Outer, constraint))
        }
        JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint) => Some((Kind::Filter, constraint)),
        _ => None,
    }
}

fn check_join(join: &Join, earlier: &[&str], found: &mut Vec<Refusal>) {
    let span = join.relation.span();
    let Some((kind, constraint)) = kind_of(&join.join_operator) else {
        if !matches!(join.join_operator, JoinOperator::CrossJoin(JoinConstraint::None)) {
            found.push(refusal(
                span,
                "this kind of join is not supported",
                "write JOIN, LEFT, RIGHT, FULL, CROSS, SEMI or ANTI JOIN",
            ));
        }
        return;
    };
    match constraint {
        JoinConstraint::On(on) => check_term(on, kind, earlier, name_of(&join.relation), found),
        JoinConstraint::Using(_) if kind == Kind::Outer => {
            let help = "write ON a.x = b.x and SELECT COALESCE(a.x, b.x) AS x";
            found.push(refusal(span, "USING in a RIGHT or FULL JOIN loses the key of unmatched rows", help));
        }
        JoinConstraint::Using(_) => {}
        JoinConstraint::Natural => {
            found.push(refusal(span, "NATURAL JOIN is not supported", "name the columns: JOIN … USING (x)"));
        }
        JoinConstraint::None => found.push(refusal(span, "a join without ON", "write ON a.x = b.x, or CROSS JOIN")),
    }
}

fn check_term(term: &Expr, kind: Kind, earlier: &[&str], joined: Option<&str>, found: &mut Vec<Refusal>) {
    match without_brackets(term) {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            check_term(left, kind, earlier, joined, found);
            check_term(right, kind, earlier, joined, found);
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let (Some(a), Some(b)) = (table_of(left), table_of(right)) else {
                return found.push(not_an_equality(term, kind));
            };
            let is_joined = |name: &str| Some(name) == joined;
            let first = earlier.first() == Some(&b);
            if is_joined(b) && earlier.contains(&a) || is_joined(a) && first {
                return;
            }
            found.push(if is_joined(a) && earlier.contains(&b) {
                let help = format!("turn it around: {right} = {left}");
                refusal(term.span(), "the table joined last stands on the left", help)
            } else {
                not_an_equality(term, kind)
            });
        }
        _ => found.push(not_an_equality(term, kind)),
    }
}

fn not_an_equality(term: &Expr, kind: Kind) -> Refusal {
    let mut unqualified = false;
    if let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = without_brackets(term) {
        unqualified = [left, right].iter().any(|side| matches!(without_brackets(side), Expr::Identifier(_)));
    }
    let help = match kind {
        _ if unqualified => "name the table of each column, ON a.x = b.x; a condition on one table belongs elsewhere",
        Kind::Inner => "put it in WHERE; compute a key that is an expression in a WITH step",
        _ => "filter the input first in a WITH step, and join that; compute a key that is an expression there too",
    };
    refusal(term.span(), "ON takes equalities of one column of each table only, a.x = b.x", help)
}

/// The table a column is qualified with.
fn table_of(expression: &Expr) -> Option<&str> {
    match without_brackets(expression) {
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [Ident { value, .. }, _] => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// `*` over a join yields columns named `x:b`, and the key of USING twice.
fn check_wildcards(select: &Select, table: &TableWithJoins, found: &mut Vec<Refusal>) {
    let adds_columns = |join: &Join| !matches!(kind_of(&join.join_operator), Some((Kind::Filter, _)));
    if !table.joins.iter().any(adds_columns) {
        return;
    }
    for item in &select.projection {
        let refused = match item {
            SelectItem::Wildcard(_) => true,
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                name_of(&table.relation) != Some(name.to_string().as_str())
            }
            _ => false,
        };
        if refused {
            let help = "name the columns: SELECT a.x AS x, b.y AS y";
            found.push(refusal(item.span(), "`*` over a join is not supported", help));
        }
    }
}
