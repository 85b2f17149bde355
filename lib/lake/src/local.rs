//! What only a local disk can do: durable writes, views replaced by rename, and seeing names the store hides.
//!
//! The store's own put and copy leave `#1` siblings in the target folder while they work, which a glob would read and a
//! kill would leave behind, and they link a file before it is flushed. So objects and views are
//! written in `store/tmp/`, and moved from there.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use windrow_core::layout::Key;
use windrow_core::{Error, ErrorKind, Result};

use crate::classify::io_error;

/// The canonical folder behind a local lake.
#[derive(Clone, Debug)]
pub(crate) struct LocalRoot {
    folder: PathBuf,
    /// The folders whose entries in their parents were flushed by this process.
    synced: Arc<Mutex<BTreeSet<PathBuf>>>,
    nonce: Arc<AtomicU64>,
    /// Raw files are read past the store.
    is_direct: bool,
}

impl LocalRoot {
    pub(crate) fn new(folder: PathBuf) -> Self {
        // The other half of a process's numbers is the store's own.
        let nonce = Arc::new(AtomicU64::new((u64::from(std::process::id()) << 32) | (1 << 31)));
        LocalRoot { folder, synced: Arc::default(), nonce, is_direct: false }
    }

    /// Nothing decorates the store, so raw files may be read past it.
    pub(crate) fn read_directly(self) -> Self {
        LocalRoot { is_direct: true, ..self }
    }

    pub(crate) fn read_through_store(&self) -> Self {
        LocalRoot { is_direct: false, ..self.clone() }
    }

    pub(crate) fn is_read_directly(&self) -> bool {
        self.is_direct
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file behind a key of the grammar; such keys need no encoding.
    pub(crate) fn file(&self, key: &str) -> PathBuf {
        self.folder.join(key)
    }

    /// Flushes a file, its entry in its folder, and once per process the entry of each folder above, up to the lake:
    /// whoever made a folder, nothing below it survives a power cut before its own name does.
    pub(crate) fn sync(&self, key: &str) -> Result<()> {
        self.sync_with(key, |path| File::open(path).and_then(|open| open.sync_all()))
    }

    fn sync_with(&self, key: &str, mut flush: impl FnMut(&Path) -> io::Result<()>) -> Result<()> {
        let file = self.file(key);
        flush(&file).map_err(|error| io_error("cannot flush", key, error))?;
        let mut entry = file.as_path();
        while let Some(folder) = entry.parent().filter(|folder| folder.starts_with(&self.folder)) {
            if self.synced().contains(entry) {
                break;
            }
            flush(folder).map_err(|error| io_error("cannot flush the folder of", key, error))?;
            if entry != file {
                self.synced().insert(entry.to_owned());
            }
            entry = folder;
        }
        Ok(())
    }

    fn synced(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a file of a free name in `store/tmp/`.
    pub(crate) fn temp(&self) -> io::Result<(File, PathBuf)> {
        loop {
            let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
            let path = self.file(&Key::CreateTemp { nonce }.to_string());
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            match File::options().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return opened.map(|file| (file, path)),
            }
        }
    }

    /// Creates a file with all its bytes in one step that survives a power cut: written and flushed under one of the
    /// free names of `temps`, then linked to its own. A file that exists is left alone, with `AlreadyExists`.
    pub(crate) fn create(&self, key: &str, parts: &[Bytes], temps: impl Iterator<Item = String>) -> io::Result<()> {
        self.create_with(key, temps, |file| parts.iter().try_for_each(|part| file.write_all(part)))
    }

    /// Creates a file with the bytes of another, in the same way. It is a file of its own and no link.
    pub(crate) fn copy(&self, source: &str, key: &str, temps: impl Iterator<Item = String>) -> io::Result<()> {
        self.create_with(key, temps, |file| io::copy(&mut File::open(self.file(source))?, file).map(|_| ()))
    }

    fn create_with(
        &self,
        key: &str,
        temps: impl Iterator<Item = String>,
        fill: impl Fn(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let target = self.file(key);
        for temp in temps {
            let staging = self.file(&temp);
            for folder in [staging.parent(), target.parent()].into_iter().flatten() {
                fs::create_dir_all(folder)?;
            }
            let mut file = match File::options().write(true).create_new(true).open(&staging) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            let written = fill(&mut file).and_then(|()| file.sync_all());
            let linked = written.and_then(|()| fs::hard_link(&staging, &target).map_err(link_error));
            // What stays behind when this fails, or after a kill, is never read and can be removed at any time.
            let _ = fs::remove_file(&staging);
            return linked;
        }
        Err(io::Error::other("no free name below store/tmp/create"))
    }

    /// Makes `view` a file of these bytes in one atomic step, by way of a name of `temps` that is free.
    ///
    /// A name in use is never written to: it is another process's.
    pub(crate) fn replace(&self, bytes: &[u8], temps: impl Iterator<Item = String>, view: &str) -> Result<()> {
        self.replace_with(temps, view, |file| file.write_all(bytes))
    }

    /// Makes `view` a copy of a file in the same way. A link to the published file would be cheaper, but whoever writes into
    /// the view in place would then write into the published file.
    pub(crate) fn replace_by_copy(&self, source: &str, temps: impl Iterator<Item = String>, view: &str) -> Result<()> {
        self.replace_with(temps, view, |file| io::copy(&mut File::open(self.file(source))?, file).map(|_| ()))
    }

    fn replace_with(
        &self,
        temps: impl Iterator<Item = String>,
        view: &str,
        fill: impl Fn(&mut File) -> io::Result<()>,
    ) -> Result<()> {
        let to = self.file(view);
        for temp in temps {
            let staging = self.file(&temp);
            for folder in [staging.parent(), to.parent()].into_iter().flatten() {
                fs::create_dir_all(folder).map_err(|error| io_error("cannot create the folder of the view", view, error))?;
            }
            match write_new(&staging, &fill) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                linked => linked.map_err(|error| io_error("cannot stage the view", view, error))?,
            }
            match fs::rename(&staging, &to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                renamed => {
                    // Only there when the rename failed.
                    let _ = fs::remove_file(&staging);
                    return renamed.map_err(|error| io_error("cannot replace the view", view, error));
                }
            }
        }
        Err(Error::new(ErrorKind::Transient, "no free name to stage the view under").with("view", view))
    }

    /// Removes a view's file; one that is not there is fine.
    pub(crate) fn remove(&self, view: &str) -> Result<()> {
        match fs::remove_file(self.file(view)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("cannot remove the view", view, error)),
            _ => Ok(()),
        }
    }

    /// Removes a folder that holds nothing. One that holds something stays; why it does is of no interest.
    pub(crate) fn remove_empty_folder(&self, folder: &str) {
        let folder = self.file(folder);
        let _ = fs::remove_dir(&folder);
        // Made anew, it has an entry of its own to flush.
        self.synced().remove(&folder);
    }

    /// Refuses names below a folder that the store would hide without a word: `name#1`, dangling links, and names that
    /// are no text or hold control characters.
    pub(crate) fn refuse_unlistable(&self, folder: &str, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
        let mut pending = vec![self.file(folder)];
        while let Some(directory) = pending.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error("cannot list", &self.key_of(&directory), error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| io_error("cannot list", &self.key_of(&directory), error))?;
                let (path, kind) = (entry.path(), entry.file_type());
                let kind = kind.map_err(|error| io_error("cannot look up", &self.key_of(&path), error))?;
                if kind.is_dir() {
                    pending.push(path);
                    continue;
                }
                let key = self.key_of(&path);
                if let Some(why) = unlistable(&path).filter(|_| is_wanted(&key)) {
                    let message = format!("raw file `{}` cannot be read: {why}", key.escape_debug());
                    return Err(Error::new(ErrorKind::Misconfigured, message).help("rename the file, or remove it"));
                }
            }
        }
        Ok(())
    }

    fn key_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).to_string_lossy().into_owned()
    }
}

fn unlistable(path: &Path) -> Option<&'static str> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Some("its name is not UTF-8") };
    if name.chars().any(|c| c.is_ascii_control()) {
        return Some("its name holds a control character");
    }
    let suffix = name.split_once('#').map(|(_, suffix)| suffix);
    if suffix.is_some_and(|suffix| !suffix.is_empty() && suffix.bytes().all(|b| b.is_ascii_digit())) {
        return Some("names that end in # and digits are temporary files of the local store");
    }
    (!path.exists()).then_some("it is a link to nothing")
}

/// Names the cause when a file system has no hard links: it answers EPERM, which is not about permissions, or that it does
/// not know the call.
pub(crate) fn link_error(error: io::Error) -> io::Error {
    const EPERM: i32 = 1;
    let is_refused = error.raw_os_error() == Some(EPERM) || error.kind() == io::ErrorKind::Unsupported;
    if is_refused { io::Error::new(io::ErrorKind::Unsupported, NoHardLinks(error)) } else { error }
}

/// What [`link_error`] makes of a refused link.
#[derive(Debug)]
struct NoHardLinks(io::Error);

impl fmt::Display for NoHardLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file system refuses hard links: {}", self.0)
    }
}

impl std::error::Error for NoHardLinks {}

/// Writes and flushes a file of its own; refuses a name in use.
fn write_new(to: &Path, fill: impl Fn(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(to)?;
    fill(&mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one sync flushes, relative to the lake.
    fn flushed(root: &LocalRoot, key: &str) -> Vec<String> {
        let mut paths = Vec::new();
        let flush = |path: &Path| {
            paths.push(path.strip_prefix("/lake").unwrap().to_str().unwrap().to_owned());
            Ok(())
        };
        root.sync_with(key, flush).unwrap();
        paths
    }

    #[test]
    fn the_entry_of_every_folder_is_flushed_once_whichever_window_it_is_of() {
        let root = LocalRoot::new("/lake".into());
        let (ledger, first, second) = ("store/clean/flights/ledger", "2013-01-01/1.claim.json", "2013-01-02/1.claim.json");
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let [key, day] = [format!("{ledger}/{first}"), format!("{ledger}/2013-01-01")];
        let all = of(&[&key, &day, ledger, "store/clean/flights", "store/clean", "store", ""]);
        assert_eq!(flushed(&root, &key), all);
        assert_eq!(flushed(&root, &key), of(&[&key, &day]), "its own entry each time");
        let [key, day] = [format!("{ledger}/{second}"), format!("{ledger}/2013-01-02")];
        assert_eq!(flushed(&root, &key), of(&[&key, &day, ledger]), "the entry of the second window is in `ledger`");
        assert_eq!(flushed(&root, &key), of(&[&key, &day]));
        let other_process = LocalRoot::new("/lake".into());
        assert_eq!(flushed(&other_process, &key).len(), all.len(), "another process may have made the folders");
    }

    #[test]
    fn a_flush_that_failed_is_made_up_for_and_so_is_a_folder_made_anew() {
        let root = LocalRoot::new("/lake".into());
        let refuses =
            |name: &'static str| move |path: &Path| if path.ends_with(name) { Err(io::ErrorKind::Other.into()) } else { Ok(()) };
        assert!(root.sync_with("store/a/1.json", refuses("store")).is_err());
        assert_eq!(flushed(&root, "store/a/2.json"), ["store/a/2.json", "store/a", "store", ""]);
        root.remove_empty_folder("store/a");
        assert_eq!(flushed(&root, "store/a/3.json"), ["store/a/3.json", "store/a", "store"]);
    }

    #[test]
    fn a_file_system_without_hard_links_is_told_from_missing_permissions() {
        const EACCES: i32 = 13;
        for (code, kind) in [(1, ErrorKind::Misconfigured), (95, ErrorKind::Misconfigured), (EACCES, ErrorKind::AccessDenied)] {
            let refused = link_error(io::Error::from_raw_os_error(code));
            let wrapped = object_store::Error::Generic { store: "local disk", source: Box::new(refused) };
            let error = crate::classify::store_error("refused", "store/a", wrapped);
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(error.help_text().is_some_and(|help| help.contains("hard links")), code != EACCES, "{error}");
        }
    }
}
