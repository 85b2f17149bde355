//! Every request to an S3 server: counted, judged once, and told of when it fails.
//!
//! Sits below the client's retries, so each attempt passes here. Every body the lake asks for is needed whole, so it is
//! read whole here: one that breaks off is offered again like any other failed request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, HeaderValue};

use crate::refusal::{Asked, Verdict, judge};

/// What a lake asked of its store since it was opened; all zero for local disk and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests sent, each attempt of a retried one.
    pub requests: u64,
    /// Requests that got no answer, or one that is an error; "no such key" and "exists already" are none.
    pub failed_requests: u64,
    /// Bytes of the answers' bodies.
    pub bytes_in: u64,
    /// Bytes of the requests' bodies.
    pub bytes_out: u64,
    /// Creates whose answer was no plain success, so that the key was read back to know what it holds.
    pub read_backs: u64,
}

/// One failed attempt, as a log line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    /// The method.
    pub method: String,
    /// The path of the URL, percent-encoded.
    pub path: String,
    /// The status of the answer; `None` when there was none.
    pub status: Option<u16>,
    /// What the server or the connection said.
    pub message: String,
}

/// Hears of each failed attempt.
pub type Observer = Arc<dyn Fn(&FailedRequest) + Send + Sync>;

/// The counters behind [`Traffic`].
#[derive(Debug, Default)]
pub(crate) struct Meter {
    requests: AtomicU64,
    failed_requests: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    read_backs: AtomicU64,
}

impl Meter {
    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            failed_requests: self.failed_requests.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            read_backs: self.read_backs.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn count_read_back(&self) {
        self.read_backs.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes the client's connections, with the meter between them and the client.
pub(crate) struct MeteredConnector {
    pub(crate) meter: Arc<Meter>,
    pub(crate) observer: Option<Observer>,
}

impl fmt::Debug for MeteredConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeteredConnector").field("meter", &self.meter).finish_non_exhaustive()
    }
}

impl HttpConnector for MeteredConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Metered { client, meter: Arc::clone(&self.meter), observer: self.observer.clone() }))
    }
}

struct Metered {
    client: HttpClient,
    meter: Arc<Meter>,
    observer: Option<Observer>,
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").field("meter", &self.meter).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpService for Metered {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let asked = what_is_asked(&mut request);
        self.meter.requests.fetch_add(1, Ordering::Relaxed);
        self.meter.bytes_out.fetch_add(length(request.body().content_length()), Ordering::Relaxed);
        let failed = |status: Option<u16>, message: &dyn fmt::Display| {
            self.meter.failed_requests.fetch_add(1, Ordering::Relaxed);
            if let Some(observer) = &self.observer {
                let (method, path) = (method.clone(), path.clone());
                observer(&FailedRequest { method, path, status, message: message.to_string() });
            }
        };
        let whole = async {
            let (parts, body) = self.client.execute(request).await?.into_parts();
            Ok((parts, body.bytes().await?))
        };
        let (mut parts, body) = whole.await.map_err(|error| {
            let error = again(&error);
            failed(None, &error);
            error
        })?;
        self.meter.bytes_in.fetch_add(length(body.len()), Ordering::Relaxed);
        let status = parts.status.as_u16();
        match judge(asked, parts.status, &body) {
            Verdict::Pass => Ok(HttpResponse::from_parts(parts, body.into())),
            Verdict::As(verdict, text) => {
                if !matches!(status, 404 | 412) {
                    failed(Some(status), &text);
                }
                parts.status = verdict;
                Ok(HttpResponse::from_parts(parts, text.into()))
            }
            Verdict::Stop(error) => {
                failed(Some(status), &error);
                Err(HttpError::new(HttpErrorKind::Unknown, error))
            }
        }
    }
}

/// Every request of the lake may be offered again: reads change nothing, creates are conditional and read back, and
/// views, uploads and deletes come to the same when they are done twice.
fn again(error: &HttpError) -> HttpError {
    let kind = match error.kind() {
        HttpErrorKind::Connect => HttpErrorKind::Connect,
        _ => HttpErrorKind::Request,
    };
    HttpError::new(kind, Broken(causes(error)))
}

/// A request that got no answer, with every cause: the outermost alone says nothing.
#[derive(Debug)]
struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

fn causes(error: &HttpError) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !texts.iter().any(|told| told.contains(&text)) {
            texts.push(text);
        }
        cause = inner.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

fn what_is_asked(request: &mut HttpRequest) -> Asked {
    let query = request.uri().query().unwrap_or("").to_owned();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match request.method().as_str() {
        "GET" if has("list-type") => Asked::List,
        "PUT" if request.headers().contains_key("x-amz-copy-source") => Asked::MayFailInside,
        "POST" if has("delete") => Asked::Delete,
        "POST" if has("uploadId") => {
            // Uploads in parts are of files that are written once; the client has no option to say so. The header is
            // not among those that have to be signed.
            request.headers_mut().insert("if-none-match", HeaderValue::from_static("*"));
            Asked::MayFailInside
        }
        _ => Asked::Plain,
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
