//! The shape of a SELECT: filters without a table, aggregates without groups, subqueries that look outside.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Function, GroupByExpr, Query, Select, SelectItem, SetExpr, Spanned, Visit, Visitor};

use super::joins::Refusal;
use super::names::tables_of;
use crate::functions::{self, Kind};

/// Every clause of a SELECT that polars would compute differently.
pub(crate) fn check(select: &Select) -> Vec<Refusal> {
    let mut found = Vec::new();
    let start = select.select_token.0.span;
    let mut refuse = |span, title: &str, help: &str| found.push((span, title.to_owned(), help.to_owned()));
    let parts = Parts::of(&select.projection);
    if select.from.is_empty() && (select.selection.is_some() || parts.aggregate.is_some()) {
        refuse(start, "a SELECT without FROM has no rows to filter or count", "read a table");
    }
    if !is_grouped(select) {
        if let Some(having) = &select.having {
            refuse(having.span(), "HAVING without GROUP BY is not supported", "filter the aggregate with WHERE over a WITH step");
        }
        if let (Some(_), Some(column)) = (&parts.aggregate, parts.column) {
            refuse(column, "a column beside an aggregate, without GROUP BY", "add it to GROUP BY, or aggregate it");
        }
    } else if let Some(window) = parts.window {
        refuse(
            window,
            "a window function beside GROUP BY sees single groups",
            "group in a WITH step, and use the window over that",
        );
    }
    found
}

/// Tells whether a query yields one row of aggregates over all rows, however few.
pub(crate) fn is_total(query: &Query) -> bool {
    match query.body.as_ref() {
        SetExpr::Select(select) => !is_grouped(select) && Parts::of(&select.projection).aggregate.is_some(),
        SetExpr::Query(inner) => is_total(inner),
        _ => false,
    }
}

/// What is wrong with a subquery of `IN`, which must not look at the row outside.
pub(crate) fn check_in(subquery: &Query) -> Option<Refusal> {
    let inside = tables_of(subquery);
    let mut outside = None;
    let _ = sqlparser::ast::visit_expressions(subquery, |expression| {
        if let Expr::CompoundIdentifier(parts) = expression
            && parts.first().is_some_and(|table| !inside.contains(&table.value))
        {
            outside = Some(expression.span());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let help = "write EXISTS (SELECT 1 FROM b WHERE b.x = a.x AND b.y = a.y)";
    outside.map(|span| (span, "a subquery of IN that looks at the row outside is not supported".to_owned(), help.to_owned()))
}

/// What is wrong with a subquery of EXISTS: polars takes `b.x = a.x` terms and conditions on the inner table.
pub(crate) fn check_exists(subquery: &Query) -> Option<Refusal> {
    let help = "write [NOT] EXISTS (SELECT 1 FROM b WHERE b.x = a.x), and filter b first in a WITH step";
    let plain = match subquery.body.as_ref() {
        SetExpr::Select(select) => {
            !is_grouped(select) && !is_total(subquery) && select.having.is_none() && subquery.limit_clause.is_none() && {
                let inside = tables_of(subquery);
                select.selection.as_ref().is_some_and(|condition| is_correlated(condition, &inside))
            }
        }
        _ => false,
    };
    (!plain).then(|| (subquery.span(), "this EXISTS is not supported".to_owned(), help.to_owned()))
}

fn is_correlated(condition: &Expr, inside: &std::collections::BTreeSet<String>) -> bool {
    let mut found = false;
    let _ = sqlparser::ast::visit_expressions(condition, |expression| {
        if let Expr::CompoundIdentifier(parts) = expression {
            found |= parts.first().is_some_and(|table| !inside.contains(&table.value));
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

fn is_grouped(select: &Select) -> bool {
    !matches!(&select.group_by, GroupByExpr::Expressions(terms, _) if terms.is_empty())
}

type Span = sqlparser::tokenizer::Span;

/// Where a projection first has an aggregate, a window function, a column outside both.
#[derive(Default)]
struct Parts {
    aggregate: Option<Span>,
    window: Option<Span>,
    column: Option<Span>,
    depth: usize,
    queries: usize,
}

impl Parts {
    fn of(projection: &[SelectItem]) -> Parts {
        let mut parts = Parts::default();
        for item in projection {
            if matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)) {
                parts.column.get_or_insert(item.span());
            }
            let _ = item.visit(&mut parts);
        }
        parts
    }

    fn is_aggregate(function: &Function) -> bool {
        let name = function.name.to_string().to_lowercase();
        function.over.is_none() && name != "unnest" && functions::kind(&name) == Some(Kind::Aggregate)
    }
}

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries = self.queries.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        match expression {
            Expr::Function(function) if Parts::is_aggregate(function) => {
                self.aggregate.get_or_insert(function.name.span());
                self.depth += 1;
            }
            Expr::Function(function) if function.over.is_some() => {
                self.window.get_or_insert(function.name.span());
            }
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) if self.depth == 0 => {
                self.column.get_or_insert(expression.span());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if self.queries == 0 && matches!(expression, Expr::Function(function) if Parts::is_aggregate(function)) {
            self.depth = self.depth.saturating_sub(1);
        }
        ControlFlow::Continue(())
    }
}
