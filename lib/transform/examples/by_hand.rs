//! W2 of benches/peers as a plan written by hand for the crate that windrow runs its SQL on: the same engine without windrow.
//!
//! ```text
//! by_hand w2 LINEITEM ORDERS OUT     folders; writes OUT/order_revenue/x.parquet and OUT/daily_revenue/x.parquet
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::prelude::{
    DataType, Engine, FileWriteFormat, JoinArgs, JoinType, LazyFrame, OptFlags, ParquetCompression, ParquetWriteOptions,
    PlRefPath, PolarsResult, ScanArgsParquet, UnifiedSinkArgs, col, len, lit,
};
use polars_parquet::write::ZstdLevel;
use polars_plan::dsl::{SinkDestination, SinkTarget};

fn main() -> PolarsResult<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [work, lineitem, orders, out] = arguments.as_slice() else { return Err(usage()) };
    if work.as_os_str() != "w2" {
        return Err(usage());
    }
    // A product keeps the larger scale of both factors, so the price gets the four digits first.
    let price = col("l_extendedprice").cast(DataType::Decimal(38, 4));
    let lines = scan(lineitem)?.group_by([col("l_orderkey")]).agg([
        (price * (lit(1) - col("l_discount"))).sum().alias("revenue"),
        len().cast(DataType::Int64).alias("lines"),
        col("l_quantity").sum().alias("quantity"),
        col("l_shipdate").max().alias("last_ship"),
    ]);
    let joined = scan(orders)?.join(lines, [col("o_orderkey")], [col("l_orderkey")], JoinArgs::new(JoinType::Inner));
    let daily = joined
        .clone()
        .group_by([col("o_orderdate"), col("o_orderpriority")])
        .agg([col("revenue").sum(), len().cast(DataType::Int64).alias("orders")]);
    let sinks = [sink(daily, out, "daily_revenue")?, sink(joined, out, "order_revenue")?];
    let plans = sinks.into_iter().map(|sink| sink.logical_plan).collect();
    LazyFrame::collect_all_with_engine(plans, Engine::Streaming, OptFlags::default()).map(drop)
}

fn usage() -> polars::prelude::PolarsError {
    polars::prelude::polars_err!(InvalidOperation: "usage: by_hand w2 LINEITEM ORDERS OUT")
}

fn scan(folder: &Path) -> PolarsResult<LazyFrame> {
    LazyFrame::scan_parquet(PlRefPath::try_from_path(&folder.join("*.parquet"))?, ScanArgsParquet::default())
}

fn sink(frame: LazyFrame, out: &Path, table: &str) -> PolarsResult<LazyFrame> {
    let target = SinkTarget::Path(PlRefPath::try_from_path(&out.join(table).join("x.parquet"))?);
    let compression = ParquetCompression::Zstd(Some(ZstdLevel::try_new(1)?));
    let options = ParquetWriteOptions { compression, ..ParquetWriteOptions::default() };
    let arguments = UnifiedSinkArgs { mkdir: true, ..UnifiedSinkArgs::default() };
    frame.sink(SinkDestination::File { target }, FileWriteFormat::Parquet(Arc::new(options)), arguments)
}
