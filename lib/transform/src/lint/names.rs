//! Unknown tables and columns, all at once, each at its own token.
//!
//! A name counts as known when any table in reach or any alias of the statement has it; what is known but out of scope
//! is found by the planner afterwards.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow_schema::SchemaRef;
use sqlparser::ast::{Expr, Ident, ObjectName, Query, Select, SelectItem, Spanned, TableAlias, TableFactor, Visit, Visitor};
use windrow_core::{Code, suggest};

use super::findings::Findings;

/// Reports every unknown table and column.
pub(crate) fn check(tree: &impl Visit, tables: &[(String, SchemaRef)], findings: &mut Findings<'_>) {
    let mut aliases = Aliases::default();
    let _ = tree.visit(&mut aliases);
    let mut known = Known { tables: aliases.tables, columns: aliases.columns, inputs: tables, findings };
    for (name, schema) in tables {
        known.tables.insert(name.clone());
        known.columns.extend(schema.fields().iter().map(|field| field.name().clone()));
    }
    let _ = tree.visit(&mut known);
}

/// The identifiers of an expression that name columns, without their tables.
pub(crate) fn columns_of(tree: &impl Visit) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let _ = sqlparser::ast::visit_expressions(tree, |expression| {
        match expression {
            Expr::Identifier(ident) => found.insert(ident.value.clone()),
            Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|ident| found.insert(ident.value.clone())),
            _ => false,
        };
        ControlFlow::<()>::Continue(())
    });
    found
}

/// The tables a query names or makes, those of its subqueries too.
pub(crate) fn tables_of(query: &Query) -> BTreeSet<String> {
    let mut aliases = Aliases::default();
    let _ = query.visit(&mut aliases);
    let mut tables = aliases.tables;
    let _ = sqlparser::ast::visit_relations(query, |name| {
        tables.insert(name.to_string());
        ControlFlow::<()>::Continue(())
    });
    tables
}

#[derive(Default)]
struct Aliases {
    tables: BTreeSet<String>,
    columns: BTreeSet<String>,
}

impl Aliases {
    fn table(&mut self, alias: &TableAlias) {
        self.tables.insert(alias.name.value.clone());
        self.columns.extend(alias.columns.iter().map(|column| column.name.value.clone()));
    }
}

impl Visitor for Aliases {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for step in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.table(&step.alias);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.columns.insert(alias.value.clone());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } = table {
            // A table function: refused elsewhere, not an unknown table.
            self.tables.insert(name.to_string());
        }
        let alias = match table {
            TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } => alias,
            _ => &None,
        };
        if let Some(alias) = alias {
            self.table(alias);
        }
        ControlFlow::Continue(())
    }
}

struct Known<'f, 'a, 't> {
    tables: BTreeSet<String>,
    columns: BTreeSet<String>,
    inputs: &'t [(String, SchemaRef)],
    findings: &'f mut Findings<'a>,
}

impl Known<'_, '_, '_> {
    fn column(&mut self, ident: &Ident) {
        if !self.columns.contains(&ident.value) {
            let words: Vec<&str> = self.columns.iter().map(String::as_str).collect();
            let title = format!("unknown column `{}`", ident.value);
            self.findings.at(Code::SqlColumn, ident.span, title, suggest::hint(&ident.value, &words));
        }
    }

    fn table(&mut self, name: &str, span: sqlparser::tokenizer::Span) {
        let words: Vec<&str> = self.inputs.iter().map(|(name, _)| name.as_str()).collect();
        self.findings.at(Code::SqlColumn, span, format!("unknown table `{name}`"), suggest::hint(name, &words));
    }
}

impl Visitor for Known<'_, '_, '_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if let [part] = relation.0.as_slice()
            && let Some(ident) = part.as_ident()
            && !self.tables.contains(&ident.value)
        {
            self.table(&ident.value, relation.span());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(ident) => self.column(ident),
            Expr::CompoundIdentifier(parts) => {
                if let [first, second, ..] = parts.as_slice() {
                    if self.tables.contains(&first.value) {
                        self.column(second);
                    } else if !self.columns.contains(&first.value) {
                        self.table(&first.value, first.span);
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
