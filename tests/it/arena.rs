//! A project together with its lake, on local disk or on an S3 server: for tests that look at the lake while others write.

use std::process::{Command, Stdio};
use std::sync::Arc;

use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use windrow_lake::{Lake, RetryPolicy};

use crate::support::{Out, Project, output};
use crate::weed::{self, Identity, weed};

/// A project and its lake.
pub(crate) struct Arena {
    /// Where the lake is, for messages.
    pub(crate) name: &'static str,
    /// The project; its folder holds the lake when that is on local disk.
    pub(crate) project: Project,
    /// The lake as a reader of this process sees it.
    pub(crate) lake: Lake,
    producer: Option<Arc<dyn ObjectStore>>,
    environment: Vec<(&'static str, String)>,
    runtime: tokio::runtime::Runtime,
}

impl Arena {
    /// The project with its lake in its folder.
    pub(crate) fn local(project: Project) -> Arena {
        std::fs::create_dir_all(project.path("lake/raw")).unwrap();
        let lake = Lake::open_local(&project.path("lake")).unwrap();
        Arena { name: "local disk", project, lake, producer: None, environment: Vec::new(), runtime: runtime() }
    }

    /// The project with a new lake on the S3 server of the tests.
    pub(crate) fn s3(project: Project) -> Arena {
        let server = weed();
        let prefix = server.new_prefix();
        let store: Arc<dyn ObjectStore> =
            Arc::new(PrefixStore::new(server.client(weed::BUCKET, Identity::Admin), prefix.clone()));
        let (key, secret) = Identity::Admin.credentials();
        let environment = vec![
            ("WINDROW_LAKE", format!("s3://{}/{prefix}", weed::BUCKET)),
            ("AWS_ENDPOINT_URL_S3", server.endpoint().to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ];
        let lake = Lake::with_store(store.clone(), None, RetryPolicy::default());
        Arena { name: "S3 server", project, lake, producer: Some(store), environment, runtime: runtime() }
    }

    /// Waits for a future.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The binary on this project and lake.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    /// Runs the binary with `--output json`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Out {
        output(self.command(arguments).args(["--output", "json"]))
    }

    /// Writes a raw file in one step, as a producer does.
    pub(crate) fn produce(&self, key: &str, bytes: Vec<u8>) {
        match &self.producer {
            Some(store) => {
                let path = Path::parse(key).unwrap();
                self.block_on(store.put(&path, PutPayload::from(bytes))).unwrap();
            }
            None => {
                self.project.write("outbox/file", bytes);
                let target = self.project.path(&format!("lake/{key}"));
                std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                std::fs::rename(self.project.path("outbox/file"), target).unwrap();
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
