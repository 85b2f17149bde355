//! Which lake a project has: a folder, or a bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use windrow_aws::{S3Environment, S3Options};
use windrow_core::{Error, Result};
use windrow_lake::{FailedRequest, Lake, Observer, S3Encryption, S3Location};

use crate::config::{Encryption, S3};
use crate::project::Project;
use crate::report::Reporter;
use crate::runtime::{self, Runtime};

/// How many failed requests are told one by one; all of them are counted.
const MAX_TOLD: usize = 20;

/// Opens the lake a project or its flags name.
///
/// # Errors
/// `Misconfigured` for a folder or address that is none, else what the store says.
pub fn open(project: &Project, runtime: &Runtime, reporter: &Reporter) -> Result<Lake> {
    let configured = &project.config.lake;
    if S3Location::is_s3(configured) {
        let options = s3_options(&project.config.s3, reporter)?;
        return runtime.block_on(windrow_aws::open_lake(configured, &options, &s3_environment()));
    }
    if configured.contains("://") {
        // The rest of the address may hold a password.
        let scheme = configured.split("://").next().unwrap_or_default().escape_debug();
        return Err(Error::misconfigured(format!("a lake at `{scheme}://…` is neither a folder nor on S3"))
            .help("write a folder, or an address such as s3://bucket/folder"));
    }
    if configured.trim().is_empty() {
        return Err(Error::misconfigured("the lake's folder is empty").help("write lake = \"lake\" in windrow.toml"));
    }
    let folder: PathBuf = project.root.join(configured);
    if !folder.is_dir() {
        let what = if folder.exists() { "is not a folder" } else { "does not exist" };
        return Err(Error::misconfigured(format!("the lake {} {what}", folder.display()))
            .help("correct `lake` in windrow.toml or --lake; a new lake is a folder that holds raw/"));
    }
    Lake::open_local(&folder)
}

/// Where other programs find the lake: `s3://bucket/folder` or `file:///folder`.
pub fn base_uri(project: &Project, lake: &Lake) -> String {
    match lake.local_folder() {
        Some(folder) => format!("file://{}", folder.display()),
        None => project.config.lake.clone(),
    }
}

/// What was asked of an S3 server, for results; `None` for a folder.
pub fn traffic_json(lake: &Lake) -> Option<Value> {
    let traffic = lake.traffic();
    (traffic.requests > 0).then(|| {
        json!({
            "requests": traffic.requests,
            "failed_requests": traffic.failed_requests,
            "read_backs": traffic.read_backs,
            "bytes_in": traffic.bytes_in,
            "bytes_out": traffic.bytes_out,
        })
    })
}

/// What `[s3]` of windrow.toml says, with failed requests told as they happen.
///
/// # Errors
/// `Misconfigured` for keys that contradict each other.
pub fn s3_options(s3: &S3, reporter: &Reporter) -> Result<S3Options> {
    if s3.encryption != Encryption::Kms && (s3.kms_key_id.is_some() || s3.bucket_key.is_some()) {
        return Err(Error::misconfigured("kms_key_id and bucket_key have no meaning without KMS")
            .help("write encryption = \"kms\" under [s3] in windrow.toml, or take them out"));
    }
    let encryption = match s3.encryption {
        Encryption::BucketDefault => S3Encryption::BucketDefault,
        Encryption::S3 => S3Encryption::S3Managed,
        Encryption::Kms => S3Encryption::Kms { key_id: s3.kms_key_id.clone(), bucket_key: s3.bucket_key },
    };
    Ok(S3Options {
        profile: s3.profile.clone(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        path_style: s3.path_style,
        allow_http: s3.allow_http,
        expected_bucket_owner: s3.expected_bucket_owner.clone(),
        encryption,
        observer: Some(observer(reporter)),
        ..S3Options::default()
    })
}

/// Tells each failed request as it happens, the first ones; the client may offer it again.
fn observer(reporter: &Reporter) -> Observer {
    let (reporter, told) = (reporter.clone(), AtomicUsize::new(0));
    Arc::new(move |failed: &FailedRequest| {
        let number = told.fetch_add(1, Ordering::Relaxed);
        if number < MAX_TOLD {
            let answer = failed.status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
            reporter.warn(&format!("S3 {} {}: {answer}: {}", failed.method, failed.path, failed.message));
        } else if number == MAX_TOLD {
            reporter.warn("S3: further failed requests are counted and not told");
        }
    })
}

/// The variables that outrank the configuration.
pub fn s3_environment() -> S3Environment {
    let first = |names: &[&str]| names.iter().find_map(|name| runtime::variable(name));
    S3Environment {
        profile: first(&["AWS_PROFILE"]),
        endpoint_url_s3: first(&["AWS_ENDPOINT_URL_S3"]),
        endpoint_url: first(&["AWS_ENDPOINT_URL"]),
        region: first(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
        allow_http: first(&["AWS_ALLOW_HTTP"]),
    }
}
