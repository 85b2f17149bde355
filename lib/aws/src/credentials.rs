//! Credentials as the AWS SDK finds them, for a store that asks before each request.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;
use windrow_core::{Error, ErrorKind};

/// How long before their end credentials are replaced; half their life when that is shorter.
const REFRESH_AHEAD: Duration = Duration::from_secs(5 * 60);

/// Proves that there are credentials before anything is asked with them.
///
/// # Errors
/// `AccessDenied`, `Misconfigured` or `Transient`, with where credentials can come from.
pub(crate) async fn require(sdk: &SdkConfig) -> Result<(), Error> {
    let provider = sdk.credentials_provider().ok_or_else(|| Error::internal("the AWS configuration has no credentials chain"))?;
    let found = provider.provide_credentials().await.map_err(|error| explain(&error))?;
    require_sendable(&found)
}

/// The time, as the SDK's own source tells it.
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Keeps credentials until shortly before they expire. However many requests ask at once, one of them fetches.
pub(crate) struct SdkCredentials {
    provider: SharedCredentialsProvider,
    clock: Clock,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    credential: Arc<AwsCredential>,
    refresh_at: Option<SystemTime>,
    expires_at: Option<SystemTime>,
}

impl SdkCredentials {
    pub(crate) fn new(provider: SharedCredentialsProvider, clock: Clock) -> Self {
        SdkCredentials { provider, clock, held: Mutex::new(None) }
    }

    async fn credential(&self) -> Result<Arc<AwsCredential>, Error> {
        let mut held = self.held.lock().await;
        let now = (self.clock)();
        let is_before = |end: Option<SystemTime>| end.is_none_or(|end| now < end);
        if let Some(current) = held.as_ref().filter(|current| is_before(current.refresh_at)) {
            return Ok(Arc::clone(&current.credential));
        }
        match self.provider.provide_credentials().await {
            Ok(found) => {
                require_sendable(&found)?;
                let fresh = Held::new(&found, now);
                *held = Some(fresh.clone());
                Ok(fresh.credential)
            }
            // They are still good for a while; the next request tries again.
            Err(error) => match held.as_ref().filter(|current| is_before(current.expires_at)) {
                Some(current) => Ok(Arc::clone(&current.credential)),
                None => Err(explain(&error)),
            },
        }
    }
}

impl Held {
    fn new(found: &Credentials, now: SystemTime) -> Self {
        let expires_at = found.expiry();
        let life = expires_at.and_then(|end| end.duration_since(now).ok()).unwrap_or_default();
        Held {
            credential: Arc::new(AwsCredential {
                key_id: found.access_key_id().to_owned(),
                secret_key: found.secret_access_key().to_owned(),
                token: found.session_token().map(str::to_owned),
            }),
            refresh_at: expires_at.and_then(|end| end.checked_sub(REFRESH_AHEAD.min(life / 2))),
            expires_at,
        }
    }
}

/// Refuses what cannot stand in a request's header, such as the line break at the end of a key that was read from a file.
fn require_sendable(found: &Credentials) -> Result<(), Error> {
    let parts = [
        ("access key id", Some(found.access_key_id())),
        ("secret access key", Some(found.secret_access_key())),
        ("session token", found.session_token()),
    ];
    let is_wrong = |text: &str| text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic());
    match parts.iter().find(|(_, text)| text.is_some_and(is_wrong)) {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("the AWS {name} is empty, or holds a space, a line break or another character no key has");
            Err(Error::new(ErrorKind::AccessDenied, message).help("a key that is read from a file often ends in a line break"))
        }
    }
}

/// Says nothing of what it holds.
impl std::fmt::Debug for SdkCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SdkCredentials").finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let found = self.credential().await;
        found.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}

/// Says why there are no credentials. The causes are looked at and not repeated: they can quote a token file, the
/// output of a credential process or an answer that holds keys.
fn explain(error: &CredentialsError) -> Error {
    const CHAIN: &str =
        "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the task, pod or instance a role";
    let causes = causes(error);
    let names = |words: &[&str]| words.iter().any(|word| causes.contains(word));
    // What the SDK and the services say of a service that is slow, overloaded or down.
    let is_passing = names(&["timed out", "timeout", "statuscode(5", "(code: 5", "throttl", "slow down"])
        || names(&["serviceunavailable", "service unavailable", "internalfailure", "internal server error"]);
    let (kind, help) = match error {
        CredentialsError::CredentialsNotLoaded(_) => (ErrorKind::AccessDenied, CHAIN),
        CredentialsError::InvalidConfiguration(_) => {
            (ErrorKind::Misconfigured, "check the profile in ~/.aws/config and ~/.aws/credentials with `aws configure list`")
        }
        CredentialsError::ProviderTimedOut(_) => (ErrorKind::Transient, ErrorKind::Transient.next_step()),
        _ if is_passing => (ErrorKind::Transient, ErrorKind::Transient.next_step()),
        _ if names(&["expired", "sso session", "sso token", "session token not found"]) => {
            (ErrorKind::AccessDenied, "the session may have expired: run `aws sso login`, or get new credentials")
        }
        _ if names(&["external process", "credential_process", "command"]) => {
            (ErrorKind::AccessDenied, "run the profile's credential_process by hand to see why it fails")
        }
        _ if names(&["accessdenied", "access denied", "not authorized", "unauthorized"]) => {
            (ErrorKind::AccessDenied, "the role may not be assumed: check its trust policy")
        }
        _ if names(&["request forbidden: imds"]) => (ErrorKind::AccessDenied, CHAIN),
        _ => (ErrorKind::Transient, "run it again; `aws sts get-caller-identity` shows whether the credentials work"),
    };
    Error::new(kind, format!("no AWS credentials: {error}")).help(help)
}

fn causes(error: &CredentialsError) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&inner.to_string().to_lowercase());
        text.push('\n');
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::provider::future::ProvideCredentials as Provided;
    use std::sync::Mutex as SyncMutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    /// Gives the n-th set of credentials at the n-th call, or fails.
    #[derive(Debug, Default)]
    struct Scripted {
        calls: AtomicU64,
        life: Option<Duration>,
        fails: SyncMutex<bool>,
        seconds: Arc<AtomicU64>,
    }

    impl ProvideCredentials for Scripted {
        fn provide_credentials<'a>(&'a self) -> Provided<'a>
        where
            Self: 'a,
        {
            Provided::new(async move {
                let call = self.calls.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                if *self.fails.lock().unwrap() {
                    return Err(CredentialsError::provider_error("the process printed marker-secret"));
                }
                let now = START + Duration::from_secs(self.seconds.load(Ordering::SeqCst));
                let expiry = self.life.map(|life| now + life);
                Ok(Credentials::new(format!("key-{call}"), "marker-secret", Some("marker-token".into()), expiry, "scripted"))
            })
        }
    }

    fn bridge(life: Option<Duration>) -> (Arc<Scripted>, SdkCredentials, Arc<AtomicU64>) {
        let seconds = Arc::new(AtomicU64::new(0));
        let provider = Arc::new(Scripted { life, seconds: Arc::clone(&seconds), ..Scripted::default() });
        let told = Arc::clone(&seconds);
        let clock: Clock = Arc::new(move || START + Duration::from_secs(told.load(Ordering::SeqCst)));
        let shared = SharedCredentialsProvider::new(Arc::clone(&provider) as Arc<dyn ProvideCredentials>);
        (Arc::clone(&provider), SdkCredentials::new(shared, clock), seconds)
    }

    async fn key(bridge: &SdkCredentials) -> String {
        bridge.get_credential().await.unwrap().key_id.clone()
    }

    #[tokio::test]
    async fn many_requests_at_once_fetch_once() {
        let (provider, bridge, _) = bridge(None);
        let bridge = Arc::new(bridge);
        let asked: Vec<_> = (0..50)
            .map(|_| {
                tokio::spawn({
                    let bridge = Arc::clone(&bridge);
                    async move { key(&bridge).await }
                })
            })
            .collect();
        for task in asked {
            assert_eq!(task.await.unwrap(), "key-0");
        }
        assert_eq!(provider.calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn credentials_are_replaced_shortly_before_they_expire() {
        let (_, bridge, seconds) = bridge(Some(Duration::from_secs(3_600)));
        for (at, expected) in [(0, "key-0"), (3_299, "key-0"), (3_300, "key-1"), (3_400, "key-1"), (10_000, "key-2")] {
            seconds.store(at, Ordering::SeqCst);
            assert_eq!(key(&bridge).await, expected, "at {at} s");
        }
    }

    #[tokio::test]
    async fn short_lived_credentials_are_used_for_half_their_life() {
        let (_, bridge, seconds) = bridge(Some(Duration::from_secs(100)));
        for (at, expected) in [(0, "key-0"), (49, "key-0"), (50, "key-1")] {
            seconds.store(at, Ordering::SeqCst);
            assert_eq!(key(&bridge).await, expected, "at {at} s");
        }
    }

    #[tokio::test]
    async fn a_failed_refresh_keeps_what_is_still_good_and_no_error_holds_a_secret() {
        let (provider, bridge, seconds) = bridge(Some(Duration::from_secs(3_600)));
        assert_eq!(key(&bridge).await, "key-0");
        *provider.fails.lock().unwrap() = true;
        seconds.store(3_500, Ordering::SeqCst);
        assert_eq!(key(&bridge).await, "key-0");
        seconds.store(3_600, Ordering::SeqCst);
        let error = bridge.get_credential().await.unwrap_err();
        let mut texts = vec![error.to_string(), format!("{error:?}"), format!("{bridge:?}")];
        texts.extend(error.source().map(|cause| format!("{cause} {cause:?}")));
        assert!(texts.iter().all(|text| !text.contains("marker")), "{texts:?}");
    }

    #[test]
    fn a_key_that_no_header_can_hold_is_refused_and_not_repeated() {
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            require_sendable(&Credentials::new(id, secret, token.map(str::to_owned), None, "test"))
        };
        assert!(keys("AKIA0", "a/b+c=", Some("t==")).is_ok());
        for (id, secret, token) in
            [("AKIA\n", "marker", None), ("AKIA", "marker\r", None), ("AKIA", "marker", Some("t ")), ("", "marker", None)]
        {
            let error = keys(id, secret, token).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AccessDenied);
            assert!(!error.to_string().contains("marker") && error.help_text().is_some(), "{error}");
        }
    }

    #[test]
    fn missing_credentials_say_where_they_can_come_from() {
        for (error, kind, help) in [
            (CredentialsError::not_loaded_no_source(), ErrorKind::AccessDenied, "AWS_PROFILE"),
            (CredentialsError::invalid_configuration("x"), ErrorKind::Misconfigured, "~/.aws/config"),
            (CredentialsError::provider_timed_out(Duration::from_secs(5)), ErrorKind::Transient, "run it again"),
            (CredentialsError::provider_error("the SSO session has expired"), ErrorKind::AccessDenied, "aws sso login"),
            (CredentialsError::provider_error("failed to load the cached SSO token"), ErrorKind::AccessDenied, "aws sso login"),
            (CredentialsError::provider_error("ExpiredTokenException: expired"), ErrorKind::AccessDenied, "aws sso login"),
            (CredentialsError::provider_error("external process exited with 1"), ErrorKind::AccessDenied, "by hand"),
            (CredentialsError::provider_error("failed to load IMDS session token"), ErrorKind::Transient, "get-caller-identity"),
            (CredentialsError::provider_error("the processor of the token failed"), ErrorKind::Transient, "get-caller-identity"),
            (CredentialsError::provider_error("error response from IMDS (code: 503)"), ErrorKind::Transient, "run it again"),
            (CredentialsError::provider_error("status from the provider: StatusCode(500)"), ErrorKind::Transient, "run it again"),
            (CredentialsError::provider_error("sso session: request has timed out"), ErrorKind::Transient, "run it again"),
            (CredentialsError::provider_error("request forbidden: IMDS is disabled"), ErrorKind::AccessDenied, "AWS_PROFILE"),
            (CredentialsError::provider_error("dispatch failure"), ErrorKind::Transient, "get-caller-identity"),
        ] {
            let explained = explain(&error);
            assert_eq!(explained.kind(), kind, "{explained}");
            assert!(explained.help_text().unwrap().contains(help), "{explained}");
        }
    }
}
