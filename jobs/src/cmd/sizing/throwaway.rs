//! A lake of its own for the measured runs, so that nothing of the real one is touched.
//!
//! It holds the window's raw files and nothing else: hard links on the disk of a lake that is a folder, copies elsewhere.
//! It goes when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use windrow_core::{Contract, Error, ErrorKind, Layer, PartitionWindow, Result, Table};
use windrow_lake::RawInput;

use crate::session::Session;
use crate::stage::input;

/// A temporary lake with one window's raw files.
#[derive(Debug)]
pub(super) struct Throwaway {
    folder: TempDir,
    /// How many raw files there are.
    pub(super) files: usize,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl Throwaway {
    /// Makes the lake beside the real one, or in the system's temporary folder when that place cannot be written, and reads
    /// the raw files once, so that the first run finds them no colder than the others.
    ///
    /// # Errors
    /// `InputMissing` when the window's raw files are not complete, `Transient` when they cannot be copied, else what the
    /// store says.
    pub(super) fn fill(session: &Session<'_>, tables: &[Table], window: &PartitionWindow) -> Result<Throwaway> {
        let inputs = raw_files(session, tables, window)?;
        let local = session.lake.local_folder().map(Path::to_owned);
        let folder = make(local.as_deref()).map_err(|error| no_copy("the temporary lake cannot be made", error))?;
        fs::create_dir_all(folder.path().join("lake/raw"))
            .map_err(|error| no_copy("the temporary lake cannot be made", error))?;
        let lake = Throwaway { files: inputs.len(), bytes: inputs.iter().map(|input| input.size).sum(), folder };
        for input in &inputs {
            let target = lake.folder().join(&input.key);
            match &local {
                Some(local) => link(&local.join(&input.key), &target).map_err(|error| no_copy(&input.key, error))?,
                None => {
                    let bytes = session.runtime.block_on(session.lake.get_pinned(input))?;
                    write(&target, &bytes).map_err(|error| no_copy(&input.key, error))?;
                }
            }
            session.runtime.check_interrupted()?;
        }
        Ok(lake)
    }

    /// The lake's folder.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// A file beside the lake.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Takes away what a run left, so that the next one finds raw files and nothing else.
    ///
    /// # Errors
    /// `Transient` when it cannot.
    pub(super) fn clear(&self) -> Result<()> {
        let cleared = fs::read_dir(self.folder()).and_then(|mut entries| {
            entries.try_for_each(|entry| {
                let path = entry?.path();
                match path.file_name().is_some_and(|name| name == "raw") {
                    true => Ok(()),
                    false if path.is_dir() => fs::remove_dir_all(path),
                    false => fs::remove_file(path),
                }
            })
        });
        cleared.map_err(|error| no_copy("the temporary lake cannot be cleared", error))
    }
}

/// The raw files of every clean table, with the markers that say that they are complete.
fn raw_files(session: &Session<'_>, tables: &[Table], window: &PartitionWindow) -> Result<Vec<RawInput>> {
    let mut inputs: Vec<RawInput> = Vec::new();
    for table in tables.iter().filter(|table| table.layer == Layer::Clean) {
        let raw = session.project.contract(&Table::new(Layer::Raw, table.dataset.clone()))?;
        inputs.extend(input::discover(session, raw, window)?.inputs);
        inputs.extend(markers(session, raw, window)?);
    }
    inputs.sort_by(|a, b| a.key.cmp(&b.key));
    inputs.dedup_by(|a, b| a.key == b.key);
    Ok(inputs)
}

fn markers(session: &Session<'_>, raw: &Contract, window: &PartitionWindow) -> Result<Vec<RawInput>> {
    let Some(marker) = raw.input.as_ref().and_then(|input| input.marker.as_ref()) else { return Ok(Vec::new()) };
    Ok(session.runtime.block_on(session.lake.list_inputs(&window.fill(marker)))?.inputs)
}

fn make(lake: Option<&Path>) -> std::io::Result<TempDir> {
    let named = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".windrow-sizing-");
        builder
    };
    let beside = lake.and_then(Path::parent).map(|parent| named().tempdir_in(parent));
    match beside {
        Some(Ok(folder)) => Ok(folder),
        _ => named().tempdir(),
    }
}

fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
    }
    std::io::copy(&mut fs::File::open(to)?, &mut std::io::sink()).map(drop)
}

fn write(to: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, bytes)
}

fn no_copy(what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Transient, format!("{what}: the raw files cannot be laid out for measuring"))
        .help("sizing needs room for a copy of the window's output, and of its raw files when they are not on the same disk")
        .caused_by(error)
}
