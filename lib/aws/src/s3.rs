//! Opens an `s3://` lake with the configuration and credentials that every AWS tool on the host uses.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, SharedHttpClient};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_types::service_config::ServiceConfigKey;
use windrow_core::{Error, ErrorKind, Result};
use windrow_lake::{Lake, Observer, S3Encryption, S3Location, S3Patience, S3Settings};

use crate::credentials::SdkCredentials;

/// What is configured for lakes on S3. What is left out comes from the AWS configuration: profile, then instance.
#[derive(Clone, Default)]
pub struct S3Options {
    /// The profile; `None` for `default`.
    pub profile: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Scheme, host and port of a server other than AWS.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path and not in the host; `None` for yes with an endpoint.
    pub path_style: Option<bool>,
    /// Whether `http://` may be used for a host that is not this one.
    pub allow_http: bool,
    /// The account that must own the bucket, 12 digits; asked once when the lake is opened.
    pub expected_bucket_owner: Option<String>,
    /// Encryption of what is written.
    pub encryption: S3Encryption,
    /// Timeouts and retries.
    pub patience: S3Patience,
    /// Hears of each failed attempt, for the log.
    pub observer: Option<Observer>,
}

/// The variables of the environment that outrank [`S3Options`]. This crate reads none itself; the SDK reads those of its
/// own chain (credentials, roles).
#[derive(Clone, Debug, Default)]
pub struct S3Environment {
    /// AWS_PROFILE.
    pub profile: Option<String>,
    /// AWS_ENDPOINT_URL_S3.
    pub endpoint_url_s3: Option<String>,
    /// AWS_ENDPOINT_URL.
    pub endpoint_url: Option<String>,
    /// AWS_REGION, else AWS_DEFAULT_REGION.
    pub region: Option<String>,
    /// AWS_ALLOW_HTTP.
    pub allow_http: Option<String>,
}

/// Opens the lake at an `s3://bucket[/folder]` URL.
///
/// # Errors
/// As [`Lake::open_s3`]; `Misconfigured` too for a region that is set nowhere and an owner that is no account id, and
/// `AccessDenied` for a bucket that another account owns.
pub async fn open_lake(url: &str, options: &S3Options, environment: &S3Environment) -> Result<Lake> {
    let location: S3Location = url.parse()?;
    let owner = options.expected_bucket_owner.as_deref().map(account_id).transpose()?;
    let (sdk, settings) = settings(location, options, environment).await?;
    let lake = Lake::open_s3(&settings).await?;
    if let Some(owner) = owner {
        require_owner(&sdk, &settings, owner).await?;
    }
    Ok(lake)
}

/// Puts one object, over an old one if need be; `uri` is `s3://bucket/key`. The bucket is not looked at first.
///
/// # Errors
/// As [`open_lake`].
pub async fn put_object(uri: &str, bytes: Vec<u8>, options: &S3Options, environment: &S3Environment) -> Result<()> {
    let (_, settings) = settings(uri.parse()?, options, environment).await?;
    windrow_lake::put_object(&settings, bytes).await
}

/// The settings of a client, and what they were made of.
async fn settings(location: S3Location, options: &S3Options, environment: &S3Environment) -> Result<(SdkConfig, S3Settings)> {
    let allow_http = options.allow_http || allows_http(environment.allow_http.as_deref())?;
    let sdk = load_sdk_config(options, environment).await;
    let endpoint = endpoint(&sdk, options, environment);
    let region = region(&sdk, endpoint.is_some())?;
    let provider = sdk.credentials_provider().ok_or_else(|| Error::internal("the AWS configuration has no credentials chain"))?;
    let time = sdk.time_source().ok_or_else(|| Error::internal("the AWS configuration has no clock"))?;
    let credentials = SdkCredentials::new(provider, Arc::new(move || time.now()));
    let settings = S3Settings {
        endpoint,
        path_style: options.path_style,
        allow_http,
        encryption: options.encryption.clone(),
        patience: options.patience,
        observer: options.observer.clone(),
        ..S3Settings::new(location, region, Arc::new(credentials))
    };
    Ok((sdk, settings))
}

/// The AWS configuration of the host, with what is known of profile and region put first.
pub(crate) async fn load_sdk_config(options: &S3Options, environment: &S3Environment) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
    if let Some(profile) = first([&environment.profile, &options.profile]) {
        loader = loader.profile_name(profile);
    }
    // A region that is known keeps the chain from asking an instance that may not be there.
    if let Some(region) = first([&environment.region, &options.region]) {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}

/// The one TLS stack of this program: rustls on ring.
fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

fn endpoint(sdk: &SdkConfig, options: &S3Options, environment: &S3Environment) -> Option<String> {
    let set = first([&environment.endpoint_url_s3, &environment.endpoint_url, &options.endpoint]);
    set.or_else(|| {
        let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
        let of_service = sdk.service_config().and_then(|config| config.load_config(key));
        of_service.or_else(|| sdk.endpoint_url().map(str::to_owned))
    })
}

fn first<const N: usize>(values: [&Option<String>; N]) -> Option<String> {
    values.into_iter().flatten().find(|value| !value.is_empty()).cloned()
}

fn region(sdk: &SdkConfig, has_endpoint: bool) -> Result<String> {
    match sdk.region().map(ToString::to_string) {
        Some(region) if region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => Ok(region),
        Some(region) => Err(Error::misconfigured(format!("`{}` is no AWS region", region.escape_debug()))
            .help("a region is written like eu-central-1; one that is read from a file often ends in a line break")),
        // Servers other than AWS have one region, and by custom it has this name.
        None if has_endpoint => Ok("us-east-1".to_owned()),
        None => Err(Error::misconfigured("no AWS region is set")
            .help("set `region` under [s3] in windrow.toml, AWS_REGION, or the profile's region to the bucket's")),
    }
}

fn allows_http(value: Option<&str>) -> Result<bool> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(Error::misconfigured("AWS_ALLOW_HTTP is neither `true` nor `false`")),
    }
}

fn account_id(text: &str) -> Result<&str> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text);
    }
    let message = format!("expected bucket owner `{}` is no account id", text.escape_debug());
    Err(Error::misconfigured(message).help("an account id has 12 digits"))
}

async fn require_owner(sdk: &SdkConfig, settings: &S3Settings, owner: &str) -> Result<()> {
    let mut config = Builder::from(sdk)
        .region(Region::new(settings.region.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(settings.patience.connect_timeout)
                .operation_attempt_timeout(settings.patience.request_timeout)
                .build(),
        )
        .force_path_style(settings.path_style.unwrap_or(settings.endpoint.is_some()));
    config.set_endpoint_url(settings.endpoint.clone());
    let bucket = settings.location.bucket();
    let asked = Client::from_conf(config.build()).head_bucket().bucket(bucket).expected_bucket_owner(owner).send().await;
    let Err(error) = asked else { return Ok(()) };
    Err(owner_unknown(bucket, owner, error.raw_response().map(|response| response.status().as_u16())))
}

/// What an answer to the owner question means. It answers a HEAD, so there is a status and nothing else.
fn owner_unknown(bucket: &str, owner: &str, status: Option<u16>) -> Error {
    let shown = status.map_or("no answer".to_owned(), |status| format!("status {status}"));
    let unanswered = format!("the owner of bucket {bucket} could not be asked for: {shown}");
    match status {
        // The bucket was listed a moment ago, so it is there and open to these credentials.
        Some(401 | 403) => {
            let message = format!("bucket {bucket} is not owned by account {owner}, or its owner may not be asked for");
            let help = "make sure the lake's URL names your bucket: the name may have been taken by somebody else";
            Error::new(ErrorKind::AccessDenied, message).help(help)
        }
        Some(400) => {
            Error::new(ErrorKind::AccessDenied, unanswered).help("the credentials may have expired: get new ones, then run again")
        }
        Some(300..400) => Error::misconfigured(unanswered).help("the bucket is in another region: set `region` to the bucket's"),
        Some(408 | 409 | 429) | None => Error::new(ErrorKind::Transient, unanswered),
        Some(402..=499 | 501) => Error::misconfigured(unanswered)
            .help("check the lake's URL and endpoint, or take out `expected_bucket_owner` where the server knows no owners"),
        Some(_) => Error::new(ErrorKind::Transient, unanswered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn the_endpoint_of_the_service_outranks_the_general_one_and_both_the_file() {
        let sdk = SdkConfig::builder().endpoint_url("https://profile").build();
        let options = S3Options { endpoint: some("https://file"), ..S3Options::default() };
        let set = |service: &str, general: &str| S3Environment {
            endpoint_url_s3: some(service),
            endpoint_url: some(general),
            ..S3Environment::default()
        };
        assert_eq!(endpoint(&sdk, &options, &set("https://s3", "https://all")), some("https://s3"));
        assert_eq!(endpoint(&sdk, &options, &set("", "https://all")), some("https://all"));
        assert_eq!(endpoint(&sdk, &options, &S3Environment::default()), some("https://file"));
        assert_eq!(endpoint(&sdk, &S3Options::default(), &S3Environment::default()), some("https://profile"));
    }

    #[test]
    fn a_region_is_needed_on_aws_only() {
        let sdk = SdkConfig::builder().build();
        assert_eq!(region(&sdk, true).unwrap(), "us-east-1");
        assert_eq!(region(&sdk, false).unwrap_err().kind(), ErrorKind::Misconfigured);
    }

    #[test]
    fn only_an_answer_that_may_change_is_asked_for_again() {
        for (status, kind) in [
            (Some(301), ErrorKind::Misconfigured),
            (Some(307), ErrorKind::Misconfigured),
            (Some(400), ErrorKind::AccessDenied),
            (Some(401), ErrorKind::AccessDenied),
            (Some(403), ErrorKind::AccessDenied),
            (Some(404), ErrorKind::Misconfigured),
            (Some(405), ErrorKind::Misconfigured),
            (Some(408), ErrorKind::Transient),
            (Some(429), ErrorKind::Transient),
            (Some(500), ErrorKind::Transient),
            (Some(501), ErrorKind::Misconfigured),
            (Some(503), ErrorKind::Transient),
            (None, ErrorKind::Transient),
        ] {
            let error = owner_unknown("acme-lake", "111122223333", status);
            assert_eq!(error.kind(), kind, "{status:?}");
            assert_eq!(error.help_text().is_some(), kind != ErrorKind::Transient, "{status:?}");
        }
    }

    #[test]
    fn what_is_configured_is_read_strictly() {
        assert!(allows_http(Some("TRUE")).unwrap() && !allows_http(None).unwrap());
        assert!(allows_http(Some("yes")).is_err());
        assert!(account_id("123456789012").is_ok() && account_id("12345678901").is_err() && account_id("12345678901a").is_err());
    }
}
