//! A lake on S3 or a server that speaks its protocol.
//!
//! Retries live here and nowhere above, in the client: bounded, counted in [`Traffic`](crate::Traffic), and each failed
//! attempt is told to the observer. Credentials come from outside; this crate knows no AWS service but S3.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider, Checksum, S3CopyIfNotExists};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};
use windrow_core::{Error, ErrorKind, Result};

use crate::classify::{store_error, write_error};
use crate::put_once::RetryPolicy;
use crate::s3_location::S3Location;
use crate::store::{Lake, parse_path};
use crate::traffic::{Meter, MeteredConnector, Observer};
use crate::upload::UploadPolicy;

/// How the store encrypts what is written; without one of these the bucket's own default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum S3Encryption {
    /// Nothing is asked for: the bucket's default.
    #[default]
    BucketDefault,
    /// Keys of S3 (`AES256`).
    S3Managed,
    /// A key of KMS (`aws:kms`).
    Kms {
        /// Id, ARN or alias of the key; `None` for the account's own `aws/s3`.
        key_id: Option<String>,
        /// Whether a bucket key saves requests to KMS; `None` for the bucket's default.
        bucket_key: Option<bool>,
    },
}

/// How long and how often the client tries.
#[derive(Clone, Copy, Debug)]
pub struct S3Patience {
    /// For a connection.
    pub connect_timeout: Duration,
    /// For one whole request with its body. Servers take seconds to settle contended creates.
    pub request_timeout: Duration,
    /// How often a failed request is offered again.
    pub retries: usize,
    /// How long after a request began it may still be offered again; several times the request's own timeout, or one that
    /// timed out never is.
    pub retry_for: Duration,
    /// The first pause; it grows at random from there, up to ten seconds.
    pub first_pause: Duration,
    /// How often a create is offered as a whole, with a read-back after each.
    pub creates: RetryPolicy,
}

impl Default for S3Patience {
    /// A minute a request: data files and live views travel in parts or ranges of 8 MiB, or not at all, so four at once
    /// pass a line of 5 Mbit/s. 10 retries within four minutes of the first, so that one that times out is offered again
    /// more than once; answers that fail at once are ridden out for about half a minute.
    fn default() -> Self {
        S3Patience {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            retries: 10,
            retry_for: Duration::from_secs(240),
            first_pause: Duration::from_millis(200),
            creates: RetryPolicy::default(),
        }
    }
}

/// Everything it takes to open a lake on S3.
#[derive(Clone)]
pub struct S3Settings {
    /// Bucket and folder.
    pub location: S3Location,
    /// The region that requests are signed for.
    pub region: String,
    /// Scheme, host and port of a server other than AWS: `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path and not in the host; `None` for yes with an endpoint or a dotted bucket.
    pub path_style: Option<bool>,
    /// Whether `http://` may be used for a host that is not this one.
    pub allow_http: bool,
    /// Where each request gets its credentials from.
    pub credentials: AwsCredentialProvider,
    /// Encryption of what is written.
    pub encryption: S3Encryption,
    /// The size in bytes of the parts that larger files go up in; S3 takes 5 MiB to 5 GiB.
    pub part_bytes: usize,
    /// Timeouts and retries.
    pub patience: S3Patience,
    /// Hears of each failed attempt, for the log.
    pub observer: Option<Observer>,
}

impl S3Settings {
    /// Four of them in flight hold 32 MiB, and 10,000 of them, which is S3's limit, 78 GiB.
    pub const PART_BYTES: usize = 8 * 1024 * 1024;

    /// Settings with every choice left at its default.
    pub fn new(location: S3Location, region: impl Into<String>, credentials: AwsCredentialProvider) -> Self {
        S3Settings {
            location,
            region: region.into(),
            endpoint: None,
            path_style: None,
            allow_http: false,
            credentials,
            encryption: S3Encryption::default(),
            part_bytes: Self::PART_BYTES,
            patience: S3Patience::default(),
            observer: None,
        }
    }
}

/// Says everything but the credentials and the observer.
impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("location", &self.location)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("path_style", &self.path_style)
            .field("allow_http", &self.allow_http)
            .field("encryption", &self.encryption)
            .field("part_bytes", &self.part_bytes)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl Lake {
    /// Opens a lake on S3. The bucket must exist and the credentials must be able to list it: that is asked once, here.
    ///
    /// That creates are really refused when the key exists is proved before the first register is written.
    ///
    /// # Errors
    /// `Misconfigured` for an endpoint that is none, plain http to another host, a missing bucket, a wrong region;
    /// `AccessDenied` for credentials that are missing, wrong, expired or too weak; `Transient` for a server that does
    /// not answer.
    pub async fn open_s3(settings: &S3Settings) -> Result<Lake> {
        let meter = Arc::new(Meter::default());
        let store = build(settings, &meter)?;
        let location = &settings.location;
        let prefix = location.prefix().map(|prefix| format!("{prefix}/"));
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let listed = store.list_paginated(prefix.as_deref(), options).await;
        listed.map_err(|error| {
            let error = store_error("cannot open the lake", &location.to_string(), error);
            let is_silent = error.kind() == ErrorKind::Transient;
            let help = "check that the endpoint's host and port are right and that it is up, then run it again";
            if is_silent { error.help(help) } else { error }
        })?;
        let store: Arc<dyn ObjectStore> = match location.prefix() {
            Some(prefix) => Arc::new(PrefixStore::new(store, prefix)),
            None => Arc::new(store),
        };
        Ok(Lake::with_client(store, settings.patience.creates, meter, UploadPolicy::new(settings.part_bytes)))
    }
}

/// Puts one object at a client's location, whose prefix is its key, over an old one if need be. For what is no part of a
/// lake; there is no other way to write outside of the grammar of keys.
///
/// # Errors
/// `Misconfigured` for a location without a key or a bucket that is not there, else what the store says.
pub async fn put_object(settings: &S3Settings, bytes: Vec<u8>) -> Result<()> {
    let shown = settings.location.to_string();
    let key = settings.location.prefix().ok_or_else(|| Error::misconfigured(format!("{shown} names no object")))?;
    let store = build(settings, &Arc::default())?;
    let put = store.put(&parse_path(key)?, PutPayload::from(bytes)).await;
    put.map(|_| ()).map_err(|error| write_error("cannot write", &shown, error))
}

fn build(settings: &S3Settings, meter: &Arc<Meter>) -> Result<AmazonS3> {
    let S3Settings { location, patience, .. } = settings;
    let endpoint = settings.endpoint.as_deref().map(|text| Endpoint::parse(text, settings.allow_http)).transpose()?;
    let path_style = settings.path_style.unwrap_or(endpoint.is_some() || location.bucket().contains('.'));
    let client = ClientOptions::new()
        .with_connect_timeout(patience.connect_timeout)
        .with_timeout(patience.request_timeout)
        .with_allow_http(endpoint.as_ref().is_some_and(|endpoint| endpoint.is_plain));
    let backoff = BackoffConfig {
        init_backoff: patience.first_pause,
        max_backoff: Duration::from_secs(10).max(patience.first_pause),
        base: 3.0,
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(location.bucket())
        .with_region(&settings.region)
        .with_credentials(Arc::clone(&settings.credentials))
        .with_virtual_hosted_style_request(!path_style)
        .with_checksum_algorithm(Checksum::SHA256)
        // Without it a copy overwrites, which a bucket policy that demands conditional writes refuses.
        .with_copy_if_not_exists(S3CopyIfNotExists::Header("if-none-match".to_owned(), "*".to_owned()))
        .with_client_options(client)
        .with_retry(RetryConfig { backoff, max_retries: patience.retries, retry_timeout: patience.retry_for })
        .with_http_connector(MeteredConnector { meter: Arc::clone(meter), observer: settings.observer.clone() });
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.url(location.bucket(), path_style));
    }
    let built = encrypted(builder, &settings.encryption).and_then(AmazonS3Builder::build);
    built.map_err(|error| Error::misconfigured("cannot set up the S3 client").with("lake", location).caused_by(error))
}

fn encrypted(builder: AmazonS3Builder, encryption: &S3Encryption) -> object_store::Result<AmazonS3Builder> {
    const ENCRYPTION: &str = "aws_server_side_encryption";
    match encryption {
        S3Encryption::BucketDefault => Ok(builder),
        S3Encryption::S3Managed => Ok(builder.with_config(ENCRYPTION.parse()?, "AES256")),
        S3Encryption::Kms { key_id, bucket_key } => {
            let builder = match key_id {
                Some(key_id) => builder.with_sse_kms_encryption(key_id),
                None => builder.with_config(ENCRYPTION.parse()?, "aws:kms"),
            };
            Ok(bucket_key.map_or(builder.clone(), |bucket_key| builder.with_bucket_key(bucket_key)))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    is_plain: bool,
    authority: String,
}

impl Endpoint {
    fn parse(text: &str, allow_http: bool) -> Result<Self> {
        // What stands before an `@` may be a password, so the text is not repeated in errors.
        let refused = |why: &str| {
            let help = "write it as https://host or https://host:port";
            Err(Error::misconfigured(format!("the S3 endpoint {why}")).help(help))
        };
        let (is_plain, rest) = match text.split_once("://") {
            Some(("https", rest)) => (false, rest),
            Some(("http", rest)) => (true, rest),
            _ => return refused("does not begin with `https://` or `http://`"),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return refused("holds credentials: use a profile, a role or the environment");
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']');
        if authority.is_empty() || !authority.chars().all(is_host) {
            return refused("is more or less than scheme, host and port");
        }
        let (host, port) = split_port(authority);
        if host.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return refused("has no host, or no port between 0 and 65535");
        }
        if is_plain && !allow_http && !is_loopback(host) {
            let message = format!("the S3 endpoint http://{authority} is not encrypted, and not this host");
            return Err(Error::misconfigured(message).help("use https, or allow http with `allow_http` (AWS_ALLOW_HTTP=true)"));
        }
        Ok(Endpoint { is_plain, authority: authority.to_owned() })
    }

    /// The endpoint as the client wants it: with the bucket in the host unless it stands in the path.
    fn url(&self, bucket: &str, path_style: bool) -> String {
        let scheme = if self.is_plain { "http" } else { "https" };
        let bucket = if path_style { String::new() } else { format!("{bucket}.") };
        format!("{scheme}://{bucket}{}", self.authority)
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_core::ErrorKind;

    #[test]
    fn plain_http_is_for_this_host_or_on_request() {
        for (endpoint, allow_http, is_fine) in [
            ("http://127.0.0.1:9000", false, true),
            ("http://127.9.9.9", false, true),
            ("http://localhost:9000/", false, true),
            ("http://[::1]:9000", false, true),
            ("http://minio:9000", false, false),
            ("http://minio:9000", true, true),
            ("http://localhost.example", false, false),
            ("https://minio:9000", false, true),
        ] {
            assert_eq!(Endpoint::parse(endpoint, allow_http).is_ok(), is_fine, "{endpoint}");
        }
    }

    #[test]
    fn an_endpoint_is_scheme_host_and_port_and_never_repeated_with_a_password() {
        for endpoint in [
            "minio:9000",
            "ftp://a",
            "https://",
            "https://user:marker@a",
            "https://a/b",
            "https://a?b",
            "http://a:port",
            "http://:1",
        ] {
            let error = Endpoint::parse(endpoint, true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{endpoint}");
            assert!(!error.to_string().contains("marker") && error.help_text().is_some());
        }
    }

    #[test]
    fn a_request_that_times_out_is_offered_again_three_times() {
        let S3Patience { connect_timeout, request_timeout, retries, retry_for, .. } = S3Patience::default();
        // The client gives up once more than `retry_for` has passed, and pauses for up to five seconds in between.
        let third = 3 * (request_timeout + Duration::from_secs(5));
        assert!(retries >= 3 && retry_for > third && connect_timeout < request_timeout);
    }

    #[test]
    fn the_bucket_stands_in_the_path_or_in_the_host() {
        let endpoint = Endpoint::parse("https://s3.example:9000", false).unwrap();
        assert_eq!(endpoint.url("lake", true), "https://s3.example:9000");
        assert_eq!(endpoint.url("lake", false), "https://lake.s3.example:9000");
    }
}
