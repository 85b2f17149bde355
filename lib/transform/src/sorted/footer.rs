//! What the footers of a table's files say about the order of its rows.

use std::fs::File;
use std::path::Path;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::statistics::Statistics;

/// The column that the rows of all files, one after the other, are in ascending order of, without nulls.
///
/// Every row group must name the column as the first it is sorted by, and the bounds of each must not be before those of the one
/// before. `None` as soon as anything is missing: a footer that cannot be read is told by whoever reads the rows.
pub(super) fn sorted_by(files: &[impl AsRef<Path>]) -> Option<String> {
    let footers: Vec<ParquetMetaData> = files.iter().map(|file| footer(file.as_ref())).collect::<Option<_>>()?;
    let mut sorted_by: Option<String> = None;
    let mut last = i64::MIN;
    for group in footers.iter().flat_map(ParquetMetaData::row_groups).filter(|group| group.num_rows() > 0) {
        let (column, least, greatest) = order_of(group)?;
        if *sorted_by.get_or_insert_with(|| column.clone()) != column || least < last {
            return None;
        }
        last = greatest;
    }
    sorted_by
}

fn footer(file: &Path) -> Option<ParquetMetaData> {
    ParquetMetaDataReader::new().parse_and_finish(&File::open(file).ok()?).ok()
}

/// The first column a row group is sorted by, with its bounds.
fn order_of(group: &RowGroupMetaData) -> Option<(String, i64, i64)> {
    let first = group.sorting_columns()?.first().filter(|first| !first.descending)?;
    let column = group.columns().get(usize::try_from(first.column_idx).ok()?)?;
    let [name] = column.column_path().parts() else { return None };
    let statistics = column.statistics().filter(|statistics| statistics.null_count_opt() == Some(0))?;
    let (least, greatest) = match statistics {
        Statistics::Int32(bounds) => (i64::from(*bounds.min_opt()?), i64::from(*bounds.max_opt()?)),
        Statistics::Int64(bounds) => (*bounds.min_opt()?, *bounds.max_opt()?),
        _ => return None,
    };
    Some((name.clone(), least, greatest))
}
