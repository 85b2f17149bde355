//! The rows of a result as they come out of a plan: each batch becomes an Arrow batch while it is in the cache, on the thread that
//! made it, and goes to a sink on another, so that the result is never held as a whole here.
//!
//! ```text
//! plan ─▶ [take a batch over, join small ones, give a count on] ─▶ few batches that wait ─▶ sink, on threads of its own
//!                                                    └▶ the counts, which must add up
//! ```

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{Array, Decimal128Array, RecordBatch};
use arrow_select::concat::concat_batches;
use polars::prelude::{DataFrame, DataType, Field, IntoColumn, NamedFrom, PlSmallStr, PolarsError, PolarsResult, Schema, Series};
use polars_plan::plans::IRPlan;
use windrow_core::{Error, ErrorKind, Result};

use crate::bridge;
use crate::columns;
use crate::run::Query;
use crate::sink::{QueryError, Sink};
use crate::sorted::Proofs;
use crate::step::add_step;
use crate::stop::Stop;

/// The column of the counts.
const ROWS: &str = "rows";

/// A batch of fewer rows is joined with others: what follows takes batch by batch.
const SMALL_ROWS: usize = 1 << 13;

/// How many rows joined batches have at most.
const JOINED_ROWS: usize = 1 << 16;

/// And how many bytes, which is far from where the offsets of texts end.
const JOINED_BYTES: usize = 1 << 26;

/// How many batches wait for the sink at most.
const WAITING_BATCHES: usize = 4;

/// How many threads of its own a sink has at most; the query has as many as there are cores.
const MOST_THREADS: usize = 4;

/// Runs a query whose columns are plain ones, and hands its batches to a sink.
///
/// # Errors
/// What the query or the sink says.
pub(crate) fn deliver(mut query: Query, sink: &impl Sink) -> Result<Proofs, QueryError> {
    let schema = query.schema();
    let (sender, receiver) = sync_channel(WAITING_BATCHES);
    let delivery = Delivery::new(sender);
    delivery.end(&mut query.plan, query.stop.clone());
    let line = Line { receiver: Mutex::new((0, receiver)), rows: AtomicU64::new(0), delivery: &delivery };
    let threads = rayon::current_num_threads().clamp(1, MOST_THREADS);
    let ran = std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| line.hand_on(sink));
        }
        // Also after a panic, so that nobody waits for more.
        let _closing = Closing(&delivery);
        let ran = query.frame();
        if ran.is_ok() {
            delivery.flush();
        }
        ran
    });
    // A query that ends because of a batch says less than who refused the batch.
    if let Some(error) = delivery.0.failure.take() {
        return Err(error);
    }
    let (counts, proofs) = ran?;
    let rows = line.rows.into_inner();
    if rows != counted(&counts)? {
        return Err(Error::internal("rows of a result were lost on their way").with("rows", rows).into());
    }
    if rows == 0 {
        let empty = bridge::from_polars(DataFrame::empty_with_schema(&schema))?;
        (0..).zip(empty).try_for_each(|(number, batch)| sink.take(number, batch)).map_err(QueryError::Sink)?;
    }
    Ok(proofs)
}

fn counted(counts: &DataFrame) -> Result<u64> {
    let unreadable = |error| Error::internal("the batches of a result are not counted").caused_by(error);
    let counts = counts.column(ROWS).and_then(|column| column.u64()).map_err(unreadable)?;
    Ok(counts.iter().flatten().sum())
}

/// The first thing that went wrong.
#[derive(Default)]
struct Failure {
    is_there: AtomicBool,
    error: Mutex<Option<QueryError>>,
}

impl Failure {
    fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    fn set(&self, error: QueryError) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.is_there.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> Option<QueryError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Where the plan's batches go.
#[derive(Clone)]
struct Delivery(Arc<Shared>);

struct Shared {
    sender: Mutex<Option<SyncSender<RecordBatch>>>,
    small: Mutex<Small>,
    failure: Failure,
}

impl Delivery {
    fn new(sender: SyncSender<RecordBatch>) -> Self {
        Delivery(Arc::new(Shared { sender: Mutex::new(Some(sender)), small: Mutex::default(), failure: Failure::default() }))
    }

    /// Puts itself at the end of a plan, which yields counts from now on.
    fn end(&self, plan: &mut IRPlan, stop: Stop) {
        let taking = self.clone();
        let schema: Schema = std::iter::once(Field::new(ROWS.into(), DataType::UInt64)).collect();
        plan.lp_top = add_step(plan, ("deliver", plan.lp_top), Some(schema), move |frame| {
            stop.check()?;
            taking.take(&frame)
        });
    }

    fn take(&self, frame: &DataFrame) -> PolarsResult<DataFrame> {
        if frame.height() > 0 && !self.0.failure.is_there() {
            columns::batches(frame).and_then(within_digits).map_or_else(
                |error| self.0.failure.set(error.into()),
                |batches| batches.into_iter().for_each(|batch| self.add(batch)),
            );
        }
        if self.0.failure.is_there() {
            return Err(PolarsError::ComputeError("the rows are not taken any more".into()));
        }
        let rows = Series::new(PlSmallStr::from_static(ROWS), [frame.height() as u64]);
        DataFrame::new(1, vec![rows.into_column()])
    }

    fn add(&self, batch: RecordBatch) {
        let ready = self.0.small.lock().unwrap_or_else(PoisonError::into_inner).or_joined(batch);
        ready.into_iter().for_each(|batches| self.send(&batches));
    }

    fn flush(&self) {
        let rest = std::mem::take(&mut *self.0.small.lock().unwrap_or_else(PoisonError::into_inner));
        self.send(&rest.batches);
    }

    /// Joins batches, and waits until there is room for that.
    fn send(&self, batches: &[RecordBatch]) {
        let batch = match batches {
            [] => return,
            [batch] => batch.clone(),
            [first, ..] => match concat_batches(&first.schema(), batches) {
                Ok(batch) => batch,
                Err(error) => {
                    let error = Error::internal("the batches of a result cannot be joined").caused_by(error);
                    return self.0.failure.set(error.into());
                }
            },
        };
        let sender = self.0.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if sender.is_none_or(|sender| sender.send(batch).is_err()) {
            self.0.failure.set(Error::internal("a batch of a result came after its end").into());
        }
    }

    fn close(&self) {
        self.0.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Closes the way to the sink.
struct Closing<'a>(&'a Delivery);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Batches that are too small to be handed on one by one.
#[derive(Default)]
struct Small {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Small {
    /// Keeps a batch when it is small, and gives out what is to be handed on now.
    fn or_joined(&mut self, batch: RecordBatch) -> Option<Vec<RecordBatch>> {
        let (rows, bytes) = (batch.num_rows(), batch.get_array_memory_size());
        if rows >= SMALL_ROWS || bytes >= JOINED_BYTES {
            return Some(vec![batch]);
        }
        let is_full = self.rows + rows > JOINED_ROWS || self.bytes + bytes > JOINED_BYTES;
        let full = is_full.then(|| std::mem::take(self).batches);
        self.batches.push(batch);
        self.rows += rows;
        self.bytes += bytes;
        full
    }
}

/// The batches that wait for a sink.
struct Line<'a> {
    /// With the number of the next one.
    receiver: Mutex<(u32, Receiver<RecordBatch>)>,
    rows: AtomicU64,
    delivery: &'a Delivery,
}

impl Line<'_> {
    /// Hands batches to the sink until the last one; after a failure they are dropped, so that nobody waits for room.
    fn hand_on(&self, sink: &impl Sink) {
        let failure = &self.delivery.0.failure;
        let mut panic: Option<Box<dyn Any + Send>> = None;
        while let Some((number, batch)) = self.next() {
            if failure.is_there() {
                continue;
            }
            let rows = batch.num_rows() as u64;
            match catch_unwind(AssertUnwindSafe(|| sink.take(number, batch))) {
                Ok(Ok(())) => {
                    self.rows.fetch_add(rows, Ordering::Relaxed);
                }
                Ok(Err(error)) => failure.set(QueryError::Sink(error)),
                Err(payload) => {
                    failure.set(Error::internal("whoever takes the rows gave up").into());
                    panic = Some(payload);
                }
            }
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    fn next(&self) -> Option<(u32, RecordBatch)> {
        let mut line = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = line.1.recv().ok()?;
        let number = line.0;
        line.0 += 1;
        Some((number, batch))
    }
}

/// polars counts in 128 bits, which hold a little more than the 38 digits a decimal may have.
///
/// # Errors
/// `Misconfigured` for a decimal of more digits than its type has.
pub(crate) fn within_digits(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    for batch in &batches {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let decimals = column.as_any().downcast_ref::<Decimal128Array>();
            let Some(decimals) = decimals.filter(|decimals| !all_within(decimals)) else { continue };
            decimals.validate_decimal_precision(decimals.precision()).map_err(|error| {
                let message = "a decimal has more digits than its type holds";
                Error::new(ErrorKind::Misconfigured, message).with("column", field.name()).caused_by(error)
            })?;
        }
    }
    Ok(batches)
}

/// Tells whether all numbers have the digits of their type, whatever stands where a null is as well: mostly so, and quickly seen.
fn all_within(decimals: &Decimal128Array) -> bool {
    let bound = 10_u128.pow(u32::from(decimals.precision()));
    decimals.values().iter().fold(true, |all, number| all & (number.unsigned_abs() < bound))
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;

    use super::*;
    use crate::sink::Kept;

    fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(range)) as _)]).unwrap()
    }

    fn of(batches: &[RecordBatch]) -> Query {
        let frame = crate::bridge::to_polars(&numbers(0..0).schema(), batches).unwrap();
        Query::of(polars::prelude::IntoLazy::lazy(frame), &Stop::default()).unwrap()
    }

    fn kept(batches: &[RecordBatch]) -> Vec<RecordBatch> {
        let kept = Kept::default();
        deliver(of(batches), &kept).unwrap();
        kept.into_batches()
    }

    #[test]
    fn every_row_is_handed_on_once_and_no_row_at_all_is_a_batch_without_rows() {
        let most = 5 * SMALL_ROWS as i64;
        let batches = kept(&[numbers(0..most), numbers(most..most + 3), numbers(most + 3..most + 7)]);
        let mut values: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec())
            .collect();
        values.sort_unstable();
        assert_eq!(values, (0..most + 7).collect::<Vec<_>>());
        let none = kept(&[]);
        assert_eq!((none.len(), none[0].num_rows()), (1, 0));
    }

    #[test]
    fn large_batches_stay_as_they_are_and_small_ones_are_joined_up_to_a_bound() {
        let mut small = Small::default();
        let large = SMALL_ROWS as i64;
        assert_eq!(small.or_joined(numbers(0..large)), Some(vec![numbers(0..large)]));
        let half = large / 2;
        for number in 0..16 {
            assert_eq!(small.or_joined(numbers(number * half..(number + 1) * half)), None, "{number}");
        }
        let full = small.or_joined(numbers(0..half)).unwrap();
        assert_eq!(full.iter().map(RecordBatch::num_rows).sum::<usize>(), JOINED_ROWS);
        assert_eq!(small.batches, [numbers(0..half)]);
    }

    /// More rows than wait anywhere, on however many threads.
    fn many() -> [RecordBatch; 1] {
        [numbers(0..64 << 16)]
    }

    struct Full;

    impl Sink for Full {
        fn take(&self, number: u32, _: RecordBatch) -> Result<()> {
            if number == 0 { Ok(()) } else { Err(Error::new(ErrorKind::OutOfMemory, "the disk takes no more")) }
        }
    }

    #[test]
    fn a_sink_that_refuses_ends_the_query_with_its_own_words() {
        let QueryError::Sink(error) = deliver(of(&many()), &Full).unwrap_err() else { panic!("of the sink") };
        assert_eq!((error.kind(), error.message()), (ErrorKind::OutOfMemory, "the disk takes no more"));
    }

    struct Panicking;

    impl Sink for Panicking {
        fn take(&self, _: u32, _: RecordBatch) -> Result<()> {
            std::panic::panic_any("of the sink")
        }
    }

    #[test]
    fn a_sink_that_panics_holds_nobody_up() {
        assert!(catch_unwind(AssertUnwindSafe(|| deliver(of(&many()), &Panicking).is_ok())).is_err());
    }

    #[test]
    fn digits_are_counted_where_there_is_a_value() {
        let most = 10_i128.pow(5) - 1;
        let of = |values: Vec<i128>, is_valid: Vec<bool>| {
            let array = Decimal128Array::new(values.into(), Some(is_valid.into())).with_precision_and_scale(5, 2).unwrap();
            within_digits(vec![RecordBatch::try_from_iter([("d", Arc::new(array) as _)]).unwrap()])
        };
        assert!(of(vec![most, -most, most + 1], vec![true, true, false]).is_ok());
        for too_many in [most + 1, -most - 1, i128::MIN] {
            assert_eq!(of(vec![0, too_many], vec![true, true]).unwrap_err().kind(), ErrorKind::Misconfigured);
        }
    }
}
