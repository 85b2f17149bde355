//! Projects in temporary folders, the real binary, and what is left on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;
use tempfile::TempDir;
use windrow_core::canonical::sha256_hex;
use windrow_core::layout::Key;

/// What a call of the binary gave.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Out {
    /// The one line of JSON on stdout.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "stdout is not one line: {}\n{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Fails unless the exit code is the expected one, with everything that was printed.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Out {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// The binary with nothing of this process's environment.
pub(crate) fn windrow() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windrow"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn output(command: &mut Command) -> Out {
    let output = command.output().unwrap();
    Out {
        code: exit_code(output.status),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The exit code as a shell shows it.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A project in a temporary folder.
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    /// An empty folder.
    pub(crate) fn empty() -> Project {
        Project { folder: tempfile::tempdir().unwrap() }
    }

    /// The repository's contracts, SQL, checks and profiles, without any raw file.
    pub(crate) fn of_repository() -> Project {
        let project = Project::empty();
        copy_file(&repository().join("windrow.toml"), &project.path("windrow.toml"));
        for folder in ["schemas", "jobs/sql", "quality"] {
            copy_tree(&repository().join(folder), &project.path(folder));
        }
        project
    }

    /// The repository's project with a week of flights.
    pub(crate) fn of_flights() -> Project {
        let project = Project::of_repository();
        copy_tree(&repository().join("examples/raw/flights"), &project.path("lake/raw/flights"));
        project
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path below the folder.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Writes a file below the folder, with the folders it needs.
    pub(crate) fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Replaces the only occurrence of a text in a file.
    #[track_caller]
    pub(crate) fn replace(&self, below: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(below)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {below}");
        self.write(below, text.replacen(from, to, 1));
    }

    /// The binary with this project as its current folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = windrow();
        command.args(args).current_dir(self.root());
        command
    }

    /// Runs the binary.
    pub(crate) fn run(&self, args: &[&str]) -> Out {
        output(&mut self.command(args))
    }

    /// Runs the binary with `--output json`.
    pub(crate) fn run_json(&self, args: &[&str]) -> Out {
        output(self.command(args).args(["--output", "json"]))
    }

    /// The files below a folder, by path below the project, with their SHA-256.
    pub(crate) fn tree(&self, below: &str) -> BTreeMap<String, String> {
        let hashed = |(path, file): (String, PathBuf)| (path, sha256_hex(&fs::read(file).unwrap()));
        files(&self.path(below)).into_iter().map(|(path, file)| (format!("{below}/{path}"), file)).map(hashed).collect()
    }

    /// The rows of a table's live view in one window, each as text; `None` when there is no file.
    pub(crate) fn view(&self, table: &str, partition: &str) -> Option<Vec<String>> {
        let file = self.path(&format!("lake/{table}/{partition}/part-00000.parquet"));
        file.exists().then(|| rows(&fs::read(file).unwrap()))
    }

    /// The documents of one kind of a table's ledger, by key, in order.
    pub(crate) fn documents(&self, kind: &str) -> BTreeMap<String, Value> {
        let ending = format!(".{kind}.json");
        let files = files(&self.path("lake")).into_iter().filter(|(key, _)| key.starts_with("store/") && key.ends_with(&ending));
        files.map(|(key, file)| (key, serde_json::from_slice(&fs::read(file).unwrap()).unwrap())).collect()
    }

    /// The keys of the lake outside `raw/`, all of which must be of the grammar.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let keys = files(&self.path("lake")).into_keys().filter(|key| !key.starts_with("raw/"));
        keys.map(|key| Key::parse(&key).unwrap_or_else(|| panic!("{key} is no key of the grammar"))).collect()
    }

    /// Fails when anything can be seen by a reader: a view, or a published outcome.
    #[track_caller]
    pub(crate) fn assert_nothing_visible(&self) {
        for key in self.keys() {
            assert!(!matches!(key, Key::LiveView(..) | Key::SymlinkManifest(..)), "{key} is visible");
        }
        for (key, outcome) in self.documents("outcome") {
            assert_ne!(outcome["decision"], "published", "{key}");
        }
    }
}

/// The files below a folder, by their path below it.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), path);
            }
        }
    }
    found
}

/// Copies a folder with everything below it.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    for (below, file) in files(from) {
        copy_file(&file, &to.join(below));
    }
}

fn copy_file(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

/// The rows of a Parquet file, each as text.
pub(crate) fn rows(bytes: &[u8]) -> Vec<String> {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
}

/// Gzips bytes as one member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The findings of a result, a line each: code, place, title, what was found and expected, the contract's line, notes.
pub(crate) fn findings(error: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = String::new();
    for finding in error["findings"].as_array().unwrap() {
        let place = format!("{}:{}:{}", text(&finding["file"]), finding["line"], finding["column"]);
        let mut parts = vec![format!("{} {place}", text(&finding["code"])), text(&finding["title"])];
        parts.push(finding["found"].as_str().map(|found| format!("found `{}`", found.escape_debug())).unwrap_or_default());
        parts.push(text(&finding["expected"]));
        parts.push(text(&finding["contract"]));
        parts.extend(finding["notes"].as_array().unwrap().iter().map(text));
        parts.retain(|part| !part.is_empty());
        out.push_str(&format!("  {}\n", parts.join(" | ")));
    }
    out
}
