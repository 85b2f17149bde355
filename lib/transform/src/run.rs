//! Running a plan: optimise, guard against overflow, stream, hand out.

use std::sync::atomic::Ordering;

use polars::polars_utils::arena::Node;
use polars::prelude::{DataFrame, LazyFrame, SchemaRef};
use polars_plan::plans::{IR, IRPlan};
use windrow_core::{Error, Result};

use crate::bridge;
use crate::columns;
use crate::decimal::HasLarge;
use crate::delivery::{deliver, within_digits};
use crate::failure::guarded;
use crate::guard::{Sums, guard, has_total};
use crate::input::Inputs;
use crate::needs::Needs;
use crate::params::Params;
use crate::sink::{QueryError, Sink};
use crate::sorted::{Proofs, below_first, use_order};
use crate::step::add_step;
use crate::stop::Stop;
use crate::transform::Transform;

/// Computes a transform's result into a sink that `begin` makes. A sum that could leave its type is computed once more, into another
/// sink; the one that has the whole result comes back.
///
/// The order of rows is not defined, also where the transform sorts; the contract's `sort` decides it later.
///
/// # Errors
/// `Misconfigured` for SQL that cannot be planned, a cast that fails and a number that outgrows its type;
/// `OutOfMemory` and `Interrupted` for a query that was told to end; `Transient` for input files that cannot be read; what the
/// sink says, as such.
pub fn run<S: Sink>(
    transform: &dyn Transform,
    inputs: &Inputs,
    params: &Params,
    stop: &Stop,
    begin: impl Fn() -> Result<S>,
) -> Result<S, QueryError> {
    let named = |error| match error {
        QueryError::Engine(error) => QueryError::Engine(error.with("transform", transform.name())),
        sink @ QueryError::Sink(_) => sink,
    };
    into_sink(transform.plan(inputs, params)?, stop, begin).map_err(named)
}

/// Runs a plan on the streaming engine, with overflow guards.
///
/// # Errors
/// As [`run`].
pub fn collect(plan: LazyFrame, stop: &Stop) -> Result<DataFrame> {
    exactly(|sums| Query::new(plan.clone(), sums, stop)?.frame())
}

fn into_sink<S: Sink>(plan: LazyFrame, stop: &Stop, begin: impl Fn() -> Result<S>) -> Result<S, QueryError> {
    exactly(|sums| {
        let sink = begin().map_err(QueryError::Sink)?;
        let query = Query::new(plan.clone(), sums, stop)?;
        if columns::is_plain(&query.schema()) {
            return deliver(query, &sink).map(|proofs| (sink, proofs));
        }
        let (frame, proofs) = query.frame()?;
        let batches = bridge::from_polars(frame).and_then(within_digits)?;
        (0..).zip(batches).try_for_each(|(number, batch)| sink.take(number, batch)).map_err(QueryError::Sink)?;
        Ok((sink, proofs))
    })
}

/// Runs once, and once more with doubled sums where a number is so large that a sum could leave its type.
fn exactly<T, E: From<Error>>(run: impl Fn(&Sums) -> Result<(T, Proofs), E>) -> Result<T, E> {
    let has_large = HasLarge::default();
    let (result, proofs) = run(&Sums::Watched(has_large.clone()))?;
    proofs.check()?;
    if !has_large.load(Ordering::Relaxed) {
        return Ok(result);
    }
    drop(result);
    let (result, proofs) = run(&Sums::Doubled)?;
    proofs.check()?;
    Ok(result)
}

/// A plan that is ready to run.
pub(crate) struct Query {
    pub(crate) plan: IRPlan,
    pub(crate) stop: Stop,
    proofs: Proofs,
}

impl Query {
    #[cfg(test)]
    pub(crate) fn of(plan: LazyFrame, stop: &Stop) -> Result<Query> {
        Query::new(plan, &Sums::Doubled, stop)
    }

    fn new(plan: LazyFrame, sums: &Sums, stop: &Stop) -> Result<Query> {
        guarded(|| {
            // polars prunes an aggregate nobody reads to the rows it aggregates, and one row becomes many.
            let is_pruned_rightly = !has_total(&plan.clone().to_alp()?);
            let mut plan = plan.with_streaming(true).with_projection_pushdown(is_pruned_rightly).to_alp_optimized()?;
            guard(&mut plan, sums)?;
            let proofs = use_order(&mut plan)?;
            let nodes = below_first(&plan);
            stop.begin(Needs::of(&plan, &nodes, proofs.len()));
            for node in nodes {
                let is_stop = match plan.lp_arena.get(node) {
                    IR::Scan { .. } => true,
                    // Many rows of few; a step above would hide what order they come in.
                    IR::Join { .. } => proofs.is_empty(),
                    _ => false,
                };
                if is_stop {
                    stop_at(&mut plan, node, stop);
                }
            }
            Ok(Query { plan, stop: stop.clone(), proofs })
        })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.plan.lp_arena.get(self.plan.lp_top).schema(&self.plan.lp_arena).into_owned()
    }

    /// # Errors
    /// As [`run`].
    pub(crate) fn frame(self) -> Result<(DataFrame, Proofs)> {
        let Query { mut plan, stop, proofs } = self;
        plan.ensure_root_node_is_sink();
        let result = guarded(|| polars_stream::run_query(plan.lp_top, &mut plan.lp_arena, &mut plan.expr_arena));
        let result = result.map_err(|error| stop.error().unwrap_or(error))?;
        // A plan with one sink has one result; polars does not export the type to match on.
        Ok((result.unwrap_single(), proofs))
    }
}

/// Looks at `stop` with every batch that a node yields.
fn stop_at(plan: &mut IRPlan, node: Node, stop: &Stop) {
    let moved = plan.lp_arena.get(node).clone();
    let moved = plan.lp_arena.add(moved);
    let stop = stop.clone();
    let stopped = add_step(plan, ("stop", moved), None, move |frame| stop.check().map(|()| frame));
    let stopped = plan.lp_arena.get(stopped).clone();
    plan.lp_arena.replace(node, stopped);
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, Date32Array, Int64Array, RecordBatch};
    use std::sync::Arc;
    use windrow_core::ErrorKind;

    use crate::Inputs;
    use crate::fixture::{batch, decimals, inputs, keep_only, one_decimal, params, query, run, schema, texts, write_parquet};
    use crate::{Registry, SqlTransform, TableInput};
    use arrow_schema::{DataType, Field, Schema};

    fn misconfigured(sql: &str) -> String {
        let error = query(sql).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{sql}: {error}");
        error.to_string()
    }

    #[test]
    fn files_of_a_head_are_read_with_their_partition_column_and_never_globbed() {
        let folder = tempfile::tempdir().unwrap();
        let ids = |values: Vec<i64>| RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(values)) as _)]).unwrap();
        let first = write_parquet(folder.path(), "a[1]*.parquet", &ids(vec![1, 2]));
        write_parquet(folder.path(), "a1x.parquet", &ids(vec![99]));
        let schema = Schema::new(vec![Field::new("day", DataType::Date32, false), Field::new("id", DataType::Int64, false)]);
        let partition = Some(("day".to_owned(), params().window));
        let table = TableInput { name: "clean_orders".into(), schema: Arc::new(schema), files: vec![first], partition };
        let sql = "SELECT day, sum(id) AS total FROM clean_orders WHERE day = {window} GROUP BY day";
        let tables = Inputs::from_tables(&[table]).unwrap();
        let result = run(&SqlTransform::new("q.sql", sql), &tables, &params()).unwrap().remove(0);
        assert_eq!(result.column(0).as_any().downcast_ref::<Date32Array>().unwrap().value(0), 15_707);
        assert_eq!(result.column(1).as_any().downcast_ref::<Int64Array>().unwrap().value(0), 3);
    }

    #[test]
    fn a_file_of_another_type_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path =
            write_parquet(folder.path(), "a.parquet", &RecordBatch::try_from_iter([("id", decimals(vec![1], 5, 2))]).unwrap());
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
        let table = TableInput { name: "t".into(), schema: Arc::new(schema), files: vec![path], partition: None };
        let tables = Inputs::from_tables(&[table]).unwrap();
        assert!(run(&SqlTransform::new("q.sql", "SELECT id FROM t"), &tables, &params()).is_err());
    }

    #[test]
    fn a_head_without_files_is_an_empty_table() {
        let table = TableInput { name: "t".into(), schema: schema(), files: vec![], partition: None };
        let tables = Inputs::from_tables(&[table]).unwrap();
        let result = run(&SqlTransform::new("q.sql", "SELECT id FROM t"), &tables, &params()).unwrap();
        assert_eq!((result.len(), result[0].num_rows()), (1, 0));
    }

    #[test]
    fn placeholders_are_typed_facts_of_the_run() {
        let sql = "SELECT CAST({window} AS VARCHAR) AS w, CAST({window_start} AS VARCHAR) AS s, CAST({run_time} AS VARCHAR) AS r
                   FROM t WHERE CAST(at AS TIMESTAMP) < {window_end} LIMIT 1";
        let result = query(sql).unwrap();
        let row: Vec<String> = (0..3).map(|column| texts(&result, column).remove(0)).collect();
        assert_eq!(row, ["2013-01-02", "2013-01-02 05:00:00.000000", "2013-01-03 04:05:06.000000"]);
    }

    #[test]
    fn an_unknown_placeholder_is_refused_at_its_place() {
        let message = misconfigured("SELECT id\nFROM t WHERE day = {windw}");
        assert!(message.starts_with("q.sql:2:20: W0703: unknown placeholder `{windw}`"), "{message}");
    }

    #[test]
    fn overflow_is_an_error_everywhere() {
        for sql in [
            "SELECT tiny * 100 AS x FROM t",
            "SELECT id + 1 AS x FROM t",
            "SELECT id * id AS x FROM t",
            "SELECT sum(id) AS x FROM t",
            "SELECT flag, sum(id) AS x FROM t GROUP BY flag",
            "SELECT sum(year * 1000000) AS x FROM t",
            "SELECT sum(id) OVER (ORDER BY tiny) AS x FROM t",
            "SELECT sum(huge) AS x FROM t",
            "SELECT flag, sum(huge) AS x FROM t WHERE id <> 3 GROUP BY flag HAVING sum(huge) > 0 ORDER BY sum(huge + huge)",
            "SELECT year > 0 AS g, sum(huge) AS x FROM t GROUP BY year > 0",
            "SELECT huge * 2 AS x FROM t",
            "SELECT huge + huge AS x FROM t",
            "SELECT huge + CAST(price AS DECIMAL(38,6)) AS x FROM t",
            "SELECT huge * CAST(1 AS DECIMAL(38,6)) AS x FROM t",
            "SELECT id FROM t WHERE huge > CAST(price AS DECIMAL(38,6))",
            "SELECT COALESCE(CAST(price AS DECIMAL(38,6)), huge) AS x FROM t",
            "SELECT CASE WHEN tiny = 12 THEN CAST(price AS DECIMAL(38,6)) ELSE huge END AS x FROM t",
            "SELECT huge AS x FROM t UNION ALL SELECT CAST(price AS DECIMAL(38,6)) AS x FROM t",
            "SELECT id FROM t WHERE huge BETWEEN CAST(1 AS DECIMAL(38,6)) AND CAST(2 AS DECIMAL(38,6))",
            "SELECT id - CAST(2 AS DECIMAL(38,37)) AS x FROM t",
            "SELECT huge - CAST(0.000001 AS DECIMAL(38,6)) AS x FROM t",
            "SELECT CAST(id AS INT) AS x FROM t",
            "SELECT CAST(CAST(huge AS DOUBLE) * 2 AS DECIMAL(38,4)) AS x FROM t",
        ] {
            misconfigured(sql);
        }
    }

    #[test]
    fn try_cast_makes_null_of_what_does_not_fit() {
        for sql in ["SELECT TRY_CAST(huge AS DECIMAL(20,4)) AS x FROM t", "SELECT TRY_CAST(id AS INT) AS x FROM t WHERE id <> 3"]
        {
            assert!(query(sql).unwrap().column(0).null_count() > 0, "{sql}");
        }
    }

    #[test]
    fn an_overflow_is_told_in_our_words() {
        let message = misconfigured("SELECT sum(id) AS x FROM t");
        assert!(message.contains("a number outgrew its type") && message.contains("transform=q.sql"), "{message}");
    }

    #[test]
    fn an_aggregate_over_all_rows_is_one_row_whoever_reads_it() {
        for (sql, rows) in [
            ("WITH s AS (SELECT max(id) AS m FROM t) SELECT t.id AS i FROM t CROSS JOIN s", 3),
            ("SELECT 5 AS n FROM (SELECT 7 AS k, max(tiny) AS m FROM t) AS s", 1),
            ("SELECT max(tiny) AS m FROM t WHERE tiny > 99", 1),
            ("SELECT count(DISTINCT tiny) AS m FROM t", 1),
        ] {
            assert_eq!(query(sql).unwrap().num_rows(), rows, "{sql}");
        }
    }

    #[test]
    fn a_literal_is_in_every_row_and_spares_no_column_that_is_needed_and_reads_none_that_is_not() {
        for sql in [
            "SELECT k FROM (SELECT 7 AS k, id FROM t) AS s",
            "SELECT 5 AS n FROM (SELECT 7 AS k, 8 AS z FROM t) AS s",
            "SELECT d FROM (SELECT id, {window} AS d FROM t) AS s",
        ] {
            assert_eq!(query(sql).unwrap().num_rows(), 3, "{sql}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = write_parquet(folder.path(), "a.parquet", &batch());
        keep_only(&file, &["tiny", "year"]);
        let table = TableInput { name: "t".into(), schema: schema(), files: vec![file], partition: None };
        let tables = Inputs::from_tables(&[table]).unwrap();
        for sql in [
            "WITH s AS (SELECT {window} AS day, tiny, year FROM t) SELECT day, tiny, count(*) AS n FROM s GROUP BY day, tiny",
            "SELECT sum(year) AS y FROM t WHERE tiny > 0",
        ] {
            run(&SqlTransform::new("q.sql", sql), &tables, &params()).unwrap();
        }
        assert!(run(&SqlTransform::new("q.sql", "SELECT id FROM t"), &tables, &params()).is_err());
    }

    #[test]
    fn narrow_decimals_are_summed_without_a_guard_and_exactly() {
        let most = 10_i128.pow(25) - 1;
        let batch = RecordBatch::try_from_iter([("d", decimals(vec![most; 1_000], 25, 2))]).unwrap();
        let tables = Inputs::new().with_batches("t", &batch.schema(), &[batch]).unwrap();
        let result = run(&SqlTransform::new("q.sql", "SELECT sum(d) AS s FROM t"), &tables, &params()).unwrap();
        assert_eq!(one_decimal(&result[0]), (most * 1_000, 2));
    }

    #[test]
    fn joins_match_no_nulls_and_keep_the_sides_of_equal_names_apart() {
        let rows = |sql: &str| {
            let result = query(sql).unwrap();
            let mut rows: Vec<String> = texts(&result, 0).into_iter().zip(texts(&result, 1)).map(|(a, b)| a + "/" + &b).collect();
            rows.sort();
            rows
        };
        let of = |kind: &str| {
            format!(
                "WITH o AS (SELECT NULLIF(text, 'a') AS text, tiny FROM t) SELECT CAST(t.tiny AS VARCHAR) AS a, \
                 CAST(o.tiny AS VARCHAR) AS b FROM t {kind} JOIN o ON t.text = o.text"
            )
        };
        assert_eq!(rows(&of("INNER")), ["2/2"]);
        assert_eq!(rows(&of("LEFT")), ["1/null", "12/null", "2/2"]);
        assert_eq!(rows(&of("RIGHT")), ["2/2", "null/1", "null/12"]);
        assert_eq!(rows(&of("FULL")), ["1/null", "12/null", "2/2", "null/1", "null/12"]);
    }

    #[test]
    fn what_was_never_linted_is_still_refused_when_it_loses_digits() {
        assert!(misconfigured("SELECT sum(price * discount) AS x FROM t").starts_with("q.sql:1:12: W0704"));
        assert!(misconfigured("SELECT DATE '2024-02-31' AS x FROM t").contains("W0702"));
        let exists = misconfigured("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t AS o WHERE o.id = t.id) OR id = 5");
        assert!(exists.contains("q.sql:1:") && exists.contains("W0702: this EXISTS is not supported"), "{exists}");
        for sql in
            ["SELECT 1 AS x WHERE 1 = 0", "SELECT day + INTERVAL '1 hour' AS d FROM t", "SELECT CAST(ratio AS INT) AS n FROM t"]
        {
            assert!(misconfigured(sql).contains("W0702"), "{sql}");
        }
    }

    #[test]
    fn sums_within_the_type_are_exact() {
        assert_eq!(one_decimal(&query("SELECT sum(huge) AS x FROM t WHERE id = 2").unwrap()), (10_i128.pow(38) - 1, 4));
    }

    #[test]
    fn money_in_the_cast_form_equals_the_reference_to_the_last_digit() {
        let rows = 100_000_i128;
        let price: Vec<i128> = (0..rows).map(|row| 9_000_000_000_000 + (row * 7_919) % 1_000_003).collect();
        let discount: Vec<i128> = (0..rows).map(|row| (row * 31) % 11).collect();
        let exact: i128 = price.iter().zip(&discount).map(|(price, discount)| price * (100 - discount)).sum();
        assert!(exact > i128::from(i64::MAX));
        let batch = RecordBatch::try_from_iter([("p", decimals(price, 15, 2)), ("d", decimals(discount, 15, 2))]).unwrap();
        let tables = Inputs::new().with_batches("t", &batch.schema(), &[batch]).unwrap();
        let sql = "SELECT sum(CAST(p AS DECIMAL(38,4)) * CAST(1 - d AS DECIMAL(38,4))) AS revenue FROM t";
        let result = run(&SqlTransform::new("q.sql", sql), &tables, &params()).unwrap();
        assert_eq!(one_decimal(&result[0]), (exact, 4));
    }

    #[test]
    fn failed_casts_and_unknown_columns_are_errors_and_name_the_transform() {
        assert!(misconfigured("SELECT CAST(text AS INT) AS x FROM t").contains("transform=q.sql"));
        assert!(misconfigured("SELECT idd FROM t").contains("idd"));
    }

    #[test]
    fn only_one_query_is_accepted() {
        assert!(misconfigured("SELECT 1 AS a; SELECT 2 AS b").contains("q.sql:1:16: W0702"));
        assert!(misconfigured("DELETE FROM t").contains("W0702: `DELETE` is not a query"));
        assert!(misconfigured("SELECT id FRM t WHERE\n  1 = ").contains("W0701"));
    }

    #[test]
    fn a_rust_transform_is_found_by_name() {
        let registry = Registry::new().with("orders_daily", |inputs, _| Ok(inputs.table("t")?.limit(1)));
        let transform = registry.get("orders_daily").unwrap();
        assert_eq!(run(&transform, &inputs(), &params()).unwrap()[0].num_rows(), 1);
        assert_eq!(registry.get("orders_dayly").unwrap_err().help_text(), Some("did you mean `orders_daily`?"));
        assert_eq!(batch().num_rows(), 3);
    }
}
