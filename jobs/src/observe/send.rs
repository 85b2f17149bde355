//! Where lineage goes: to the lake and to an OpenLineage server. It never stops data: what fails is a warning, and all
//! failures of a process together take a bounded time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::runtime;

/// How long one event may take to be posted, and one file to be put.
const POST_TIMEOUT: Duration = Duration::from_secs(3);
const PUT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long failed attempts may take in all before no further ones are made.
const LONGEST_DELAY: Duration = Duration::from_secs(20);

/// The path that OpenLineage's clients append to the server's address.
const ENDPOINT: &str = "api/v1/lineage";

/// What failed attempts took so far.
#[derive(Debug, Default)]
pub(super) struct Patience {
    spent_milliseconds: AtomicU64,
}

impl Patience {
    /// Puts a file, unless too much time was lost already.
    pub(super) async fn put<E: std::fmt::Display>(&self, put: impl Future<Output = Result<(), E>>) -> Result<(), String> {
        self.within(PUT_TIMEOUT, put).await
    }

    async fn within<E: std::fmt::Display>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<(), E>>,
    ) -> Result<(), String> {
        let spent = Duration::from_millis(self.spent_milliseconds.load(Ordering::Relaxed));
        let Some(left) = LONGEST_DELAY.checked_sub(spent).filter(|left| !left.is_zero()) else {
            return Err(format!("given up after {} s lost to it", LONGEST_DELAY.as_secs()));
        };
        let (started, limit) = (runtime::instant(), limit.min(left));
        let failed = match tokio::time::timeout(limit, work).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", limit.as_millis()),
        };
        let lost = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.spent_milliseconds.fetch_add(lost, Ordering::Relaxed);
        Err(failed)
    }
}

/// An OpenLineage server.
pub(super) struct Server {
    client: reqwest::Client,
    url: reqwest::Url,
    key: Option<String>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Server {
    /// A server by its address, `https://marquez.example:5000`. The key is sent as bearer, and never over plain http to
    /// another host.
    ///
    /// # Errors
    /// Why the address cannot be used; without the address, which may hold a password.
    pub(super) fn new(address: &str, endpoint: Option<&str>, key: Option<String>) -> Result<Server, String> {
        let text = format!("{}/{}", address.trim_end_matches('/'), endpoint.unwrap_or(ENDPOINT).trim_start_matches('/'));
        let url = reqwest::Url::parse(&text).map_err(|error| format!("its address is none: {error}"))?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => {}
            "http" if is_here || key.is_none() => {}
            "http" => return Err("its key would be sent over plain http: use https".to_owned()),
            _ => return Err("its address is neither http nor https".to_owned()),
        }
        let client = reqwest::Client::builder().timeout(POST_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| format!("no client: {}", error.without_url()))?;
        Ok(Server { client, url, key })
    }

    /// Posts one event, unless too much time was lost already.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) async fn post(&self, event: &Value, patience: &Patience) -> Result<(), String> {
        let request = self.client.post(self.url.clone()).header("content-type", "application/json").body(event.to_string());
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let work = async {
            let answer = request.send().await.map_err(|error| told(&error.without_url()))?;
            if answer.status().is_success() { Ok(()) } else { Err(format!("status {}", answer.status().as_u16())) }
        };
        patience.within(POST_TIMEOUT, work).await
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_over_https_or_to_this_host_only() {
        let key = || Some("marker".to_owned());
        for address in ["https://lineage.example", "http://127.0.0.1:5000", "http://localhost:5000/"] {
            let server = Server::new(address, None, key()).unwrap();
            assert!(server.url.as_str().ends_with("/api/v1/lineage") && !format!("{server:?}").contains("marker"));
        }
        for address in ["http://lineage.example", "ftp://lineage.example", "lineage.example", "http://user:marker@"] {
            let refused = Server::new(address, None, key()).unwrap_err();
            assert!(!refused.contains("marker"), "{refused}");
        }
        assert!(Server::new("http://lineage.example", None, None).is_ok());
    }

    #[tokio::test]
    async fn what_fails_is_not_tried_for_ever() {
        let patience = Patience::default();
        let refused = patience.put(async { Err::<(), _>("refused") }).await;
        assert_eq!(refused.unwrap_err(), "refused");
        let spent = u64::try_from(LONGEST_DELAY.as_millis()).unwrap();
        patience.spent_milliseconds.store(spent, Ordering::Relaxed);
        let given_up = patience.put(async { Ok::<(), String>(()) }).await;
        assert_eq!(given_up.unwrap_err(), "given up after 20 s lost to it");
    }
}
