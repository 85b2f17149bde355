//! How a query that runs is told to end, and what it says then.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use polars::prelude::{PolarsError, PolarsResult};
use windrow_core::{Error, ErrorKind};

use crate::needs::Needs;

/// Why a query is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The run was asked to stop.
    Interrupted,
    /// The process holds more bytes than it may.
    Memory {
        /// What it holds.
        held: u64,
        /// What it may hold.
        limit: u64,
    },
}

/// Shared by a query and whoever watches it. The query looks at it with every batch that it reads or yields.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    reason: OnceLock<StopReason>,
    /// Those of the query that runs.
    needs: Mutex<Needs>,
}

impl Stop {
    /// Tells the query to end; the first reason stays.
    pub fn now(&self, reason: StopReason) {
        let _ = self.0.reason.set(reason);
    }

    /// Why the query is to end, if it is.
    pub fn reason(&self) -> Option<StopReason> {
        self.0.reason.get().copied()
    }

    /// What was told to end says, with the limit that would do.
    pub fn error(&self) -> Option<Error> {
        self.reason().map(|reason| match reason {
            StopReason::Interrupted => Error::new(ErrorKind::Interrupted, "stopped by a signal; nothing was half-published"),
            StopReason::Memory { held, limit } => {
                let needs = self.0.needs.lock().unwrap_or_else(PoisonError::into_inner);
                out_of_memory(held, limit, &needs)
            }
        })
    }

    /// From here on a query with these needs runs.
    pub(crate) fn begin(&self, needs: Needs) {
        *self.0.needs.lock().unwrap_or_else(PoisonError::into_inner) = needs;
    }

    /// # Errors
    /// When the query is to end; what it says is not shown.
    pub(crate) fn check(&self) -> PolarsResult<()> {
        self.reason().map_or(Ok(()), |_| Err(PolarsError::ComputeError("the query was told to end".into())))
    }
}

fn out_of_memory(held: u64, limit: u64, needs: &Needs) -> Error {
    let would_do = needs.would_do(limit) >> 20;
    let message = format!("the work was ended at {} MiB of memory, and the limit is {} MiB", held >> 20, limit >> 20);
    let why =
        ": results spill to disk, but not what SQL groups, joins or sorts by columns that its tables are not in the order of";
    let more = format!(
        "give the worker more memory and `--memory-limit {would_do}MiB` or none, declare a finer window, or compute fewer at a time \
         (`--concurrency 1`)"
    );
    let sort = "; tables whose contracts `sort` by what SQL groups and joins by need less";
    let (message, help) = if needs.is_empty() { (message, more) } else { (message + why, more + sort) };
    Error::new(ErrorKind::OutOfMemory, message).with("would_do_mib", would_do).help(help)
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;
    use windrow_core::gate::{Check, Metric, Number, Severity, Threshold};
    use windrow_core::{Place, Result};

    use super::*;
    use crate::fixture::{batch, params, schema, write_parquet};
    use crate::{Inputs, Kept, QueryError, Sink, SqlTransform, TableInput};

    const MEMORY: StopReason = StopReason::Memory { held: 200 << 20, limit: 128 << 20 };

    fn table(folder: &std::path::Path, files: usize) -> TableInput {
        let files = (0..files).map(|file| write_parquet(folder, &format!("{file}.parquet"), &batch()));
        TableInput { name: "t".into(), schema: schema(), files: files.collect(), partition: None }
    }

    fn run<S: Sink>(sql: &str, table: TableInput, stop: &Stop, begin: impl Fn() -> Result<S>) -> Result<S> {
        let tables = Inputs::from_tables(&[table])?;
        crate::run(&SqlTransform::new("q.sql", sql), &tables, &params(), stop, begin).map_err(QueryError::into_error)
    }

    #[test]
    fn a_query_that_is_told_to_end_says_why_and_what_would_do() {
        let folder = tempfile::tempdir().unwrap();
        for (reason, kind) in [(MEMORY, ErrorKind::OutOfMemory), (StopReason::Interrupted, ErrorKind::Interrupted)] {
            let stop = Stop::default();
            stop.now(reason);
            stop.now(StopReason::Interrupted);
            let error = run("SELECT id FROM t", table(folder.path(), 1), &stop, || Ok(Kept::default())).unwrap_err();
            assert_eq!((stop.reason(), error.kind()), (Some(reason), kind));
            let would_do = error.context().iter().find(|(key, _)| *key == "would_do_mib").map(|(_, mib)| mib.as_str());
            assert_eq!(would_do, (kind == ErrorKind::OutOfMemory).then_some("320"));
        }
    }

    /// Tells the query to end when it takes the first rows.
    struct Telling<'a>(&'a Stop);

    impl Sink for Telling<'_> {
        fn take(&self, _: u32, _: RecordBatch) -> Result<()> {
            self.0.now(MEMORY);
            Ok(())
        }
    }

    #[test]
    fn a_query_ends_in_the_middle() {
        let folder = tempfile::tempdir().unwrap();
        let stop = Stop::default();
        // More rows than wait anywhere.
        let sql = "SELECT a.id AS id, b.tiny AS tiny FROM t AS a CROSS JOIN t AS b CROSS JOIN t AS c";
        let error = run(sql, table(folder.path(), 60), &stop, || Ok(Telling(&stop))).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    }

    #[test]
    fn a_check_that_is_told_to_end_is_not_a_broken_one() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new("t.odcs.yaml", 1, 1);
        let (threshold, severity) = (Threshold::MustBe(Number::whole(0)), Severity::Error);
        let sql = "SELECT count(*) FROM {object} WHERE id > 5".into();
        let check = Check { id: "c".into(), metric: Metric::SqlNumber(sql), threshold, severity, place };
        let stop = Stop::default();
        stop.now(MEMORY);
        let error = crate::run_checks(&[check], &table(folder.path(), 1), &params(), &stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }
}
