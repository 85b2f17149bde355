//! Which input columns a query's columns are computed from, as far as the text says it with certainty.
//!
//! Followed are WITH steps, subqueries of FROM, aliases, joins and `*` over known tables. A column whose origin is not
//! certain (a subquery inside its expression, a set operation, an ambiguous name) is left out, never guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, visit_expressions};

use crate::lint::columns_of;
use crate::parse::{parse_expression, parse_query};
use crate::text::{Replacement, SqlText};

/// How a column follows from its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relationship {
    /// The same values.
    Identity,
    /// Computed row by row.
    Transformation,
    /// Computed over several rows.
    Aggregation,
}

/// The sources of one column: input table and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Table, as the query names it, and column.
    pub columns: BTreeSet<(String, String)>,
    /// How.
    pub relationship: Relationship,
}

/// The columns an SQL expression names, sorted; none when it does not parse or holds a subquery.
pub fn expression_columns(text: &str) -> Vec<String> {
    let Ok(expression) = parse_expression(&SqlText::whole(text, "")) else { return Vec::new() };
    if has_subquery(&expression) { Vec::new() } else { columns_of(&expression).into_iter().collect() }
}

/// The sources of each column of a query, by name. `tables` are its inputs with their columns. Placeholders count as
/// constants; columns without any source, and columns whose sources are not certain, are left out.
pub fn query_columns(text: &str, tables: &[(String, Vec<String>)]) -> BTreeMap<String, Sources> {
    let sql = SqlText::whole(text, "");
    let constants = sql.placeholders().into_iter().map(|(span, _)| Replacement { span, text: "NULL".to_owned() }).collect();
    let Ok(query) = parse_query(&sql, &sql.replaced(constants)) else { return BTreeMap::new() };
    let known = tables.iter().map(|(table, columns)| (table.clone(), input_relation(table, columns))).collect();
    let found = relation_of(&query, &known).unwrap_or_default();
    let certain = found.into_iter().filter_map(|(name, sources)| Some((name, sources?)));
    certain.filter(|(_, sources)| !sources.columns.is_empty()).collect()
}

/// The columns of a table or step; `None` for one whose sources are not certain.
type Relation = BTreeMap<String, Option<Sources>>;

/// What can be named; `None` is a table whose columns are not known.
type Known = BTreeMap<String, Option<Relation>>;

fn input_relation(table: &str, columns: &[String]) -> Option<Relation> {
    let source = |column: &String| Sources {
        columns: BTreeSet::from([(table.to_owned(), column.clone())]),
        relationship: Relationship::Identity,
    };
    Some(columns.iter().map(|column| (column.clone(), Some(source(column)))).collect())
}

fn relation_of(query: &Query, outer: &Known) -> Option<Relation> {
    let mut known = outer.clone();
    if let Some(with) = &query.with {
        for step in &with.cte_tables {
            let is_plain = !with.recursive && step.alias.columns.is_empty();
            let relation = is_plain.then(|| relation_of(&step.query, &known)).flatten();
            known.insert(step.alias.name.value.clone(), relation);
        }
    }
    match query.body.as_ref() {
        SetExpr::Select(select) => selected(select, &known),
        SetExpr::Query(query) => relation_of(query, &known),
        _ => None,
    }
}

fn selected(select: &Select, known: &Known) -> Option<Relation> {
    let mut scope = Known::new();
    for from in &select.from {
        let joined = from.joins.iter().map(|join| &join.relation);
        for factor in std::iter::once(&from.relation).chain(joined) {
            let (name, relation) = factor_relation(factor, known)?;
            // The same name twice: what it means is not certain.
            let relation = if scope.contains_key(&name) { None } else { relation };
            scope.insert(name, relation);
        }
    }
    let mut columns = Relation::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                if let Some(name) = own_name(expr) {
                    columns.insert(name, sources_of(expr, &scope));
                }
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                columns.insert(alias.value.clone(), sources_of(expr, &scope));
            }
            // Which columns a wildcard leaves out, and how it names those that occur twice, is the engine's affair.
            SelectItem::Wildcard(options) if *options == Default::default() && scope.len() == 1 => {
                columns.extend(scope.values().next().cloned().flatten()?);
            }
            _ => return None,
        }
    }
    Some(columns)
}

fn factor_relation(factor: &TableFactor, known: &Known) -> Option<(String, Option<Relation>)> {
    let named = |alias: &Option<TableAlias>, name: Option<String>| match alias {
        Some(alias) if alias.columns.is_empty() => Some(alias.name.value.clone()),
        Some(_) => None,
        None => name,
    };
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let [part] = name.0.as_slice() else { return None };
            let table = part.as_ident()?.value.clone();
            let relation = known.get(&table).cloned().flatten();
            Some((named(alias, Some(table))?, relation))
        }
        TableFactor::Derived { subquery, alias, lateral: false, .. } => Some((named(alias, None)?, relation_of(subquery, known))),
        _ => None,
    }
}

fn own_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.clone()),
        _ => None,
    }
}

/// The sources of an expression; `None` when one of them is not certain.
fn sources_of(expr: &Expr, scope: &Known) -> Option<Sources> {
    if has_subquery(expr) {
        return None;
    }
    let is_column = own_name(expr).is_some();
    let own = match expr {
        _ if is_column => Relationship::Identity,
        _ if has_aggregate(expr) => Relationship::Aggregation,
        _ => Relationship::Transformation,
    };
    let mut sources = Sources { columns: BTreeSet::new(), relationship: own };
    let walk = visit_expressions(expr, |inner| {
        if own_name(inner).is_none() {
            return ControlFlow::Continue(());
        }
        let Some(found) = column_sources(inner, scope) else { return ControlFlow::Break(()) };
        sources.relationship = sources.relationship.max(found.relationship);
        sources.columns.extend(found.columns);
        ControlFlow::Continue(())
    });
    walk.is_continue().then_some(sources)
}

fn column_sources(expr: &Expr, scope: &Known) -> Option<Sources> {
    match expr {
        Expr::Identifier(ident) => {
            // Every table must be known, or the name may be one of its columns.
            let relations: Option<Vec<&Relation>> = scope.values().map(Option::as_ref).collect();
            let mut having = relations?.into_iter().filter_map(|relation| relation.get(&ident.value));
            let found = having.next()?;
            if having.next().is_some() { None } else { found.clone() }
        }
        Expr::CompoundIdentifier(parts) => {
            let [table, column] = parts.as_slice() else { return None };
            scope.get(&table.value)?.as_ref()?.get(&column.value)?.clone()
        }
        _ => None,
    }
}

fn has_subquery(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |inner| match inner {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// The functions that compute one value of several rows.
const AGGREGATES: [&str; 13] = [
    "sum",
    "count",
    "min",
    "max",
    "avg",
    "first",
    "last",
    "median",
    "stddev",
    "variance",
    "quantile_cont",
    "quantile_disc",
    "corr",
];

fn has_aggregate(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |inner| match inner {
        Expr::Function(function) if AGGREGATES.contains(&function.name.to_string().to_lowercase().as_str()) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Vec<(String, Vec<String>)> {
        let table = |name: &str, columns: &[&str]| (name.to_owned(), columns.iter().map(|&column| column.to_owned()).collect());
        vec![table("clean_orders", &["id", "store", "cents"]), table("clean_stores", &["store", "name"])]
    }

    /// `column=table.column,…:relationship`, sorted.
    fn found(sql: &str) -> Vec<String> {
        let shown = |(name, sources): (String, Sources)| {
            let columns: Vec<String> = sources.columns.iter().map(|(table, column)| format!("{table}.{column}")).collect();
            format!("{name}={}:{:?}", columns.join(","), sources.relationship)
        };
        query_columns(sql, &tables()).into_iter().map(shown).collect()
    }

    #[test]
    fn steps_joins_and_aggregates_are_followed_to_the_inputs() {
        let sql = "WITH t AS (SELECT store, SUM(o.cents) AS cents, COUNT(*) AS n FROM clean_orders AS o GROUP BY store)
            SELECT t.store AS store, s.name, t.cents / 100 AS euros, t.n AS n, {window} AS day
            FROM t LEFT JOIN clean_stores AS s ON t.store = s.store";
        assert_eq!(
            found(sql),
            ["euros=clean_orders.cents:Aggregation", "name=clean_stores.name:Identity", "store=clean_orders.store:Identity"]
        );
    }

    #[test]
    fn what_is_not_certain_is_left_out() {
        let ambiguous = "SELECT store, o.id || s.name AS both FROM clean_orders AS o, clean_stores AS s";
        assert_eq!(found(ambiguous), ["both=clean_orders.id,clean_stores.name:Transformation"]);
        assert!(found("SELECT (SELECT MAX(cents) FROM clean_orders) AS most FROM clean_stores").is_empty());
        assert!(found("SELECT id FROM clean_orders UNION ALL SELECT name FROM clean_stores").is_empty());
        assert!(found("SELECT id FROM clean_orders, elsewhere").is_empty());
        assert!(found("SELECT id FROM").is_empty());
        assert_eq!(found("SELECT * FROM (SELECT name FROM clean_stores) AS s"), ["name=clean_stores.name:Identity"]);
    }

    #[test]
    fn an_expression_names_its_columns() {
        assert_eq!(expression_columns("CAST(paid AS BIGINT) + tax"), ["paid", "tax"]);
        assert!(expression_columns("paid +").is_empty());
    }
}
