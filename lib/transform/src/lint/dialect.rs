//! What the dialect lacks, found in the syntax tree, each with what to write instead (ENGINE.md, item 5).

use std::ops::ControlFlow;

use sqlparser::ast::{
    CastKind, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Query, Select,
    SelectItem, Spanned, TableFactor, TypedString, Value, Visit, Visitor,
};
use sqlparser::tokenizer::Span;
use windrow_core::Code::SqlUnsupported;

use super::findings::Findings;
use super::{joins, operators, shape};
use crate::functions::{self, Kind};

/// Whether only one row may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    /// A query: aggregates and windows are allowed.
    Query,
    /// An expression over one row.
    Row,
}

/// Reports every construct the dialect lacks.
pub(crate) fn check(tree: &impl Visit, grain: Grain, findings: &mut Findings<'_>) {
    let _ = tree.visit(&mut Dialect { grain, findings });
}

struct Dialect<'f, 'a> {
    grain: Grain,
    findings: &'f mut Findings<'a>,
}

impl Visitor for Dialect<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if self.grain == Grain::Row {
            self.refuse(
                query.span(),
                "a subquery in a row-wise expression",
                "an expression sees one row; join in a curated transform",
            );
        }
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            self.refuse(query.span(), "WITH RECURSIVE is not supported", "write the steps out");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for (span, title, help) in joins::check(select).into_iter().chain(shape::check(select)) {
            self.refuse(span, title, help);
        }
        if let Some(qualify) = &select.qualify {
            self.check_qualify(select, qualify);
        }
        for view in &select.lateral_views {
            self.refuse(view.lateral_view.span(), "LATERAL VIEW is not supported", "join the tables");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        match table {
            TableFactor::Table { name, args: Some(_), .. } => self.table_function(name),
            TableFactor::Function { name, .. } => self.table_function(name),
            TableFactor::TableFunction { expr, .. } => {
                self.refuse(expr.span(), "table functions are not supported", "read the declared input tables");
            }
            TableFactor::Table { name, sample: Some(_), .. } => {
                self.refuse(name.span(), "TABLESAMPLE is not supported", "a replay must yield the same rows");
            }
            TableFactor::Derived { lateral: true, subquery, .. } => {
                self.refuse(subquery.span(), "LATERAL is not supported", "join the tables, or use a window function");
            }
            TableFactor::Table { name, .. } if name.0.len() > 1 => {
                self.refuse(name.span(), "a table name has one part", "name the input table as the contract does");
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Some((span, title, help)) = operators::check(expression) {
            self.refuse(span, title, help);
        }
        match expression {
            Expr::Subquery(query) if self.grain == Grain::Query => {
                let help = "compute the value in a WITH step and CROSS JOIN it";
                self.refuse(query.span(), "a scalar subquery is not supported", help);
            }
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => {
                self.refuse(
                    expression.span(),
                    "ROLLUP, CUBE and GROUPING SETS are not supported",
                    "UNION ALL one SELECT a level",
                );
            }
            Expr::Function(function) => self.check_function(function),
            Expr::AtTimeZone { .. } => {
                self.refuse(expression.span(), "AT TIME ZONE is not supported", "CAST(x AS TIMESTAMP) gives the clock of UTC");
            }
            Expr::TypedString(typed) => self.check_literal(typed),
            Expr::Cast { kind: CastKind::TryCast | CastKind::SafeCast, .. } if self.grain == Grain::Row => {
                self.refuse(
                    expression.span(),
                    "TRY_CAST hides values that cannot be read",
                    "write CAST: a bad value becomes a violation",
                );
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Dialect<'_, '_> {
    fn refuse(&mut self, span: Span, title: impl Into<String>, help: impl Into<String>) {
        self.findings.at(SqlUnsupported, span, title, help);
    }

    fn table_function(&mut self, name: &ObjectName) {
        self.refuse(name.span(), format!("table function `{name}` is not supported"), "read the declared input tables");
    }

    fn check_qualify(&mut self, select: &Select, qualify: &Expr) {
        let projected = |expression: &Expr| {
            select.projection.iter().any(|item| match item {
                SelectItem::UnnamedExpr(shown) => shown == expression,
                SelectItem::ExprWithAlias { expr, .. } => expr == expression,
                _ => false,
            })
        };
        let mut foreign = None;
        let _ = sqlparser::ast::visit_expressions(qualify, |expression| {
            if matches!(expression, Expr::Function(function) if function.over.is_some()) && !projected(expression) {
                foreign = Some(expression.span());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        if let Some(span) = foreign {
            let help = "project it as a column of a subquery, and filter that with WHERE";
            self.refuse(span, "QUALIFY on a window function that is not projected is not supported", help);
        }
    }

    fn check_function(&mut self, function: &Function) {
        let name = function.name.to_string().to_lowercase();
        let span = function.name.span();
        let kind = functions::kind(&name);
        match kind {
            None => return self.refuse(span, format!("function `{name}` is not supported"), functions::instead(&name)),
            Some(Kind::Row) if function.over.is_none() => {}
            Some(_) if self.grain == Grain::Row => {
                let title = format!("`{name}` looks at more than one row");
                return self.refuse(span, title, "an expression keeps the grain: aggregate in a curated transform");
            }
            Some(_) => {}
        }
        if let Some((span, title, help)) = operators::check_window(function, &name, kind == Some(Kind::Aggregate)) {
            self.refuse(span, title, help);
        }
        if !function.within_group.is_empty() {
            self.refuse(span, "WITHIN GROUP is not supported", "write QUANTILE_CONT(x, 0.95)");
        }
        self.check_arguments(function, &name, span);
    }

    fn check_arguments(&mut self, function: &Function, name: &str, span: Span) {
        let FunctionArguments::List(list) = &function.args else { return };
        let arguments: Vec<&Expr> = list.args.iter().filter_map(plain_argument).collect();
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        if distinct && (arguments.len() > 1 || matches!(arguments.first(), Some(Expr::Tuple(_)))) {
            let help = "count the rows of SELECT DISTINCT a, b in a WITH step";
            self.refuse(span, "COUNT(DISTINCT …) of several columns is not supported", help);
        }
        if let Some((span, title, help)) = operators::check_call(name, &arguments) {
            self.refuse(span, title, help);
        }
        if matches!(name, "date" | "time" | "timestamp" | "datetime") && arguments.len() == 1 {
            let help = "give the pattern: DATE(x, '%Y-%m-%d')";
            self.refuse(span, format!("`{name}` with one argument guesses the pattern"), help);
        }
        if matches!(name, "first" | "last") && function.over.is_none() {
            let help = "use MIN, MAX, or row_number() in a WITH step";
            self.refuse(span, format!("`{name}` depends on the order of rows, which is not defined"), help);
        }
    }

    /// polars turns an impossible DATE literal into null.
    fn check_literal(&mut self, typed: &TypedString) {
        let Value::SingleQuotedString(text) = &typed.value.value else { return };
        let day = text.get(..10).unwrap_or(text);
        let dated = matches!(
            typed.data_type,
            sqlparser::ast::DataType::Date | sqlparser::ast::DataType::Timestamp(..) | sqlparser::ast::DataType::Datetime(_)
        );
        if dated && day.parse::<jiff::civil::Date>().is_err() {
            self.refuse(typed.value.span, format!("`{text}` is no calendar date"), "write YYYY-MM-DD");
        }
    }
}

/// The expression inside brackets.
pub(crate) fn without_brackets(expression: &Expr) -> &Expr {
    match expression {
        Expr::Nested(inner) => without_brackets(inner),
        other => other,
    }
}

fn plain_argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
        _ => None,
    }
}
