//! The three calls by which a task with a token answers its state machine.
//!
//! ```text
//! send_task_heartbeat … send_task_heartbeat ─▶ send_task_success | send_task_failure
//! ```
//! None of them fails the job: its exit code and its result are its own, whether or not the state machine hears of them.

use std::fmt;
use std::time::Duration;

use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::retry::RetryConfig;
use aws_sdk_sfn::config::timeout::TimeoutConfig;
use aws_sdk_sfn::config::{Builder, Region};
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};

use crate::failure::TaskFailure;
use crate::s3::{S3Environment, S3Options, load_sdk_config};

/// The longest token, in characters.
const MAX_TOKEN: usize = 2_048;
/// How often a call is tried; the pauses in between grow to a few seconds in all.
const ATTEMPTS: u32 = 4;
/// How long one try of a call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The state machine heard it.
    Accepted,
    /// Who waited for this token does not any more.
    TimedOut(String),
    /// Nobody knows this token: it is wrong, answered already, or of an execution that was stopped.
    Abandoned(String),
    /// It could not be said, however often it was tried.
    Failed(String),
}

/// A task's line to its state machine.
#[derive(Clone)]
pub struct TaskCallback {
    client: Client,
    token: String,
}

/// Says nothing of the token.
impl fmt::Debug for TaskCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCallback").finish_non_exhaustive()
    }
}

impl TaskCallback {
    /// Loads the AWS configuration of the host; nothing is sent. `AWS_ENDPOINT_URL_SFN` names another server than AWS.
    pub async fn open(token: &str, environment: &S3Environment) -> TaskCallback {
        let sdk = load_sdk_config(&S3Options::default(), environment).await;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let mut config = Builder::from(&sdk)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts.build());
        if sdk.region().is_none() {
            // A server other than AWS has one region; AWS itself refuses the signature, and says why.
            config.set_region(Some(Region::from_static("us-east-1")));
        }
        TaskCallback { client: Client::from_conf(config.build()), token: token.to_owned() }
    }

    /// Says that the work goes on.
    pub async fn heartbeat(&self) -> Answer {
        if let Some(refused) = self.refused() {
            return refused;
        }
        self.answer(self.client.send_task_heartbeat().task_token(&self.token).send().await)
    }

    /// Says that the work is done; `output` is JSON within the limit, as [`task_output`](crate::task_output) makes it.
    pub async fn succeed(&self, output: &str) -> Answer {
        if let Some(refused) = self.refused() {
            return refused;
        }
        self.answer(self.client.send_task_success().task_token(&self.token).output(output).send().await)
    }

    /// Says that the work failed, and how.
    pub async fn fail(&self, failure: &TaskFailure) -> Answer {
        if let Some(refused) = self.refused() {
            return refused;
        }
        let call = self.client.send_task_failure().task_token(&self.token).error(&failure.error).cause(&failure.cause);
        self.answer(call.send().await)
    }

    /// The answer to a token that cannot be one.
    fn refused(&self) -> Option<Answer> {
        let length = self.token.chars().count();
        (length > MAX_TOKEN)
            .then(|| Answer::Abandoned(format!("InvalidToken: the task token has {length} characters, {MAX_TOKEN} are allowed")))
    }

    fn answer<T, E, R>(&self, answered: Result<T, SdkError<E, R>>) -> Answer
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: fmt::Debug + 'static,
    {
        let Err(error) = answered else { return Answer::Accepted };
        // A server that quotes the token must not bring it into the log.
        let told = told(&error).replace(&self.token, "…");
        match error.code() {
            Some("TaskTimedOut") => Answer::TimedOut(told),
            Some("InvalidToken" | "TaskDoesNotExist") => Answer::Abandoned(told),
            _ => Answer::Failed(told),
        }
    }
}

/// The server's words, else what went wrong on the way, outermost first.
fn told<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: fmt::Debug + 'static,
{
    if let Some(code) = error.code() {
        return format!("{code}: {}", error.message().unwrap_or("no message"));
    }
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
