//! A replay queue on SQS: takes messages, keeps them while they are worked on, deletes what is done.
//!
//! A message that is not deleted comes back when its time is over; how often, and where it goes then, is the queue's own
//! dead-letter rule.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_types::service_config::ServiceConfigKey;
use windrow_core::{Error, ErrorKind, Result};

use crate::credentials;
use crate::s3::{S3Environment, S3Options, load_sdk_config};

/// The most messages SQS hands out at once.
pub const MOST_AT_ONCE: usize = 10;
/// How often a call is tried.
const ATTEMPTS: u32 = 3;
/// How long one try of a call may take, the wait for messages not counted.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// A queue of messages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
}

/// One message, hidden from others for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMessage {
    /// The queue's name for the message.
    pub id: String,
    /// What this receipt of it is named by.
    pub receipt: String,
    /// The text.
    pub body: String,
}

impl Queue {
    /// Opens the queue at an URL; nothing is sent but what finding credentials takes. `AWS_ENDPOINT_URL_SQS` names another
    /// server than AWS; without it one that the URL names is asked.
    ///
    /// # Errors
    /// `Misconfigured` for a text that is no URL, else what there is to say of the credentials.
    pub async fn open(url: &str, options: &S3Options, environment: &S3Environment) -> Result<Queue> {
        let place = Place::read(url)?;
        let sdk = load_sdk_config(options, environment).await;
        credentials::require(&sdk).await?;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(Duration::from_secs(5)).operation_attempt_timeout(ATTEMPT_TIMEOUT * 2);
        let mut config = Builder::from(&sdk)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts.build())
            .region(region(&sdk, &place));
        if !has_endpoint(&sdk) && place.region.is_none() {
            config.set_endpoint_url(Some(place.origin));
        }
        Ok(Queue { client: Client::from_conf(config.build()), url: url.to_owned() })
    }

    /// Takes up to `most` messages and hides them from others; waits for the first one, at most 20 seconds.
    ///
    /// # Errors
    /// `Misconfigured` for a queue that does not exist, `AccessDenied`, or `Transient`.
    pub async fn receive(&self, most: usize, wait: Duration, hidden: Duration) -> Result<Vec<QueueMessage>> {
        let most = i32::try_from(most.clamp(1, MOST_AT_ONCE)).unwrap_or(1);
        let asked = self.client.receive_message().queue_url(&self.url).max_number_of_messages(most);
        let asked = asked.wait_time_seconds(seconds(wait).min(20)).visibility_timeout(seconds(hidden));
        let answer = asked.send().await.map_err(|error| self.failure("cannot receive from", &error))?;
        let read = |message: aws_sdk_sqs::types::Message| {
            Some(QueueMessage {
                id: message.message_id.unwrap_or_default(),
                receipt: message.receipt_handle?,
                body: message.body.unwrap_or_default(),
            })
        };
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(read).collect())
    }

    /// Hides a message for so long from now on.
    ///
    /// # Errors
    /// As [`Queue::receive`].
    pub async fn hide(&self, message: &QueueMessage, hidden: Duration) -> Result<()> {
        let asked = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(&message.receipt);
        let answer = asked.visibility_timeout(seconds(hidden)).send().await;
        answer.map(|_| ()).map_err(|error| self.failure("cannot keep a message of", &error))
    }

    /// Deletes a message: what it asked for is done.
    ///
    /// # Errors
    /// As [`Queue::receive`].
    pub async fn delete(&self, message: &QueueMessage) -> Result<()> {
        let answer = self.client.delete_message().queue_url(&self.url).receipt_handle(&message.receipt).send().await;
        answer.map(|_| ()).map_err(|error| self.failure("cannot delete a message of", &error))
    }

    fn failure<E: ProvideErrorMetadata>(&self, what: &str, error: &SdkError<E>) -> Error {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code().unwrap_or_default();
        let told = match (code, error.message(), status) {
            ("", _, None) => "no answer".to_owned(),
            ("", _, Some(status)) => format!("status {status}"),
            (code, message, _) => format!("{code}: {}", message.unwrap_or("no message")),
        };
        let (kind, help) = meaning(code, status);
        Error::new(kind, format!("{what} queue {}: {told}", self.url)).help(help)
    }
}

/// What an answer of SQS means. Codes come as `AWS.SimpleQueueService.NonExistentQueue` and as `QueueDoesNotExist`.
fn meaning(code: &str, status: Option<u16>) -> (ErrorKind, &'static str) {
    let name = code.rsplit(['.', '#']).next().unwrap_or_default();
    match (name, status) {
        ("NonExistentQueue" | "QueueDoesNotExist" | "QueueDeletedRecently" | "InvalidAddress", _) => {
            (ErrorKind::Misconfigured, "correct --from-queue or WINDROW_REPLAY_QUEUE: the queue's URL, in its account and region")
        }
        ("RequestThrottled" | "ThrottlingException" | "Throttling" | "OverLimit" | "ServiceUnavailable", _)
        | (_, None | Some(408 | 429 | 500..)) => (ErrorKind::Transient, ErrorKind::Transient.next_step()),
        (_, Some(401 | 403))
        | (
            "AccessDenied"
            | "AccessDeniedException"
            | "InvalidSecurity"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken",
            _,
        ) => (ErrorKind::AccessDenied, "the role needs sqs:ReceiveMessage, sqs:ChangeMessageVisibility and sqs:DeleteMessage"),
        _ => (ErrorKind::Misconfigured, "check --from-queue and the endpoint it is asked at"),
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// What a queue's URL says of where it is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Scheme, host and port.
    origin: String,
    /// The region, where the host is one of AWS.
    region: Option<String>,
}

impl Place {
    fn read(url: &str) -> Result<Place> {
        let parts = url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('/')?)));
        let Some((scheme @ ("http" | "https"), (host, _))) =
            parts.filter(|(_, (host, path))| !host.is_empty() && !path.is_empty())
        else {
            return Err(Error::misconfigured(format!("`{}` is no queue's URL", url.escape_debug()))
                .help("it looks like https://sqs.eu-central-1.amazonaws.com/111122223333/replay"));
        };
        let of_aws = host.strip_suffix(".amazonaws.com").or(host.strip_suffix(".amazonaws.com.cn"));
        let region = of_aws.and_then(|name| name.strip_prefix("sqs.")).map(str::to_owned);
        Ok(Place { origin: format!("{scheme}://{host}"), region })
    }
}

/// A queue is asked in its own region, whatever else is configured.
fn region(sdk: &SdkConfig, place: &Place) -> Region {
    let of_queue = place.region.clone().map(Region::new).or_else(|| sdk.region().cloned());
    // Servers other than AWS have one region, and by custom it has this name.
    of_queue.unwrap_or_else(|| Region::from_static("us-east-1"))
}

/// Tells whether a server is configured for SQS, or for all services.
fn has_endpoint(sdk: &SdkConfig) -> bool {
    let key = ServiceConfigKey::builder().service_id("SQS").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let of_service = key.ok().and_then(|key| sdk.service_config().and_then(|config| config.load_config(key)));
    of_service.is_some() || sdk.endpoint_url().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_names_server_and_region() {
        let place = |url| Place::read(url).unwrap();
        let aws = place("https://sqs.eu-central-1.amazonaws.com/111122223333/replay");
        assert_eq!(aws.region.as_deref(), Some("eu-central-1"));
        let own = place("http://127.0.0.1:9324/000000000000/replay");
        assert_eq!((own.origin.as_str(), own.region), ("http://127.0.0.1:9324", None));
        for url in ["replay", "arn:aws:sqs:eu-central-1:111122223333:replay", "https://host", "https:///x", "ftp://host/x"] {
            assert_eq!(Place::read(url).unwrap_err().kind(), ErrorKind::Misconfigured, "{url}");
        }
    }

    #[test]
    fn only_an_answer_that_may_change_is_asked_for_again() {
        for (code, status, kind) in [
            ("AWS.SimpleQueueService.NonExistentQueue", Some(400), ErrorKind::Misconfigured),
            ("QueueDoesNotExist", Some(400), ErrorKind::Misconfigured),
            ("com.amazonaws.sqs#QueueDoesNotExist", Some(400), ErrorKind::Misconfigured),
            ("AccessDeniedException", Some(400), ErrorKind::AccessDenied),
            ("ExpiredToken", Some(403), ErrorKind::AccessDenied),
            ("", Some(403), ErrorKind::AccessDenied),
            ("RequestThrottled", Some(400), ErrorKind::Transient),
            ("InternalError", Some(500), ErrorKind::Transient),
            ("", Some(503), ErrorKind::Transient),
            ("", None, ErrorKind::Transient),
            ("InvalidParameterValue", Some(400), ErrorKind::Misconfigured),
            ("", Some(404), ErrorKind::Misconfigured),
        ] {
            assert_eq!(meaning(code, status).0, kind, "{code} {status:?}");
        }
    }
}
