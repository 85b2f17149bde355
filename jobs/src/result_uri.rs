//! Where `--result-uri` says the result goes: a file, or an object on S3.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use windrow_core::layout::{OUTPUT_PREFIXES, RAW_PREFIX};
use windrow_core::{Error, ErrorKind, Result};
use windrow_lake::{S3Location, S3Patience};

use crate::cli::Common;
use crate::config::{self, Config};
use crate::report::Reporter;
use crate::{lake, project, runtime};

/// A place for a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultTarget {
    /// A file.
    File(PathBuf),
    /// An object; the location's prefix is its key.
    S3(S3Location),
}

impl ResultTarget {
    /// Reads the flag.
    ///
    /// # Errors
    /// `Misconfigured` for an address that is not on S3, or one that cannot be the object of a result.
    pub fn parse(text: &str) -> Result<Self> {
        if S3Location::is_s3(text) {
            let location: S3Location = text.parse().map_err(|error: Error| {
                Error::misconfigured(format!("--result-uri is no address of an object: {}", error.message()))
                    .help("write it as s3://bucket/folder/result.json")
            })?;
            // What is there is not looked at before it is replaced, so that no right to read is needed.
            let is_json = location.prefix().is_some_and(|key| key.ends_with(".json"));
            return if is_json { Ok(ResultTarget::S3(location)) } else { Err(no_result(&location)) };
        }
        if text.contains("://") {
            return Err(Error::misconfigured("--result-uri is an address that is not on S3")
                .help("name a file, or an object as s3://bucket/folder/result.json"));
        }
        Ok(ResultTarget::File(text.into()))
    }

    /// Proves before any work that a file can be written and is not some other file of the user's. An object on S3 is not
    /// probed: asking costs a request and a right the task may not have.
    ///
    /// # Errors
    /// `Misconfigured` when it cannot, or when the file that is there is no result of windrow.
    pub fn probe(&self) -> Result<()> {
        let ResultTarget::File(path) = self else { return Ok(()) };
        match fs::read(path) {
            Ok(bytes) if bytes.is_empty() || is_result(&bytes) => Ok(()),
            Ok(_) => Err(Error::misconfigured(format!("--result-uri {} exists and is no result of windrow", path.display()))
                .help("name another file; it will not be overwritten")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let written = fs::File::options().append(true).create(true).open(path);
                written.map(|_| ()).map_err(|error| cannot_write(path, error))
            }
            Err(error) => Err(cannot_write(path, error)),
        }
    }

    /// Refuses a place where the lake keeps its own objects; `runs/` is free.
    ///
    /// # Errors
    /// `Misconfigured`.
    pub fn refuse_in_lake(&self, root: &Path, lake: &str) -> Result<()> {
        let below = match self {
            ResultTarget::S3(location) => {
                let folder = format!("{}/", lake.trim_end_matches('/'));
                location.to_string().strip_prefix(&folder).map(str::to_owned)
            }
            ResultTarget::File(path) => below_folder(path, &root.join(lake)),
        };
        let Some(below) = below else { return Ok(()) };
        let Some(taken) = OUTPUT_PREFIXES.into_iter().chain([RAW_PREFIX]).find(|prefix| below.starts_with(prefix)) else {
            return Ok(());
        };
        Err(Error::misconfigured(format!("--result-uri is below {taken} of the lake, which holds the lake's own files"))
            .help("put results below runs/ of the lake, or outside of it"))
    }

    /// Writes the result, over an older one.
    ///
    /// # Errors
    /// `Misconfigured` for a file that cannot be written, else what the store says.
    pub fn write(&self, line: &str, reporter: &Reporter) -> Result<()> {
        let body = format!("{line}\n");
        match self {
            ResultTarget::File(path) => {
                self.probe()?;
                fs::write(path, body).map_err(|error| cannot_write(path, error))
            }
            ResultTarget::S3(location) => {
                let result = serde_json::from_str(line).unwrap_or_default();
                put(location, format!("{}\n", windrow_aws::output_within(&result, MAX_S3_BYTES)), reporter)
            }
        }
    }
}

/// The longest result on S3: a state machine reads it whole, and holds 262,144 bytes in all. A file holds everything.
const MAX_S3_BYTES: usize = 200_000;

/// The last thing a process does, within what is left of a task that was told to stop: three tries in about half a minute.
const PATIENCE: (Duration, usize, Duration) = (Duration::from_secs(10), 3, Duration::from_secs(35));

fn put(location: &S3Location, body: String, reporter: &Reporter) -> Result<()> {
    let config = config_of(reporter.common());
    let mut options = lake::s3_options(&config.unwrap_or_default(), reporter)?;
    let (request_timeout, retries, retry_for) = PATIENCE;
    options.patience = S3Patience { request_timeout, retries, retry_for, ..S3Patience::default() };
    let uri = location.to_string();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::new(ErrorKind::Transient, "cannot start a runtime").caused_by(error))?;
        runtime.block_on(windrow_aws::put_object(&uri, body.into_bytes(), &options, &lake::s3_environment()))
    };
    // A thread of its own, because this may be said from inside of another runtime.
    std::thread::spawn(work).join().unwrap_or_else(|_| Err(Error::internal("the result could not be written")))
}

/// `[s3]` of windrow.toml, when there is one that can be read: a result is written also when the project is wrong.
fn config_of(common: &Common) -> Option<config::S3> {
    let root = project::find_root(common.project.as_deref(), &runtime::current_dir().ok()?).ok()?;
    let text = fs::read_to_string(root.join(config::FILE_NAME)).ok()?;
    Config::read(config::FILE_NAME, &text).ok().map(|config| config.s3)
}

/// The path below a folder, links resolved; `None` when it is elsewhere.
fn below_folder(path: &Path, folder: &Path) -> Option<String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = parent.canonicalize().ok()?.join(path.file_name()?);
    place.strip_prefix(folder.canonicalize().ok()?).ok()?.to_str().map(str::to_owned)
}

/// Tells a result of ours from any other JSON a user may have.
fn is_result(bytes: &[u8]) -> bool {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let ours = ["exit_code", "run_id", "$schema"];
    parsed.is_some_and(|value| ours.iter().any(|key| value.get(key).is_some()))
}

fn no_result(location: &S3Location) -> Error {
    Error::misconfigured(format!("--result-uri {location} is no object whose name ends in `.json`"))
        .help("whatever is there is replaced: write it as s3://bucket/folder/result.json")
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::misconfigured(format!("--result-uri {} cannot be written", path.display())).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_object_of_json_on_s3_or_a_file() {
        assert_eq!(ResultTarget::parse("r.json").unwrap(), ResultTarget::File("r.json".into()));
        assert!(matches!(ResultTarget::parse("s3://bucket/runs/r.json").unwrap(), ResultTarget::S3(_)));
        for text in [
            "s3://bucket",
            "s3://bucket/a.parquet",
            "s3://bucket/runs/",
            "gs://bucket/r.json",
            "S3://bucket/r.json",
            "s3://a b/r.json",
        ] {
            let error = ResultTarget::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{text}");
            assert!(error.to_string().contains("--result-uri") && error.help_text().is_some(), "{text}: {error}");
        }
    }

    #[test]
    fn the_lakes_own_folders_are_refused_and_runs_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for layer in ["raw", "runs", "clean/t"] {
            fs::create_dir_all(folder.path().join("lake").join(layer)).unwrap();
        }
        let refused = |uri: &str, lake: &str| ResultTarget::parse(uri).unwrap().refuse_in_lake(folder.path(), lake).is_err();
        for key in ["raw/r.json", "store/clean/r.json", "quarantine/r.json", "clean/t/r.json", "curated/r.json", "symlink/r.json"]
        {
            assert!(refused(&format!("s3://bucket/lake/{key}"), "s3://bucket/lake"), "{key}");
            assert!(refused(&format!("s3://bucket/{key}"), "s3://bucket"), "{key}");
        }
        assert!(!refused("s3://bucket/lake/runs/t/r.json", "s3://bucket/lake"));
        assert!(
            !refused("s3://bucket/other/raw/r.json", "s3://bucket/lake") && !refused("s3://results/raw/r.json", "s3://bucket")
        );
        let file = |below: &str| folder.path().join(below).display().to_string();
        assert!(refused(&file("lake/raw/r.json"), "lake") && refused(&file("lake/clean/t/r.json"), "lake"));
        assert!(!refused(&file("lake/runs/r.json"), "lake") && !refused(&file("r.json"), "lake"));
    }
}
