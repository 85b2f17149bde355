//! check-input: are the window's raw files all there, and do their headers have the declared shape?

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use windrow_core::contract::Input;
use windrow_core::{Contract, Error, ErrorKind, PartitionWindow, Result, ViolationReport};
use windrow_engine::read;
use windrow_engine::{InputFile, Open};
use windrow_lake::{Discovery, RawInput};

use crate::session::Session;

/// Lists a window's raw files and proves that they are complete.
///
/// # Errors
/// `InputMissing` when files or the marker are missing, else what the store says.
pub fn discover(session: &Session<'_>, raw: &Contract, window: &PartitionWindow) -> Result<Discovery> {
    let input = declared_input(raw)?;
    let pattern = window.fill(&input.path);
    // The marker first: what is listed after it was seen is complete, what was listed before it may not be.
    let mut markers = HashSet::new();
    if let Some(marker) = &input.marker {
        let marker = window.fill(marker);
        let seen = session.runtime.block_on(session.lake.list_inputs(&marker))?;
        if seen.inputs.is_empty() && seen.hidden.is_empty() {
            return Err(Error::new(
                ErrorKind::InputMissing,
                format!("the marker {} is not there yet", session.shown(&format!("raw/{marker}"))),
            )
            .with("window", window)
            .help(format!("the producer writes it when the window is complete; declared in {}", input.place)));
        }
        markers.extend(seen.inputs.into_iter().map(|file| file.key));
    }
    let found = list_but(session, &pattern, &markers)?;
    let (have, need) = (found.inputs.len() as u64, input.min_files);
    if have < need {
        let place = session.shown(&format!("raw/{pattern}"));
        let message = if have == 0 {
            format!("no raw file matches {place}")
        } else {
            format!("{have} of at least {need} raw files match {place}")
        };
        return Err(Error::new(ErrorKind::InputMissing, message)
            .with("window", window)
            .help(format!("wait for the files, or correct `input` in {}", input.place)));
    }
    Ok(found)
}

/// Lists a window's raw files, complete or not.
///
/// # Errors
/// `Misconfigured` for a pattern that cannot be meant, else what the store says.
pub fn list(session: &Session<'_>, raw: &Contract, window: &PartitionWindow) -> Result<Discovery> {
    let input = declared_input(raw)?;
    let mut markers = HashSet::new();
    if let Some(marker) = &input.marker {
        let seen = session.runtime.block_on(session.lake.list_inputs(&window.fill(marker)))?;
        markers.extend(seen.inputs.into_iter().map(|file| file.key));
    }
    list_but(session, &window.fill(&input.path), &markers)
}

fn list_but(session: &Session<'_>, pattern: &str, markers: &HashSet<String>) -> Result<Discovery> {
    let mut found = session.runtime.block_on(session.lake.list_inputs(pattern))?;
    found.inputs.retain(|file| !markers.contains(&file.key));
    Ok(found)
}

fn declared_input(raw: &Contract) -> Result<&Input> {
    raw.input.as_ref().ok_or_else(|| Error::misconfigured(format!("{} declares no input", raw.file)))
}

/// The listed files as the engine takes them.
pub fn engine_files(inputs: &[RawInput]) -> Vec<InputFile> {
    inputs.iter().map(|input| InputFile { key: input.key.as_str().into(), size: input.size }).collect()
}

/// Runs `work` with a function that opens the listed files, pinned to what was listed.
///
/// The first time a file is opened, it is for its header: on S3 no more is asked for then.
pub fn with_open<T>(session: &Session<'_>, inputs: &[RawInput], work: impl FnOnce(Open<'_>) -> Result<T>) -> Result<T> {
    let handle = session.runtime.handle();
    let by_key: HashMap<&str, &RawInput> = inputs.iter().map(|input| (input.key.as_str(), input)).collect();
    let seen: Mutex<HashSet<&str>> = Mutex::default();
    let open = |file: &InputFile| -> Result<Box<dyn std::io::Read + Send>> {
        let input = by_key.get(&*file.key);
        let input = input.ok_or_else(|| Error::internal("a file was asked for that was not listed").with("key", &file.key))?;
        let is_first = seen.lock().unwrap_or_else(PoisonError::into_inner).insert(input.key.as_str());
        let lake = &session.lake;
        Ok(Box::new(if is_first { lake.peek_pinned(input, handle) } else { lake.read_pinned(input, handle) }))
    };
    work(&open)
}

/// Checks names, first bytes and headers of all files; reads no data.
///
/// # Errors
/// What the store says; findings are in the report.
pub fn check_headers(session: &Session<'_>, raw: &Contract, inputs: &[RawInput]) -> Result<ViolationReport> {
    with_open(session, inputs, |open| read::check_headers(raw, &engine_files(inputs), open))
}
