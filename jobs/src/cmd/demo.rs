//! `windrow demo DIR`: an example project with real data, written and run; the first success, offline, in one command.

use std::fs;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use windrow_core::ledger::Reason;
use windrow_core::{Error, ErrorKind, PartitionWindow, Result, Table};

use crate::cli::Common;
use crate::config;
use crate::report::{Reporter, count};
use crate::session::Session;
use crate::{lint, plan, runtime};

use super::run::{WindowResult, summarise, walk_windows};

static SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../schemas");
static SQL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/sql");
static QUALITY: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../quality");
static RAW: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../examples/raw");
const CONFIG: &str = include_str!("../../../windrow.toml");

/// The example runs: dataset, first window, end.
const RUNS: [(&str, &str, &str); 3] = [
    ("flights", "2013-01-01", "2013-01-08"),
    ("orders", "2019-03-09", "2019-03-16"),
    ("store_revenue", "2019-03-09", "2019-03-16"),
];

/// Arguments of `windrow demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windrow demo ./demo      # nothing is sent anywhere; run it again and it does nothing")]
pub struct Args {
    /// Folder for the project; new, empty, or an earlier demo
    dir: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Writes the project unless it is there already, runs its datasets, and shows what was published.
///
/// # Errors
/// `Usage` when the folder holds something else, `Misconfigured` when it cannot be written.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    if args.common.project.is_some() || args.common.lake.is_some() {
        let message = "demo makes a project and a lake of its own: --project and --lake have no meaning here";
        return Err(Error::new(ErrorKind::Usage, message).help("name the folder: windrow demo ./demo"));
    }
    if args.dir.to_string_lossy().contains("://") {
        let message = format!("{} is not a folder", args.dir.display());
        return Err(
            Error::new(ErrorKind::Usage, message).help("the demo is made in a folder; `make demo-s3` runs it on an S3 server")
        );
    }
    if args.dir.join(config::FILE_NAME).is_file() {
        reporter.say(&format!("{} is there already: running it as it is\n", args.dir.display()));
    } else {
        write_project(&args.dir)?;
        reporter.say(&format!(
            "wrote an example project to {}: contracts, SQL, checks, a week of real raw files\n",
            args.dir.display()
        ));
    }
    let mut common = args.common.clone();
    common.project = Some(args.dir.clone());
    let reporter = &Reporter::new(&common, reporter.subject());
    let session = Session::open(reporter, Reason::Schedule, false)?;
    let mut results: Vec<WindowResult> = Vec::new();
    let mut targets: Vec<Table> = Vec::new();
    let mut planned = 0;
    for (dataset, from, to) in RUNS {
        let tables = plan::tables(&session.project, &dataset.parse()?)?;
        lint::require_clean(&session.project, &tables)?;
        let windows = PartitionWindow::range(from.parse()?, to.parse()?)?;
        planned += windows.len();
        results.extend(walk_windows(&session, &tables, &windows, None));
        targets.extend(tables.last().cloned());
    }
    let code = summarise(&session, "demo", "demo", &results, planned)?;
    reporter.say(&published(&session, &args.dir, &targets)?);
    Ok(code)
}

fn write_project(dir: &Path) -> Result<()> {
    let is_empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(cannot_write(dir, error)),
    };
    if !is_empty {
        return Err(Error::new(ErrorKind::Usage, format!("{} is not empty and holds no {}", dir.display(), config::FILE_NAME))
            .help("name a new folder"));
    }
    for (folder, content) in [("schemas", &SCHEMAS), ("jobs/sql", &SQL), ("quality", &QUALITY), ("lake/raw", &RAW)] {
        let target = dir.join(folder);
        fs::create_dir_all(&target).map_err(|error| cannot_write(&target, error))?;
        content.extract(&target).map_err(|error| cannot_write(&target, error))?;
    }
    // Last, because this file is what makes the folder a project: a demo that was cut off is written again.
    let file = dir.join(config::FILE_NAME);
    fs::write(&file, CONFIG).map_err(|error| cannot_write(&file, error))
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::misconfigured(format!("{} cannot be written", path.display())).caused_by(error)
}

fn published(session: &Session<'_>, dir: &Path, targets: &[Table]) -> Result<String> {
    let lake = dir.join(&session.project.config.lake);
    let mut lines = vec!["\nPublished, readable by anything that reads Parquet:".to_owned()];
    for table in targets {
        let Some(lake_table) = session.table(table)? else { continue };
        let (mut rows, mut windows) = (0, 0);
        for window in session.runtime.block_on(lake_table.history())?.into_keys() {
            if let Some(head) = session.runtime.block_on(lake_table.resolve(&window))? {
                rows += head.rows;
                windows += 1;
            }
        }
        let place = format!("{}/{}/{}/", lake.display(), table.layer, table.dataset);
        lines.push(format!("  {place:<36} {:>10} in {}", count(rows, "row"), count(windows, "window")));
    }
    let (lake, dir, windrow) = (lake.display(), dir.display(), runtime::program());
    lines.push(format!(
        "
Query it:
  duckdb -c \"SELECT store_name, sum(total_cents) / 100.0 AS revenue FROM '{lake}/curated/store_revenue/*/*.parquet' GROUP BY 1\"
  python -c \"import polars; print(polars.read_parquet('{lake}/curated/flights/'))\"
Break one raw file, see what is wrong and that nothing bad becomes visible, then heal it:
  sed -i '3s/2013,/twenty13,/' {lake}/raw/flights/2013/01/02/JFK.csv
  {windrow} run --project {dir} --dataset flights --from 2013-01-01 --to 2013-01-08
  sed -i '3s/twenty13,/2013,/' {lake}/raw/flights/2013/01/02/JFK.csv
  {windrow} replay --project {dir} --dataset flights"
    ));
    Ok(lines.join("\n"))
}
