//! What an S3 answer means: pass it on, offer the request again, or stop with the right kind of error.
//!
//! | answer | what becomes of it |
//! |---|---|
//! | 404 (no such key), 412, 304 | passed on: an answer, not a failure |
//! | 416 | passed on as 412: the object is not the one that was listed |
//! | 429, 5xx but 501, 408 | offered again by the client, then Transient |
//! | 409 (another request for the key is under way) | offered again as 503 |
//! | 400 RequestTimeout, BadDigest and the like: damaged or cut short on the way | offered again as 408 |
//! | 200 with an error inside (copy, complete, delete) | as its code says |
//! | NoSuchBucket, wrong region, unknown KMS key, 405, 501, any other 4xx | Misconfigured |
//! | 401, 403, expired or unknown credentials | AccessDenied |
//! | NoSuchUpload | Transient |
//!
//! The text of an answer can repeat signed headers, so only its code and message go on, never the whole.

use http::StatusCode;
use windrow_core::{Error, ErrorKind};

/// What to do when a delete is denied.
pub(crate) const MAY_NOT_DELETE: &str = "the credentials may not delete: the role needs s3:DeleteObject below store/ and quarantine/ \
     for garbage collection, and below clean/, curated/ and symlink/ for views";

/// How much of a server's message is kept, in characters.
const MAX_MESSAGE: usize = 300;

/// What was asked, as far as the answer's meaning depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A page of a listing.
    List,
    /// A copy or a complete: success may hold an error.
    MayFailInside,
    /// A delete of several: success may hold an error for each of them.
    Delete,
    /// Anything else.
    Plain,
}

/// What becomes of an answer.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is passed on as it is.
    Pass,
    /// It is passed on under this status, with this text for its body.
    As(StatusCode, String),
    /// The request is over.
    Stop(Error),
}

/// Judges one whole answer.
pub(crate) fn judge(asked: Asked, status: StatusCode, body: &[u8]) -> Verdict {
    if status.is_success() {
        return judge_success(asked, body);
    }
    let text = String::from_utf8_lossy(body);
    let code = element(&text, "Code").unwrap_or_default();
    let message = element(&text, "Message").unwrap_or_default();
    let said = shown(status, &code, &message);
    match (status.as_u16(), code.as_str()) {
        (304, _) => Verdict::Pass,
        (416, _) => Verdict::As(StatusCode::PRECONDITION_FAILED, said),
        (400, "RequestTimeout" | "BadDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch")
        | (400, "XAmzContentChecksumMismatch" | "MalformedXML" | "InvalidPart") => Verdict::As(StatusCode::REQUEST_TIMEOUT, said),
        (409, _) => Verdict::As(StatusCode::SERVICE_UNAVAILABLE, said),
        // A bucket that is there can be listed; so whoever says "not found" without a code is no S3 server.
        (404, "") if asked == Asked::List => Verdict::Stop(
            Error::misconfigured("what answers at the endpoint does not speak S3").with("status", 404).help(
                "check the endpoint's host and port: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, `endpoint` in windrow.toml, or the profile's",
            ),
        ),
        (404, "NoSuchBucket" | "NoSuchUpload") => Verdict::Stop(refusal(asked, status.as_u16(), &code, &message)),
        (404 | 408 | 412 | 429, _) => Verdict::As(status, said),
        (501, _) => Verdict::Stop(refusal(asked, 501, &code, &message)),
        (500.., _) => Verdict::As(status, said),
        (other, _) => Verdict::Stop(refusal(asked, other, &code, &message)),
    }
}

/// The kind of an S3 error code, for answers that name one among others.
pub(crate) fn kind_of_code(code: &str) -> Option<ErrorKind> {
    Some(match code {
        "AccessDenied"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "NotSignedUp"
        | "UnrecognizedClientException"
        | "RequestExpired" => ErrorKind::AccessDenied,
        "NoSuchUpload" | "InternalError" | "SlowDown" | "ServiceUnavailable" | "OperationAborted" => ErrorKind::Transient,
        "NoSuchKey" => ErrorKind::InputMissing,
        "NoSuchBucket" | "InvalidObjectState" | "MethodNotAllowed" | "NotImplemented" => ErrorKind::Misconfigured,
        _ => return None,
    })
}

fn judge_success(asked: Asked, body: &[u8]) -> Verdict {
    let contains = |what: &str| String::from_utf8_lossy(body).contains(what);
    match asked {
        Asked::Plain => Verdict::Pass,
        // Anything else would be read as an empty page.
        Asked::List if !contains("<ListBucketResult") => {
            Verdict::As(StatusCode::BAD_GATEWAY, "the answer to a listing is not one".into())
        }
        Asked::List if contains("<IsTruncated>true<") && !contains("<NextContinuationToken>") => {
            Verdict::As(StatusCode::BAD_GATEWAY, "a cut listing does not say where it goes on".into())
        }
        Asked::List => Verdict::Pass,
        Asked::MayFailInside | Asked::Delete => judge_inside(asked, body),
    }
}

fn judge_inside(asked: Asked, body: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(body);
    let Some(error) = element(&text, "Error") else { return Verdict::Pass };
    let code = element(&error, "Code").unwrap_or_default();
    let message = element(&error, "Message").unwrap_or_default();
    match kind_of_code(&code) {
        Some(ErrorKind::Transient) if code != "NoSuchUpload" => {
            Verdict::As(StatusCode::SERVICE_UNAVAILABLE, shown(StatusCode::OK, &code, &message))
        }
        // A delete names the keys it could not delete; each of them gets its own error further up.
        _ if asked == Asked::Delete && text.contains("<DeleteResult") => Verdict::Pass,
        _ => Verdict::Stop(refusal(asked, 200, &code, &message)),
    }
}

/// The error for an answer that no repetition changes.
fn refusal(asked: Asked, status: u16, code: &str, message: &str) -> Error {
    let kind = kind_of_code(code).unwrap_or(match status {
        401 | 403 => ErrorKind::AccessDenied,
        // A HEAD has no body; this is how S3 answers it for an expired token.
        400 if code.is_empty() => ErrorKind::AccessDenied,
        _ => ErrorKind::Misconfigured,
    });
    let said = match (code, message) {
        ("", "") => format!("the store refused the request with status {status}"),
        (code, "") => format!("the store refused the request: {}", tidy(code)),
        (code, message) => format!("the store refused the request: {}: {}", tidy(code), tidy(message)),
    };
    Error::new(kind, said).with("status", status).help(help(asked, status, code))
}

fn help(asked: Asked, status: u16, code: &str) -> &'static str {
    match code {
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
            "the credentials have expired: get new ones (for a profile with SSO: `aws sso login`), then run again"
        }
        "InvalidAccessKeyId" | "InvalidToken" | "UnrecognizedClientException" => {
            "the store does not know this access key: check the profile, the endpoint and the partition"
        }
        "SignatureDoesNotMatch" => "the secret key does not fit the access key, or a proxy changes requests on their way",
        "RequestTimeTooSkewed" => "the clock of this host is wrong by more than 15 minutes: set it, then run again",
        "NoSuchBucket" => "the bucket does not exist at this endpoint: create it, or correct the lake's URL or the endpoint",
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            "the bucket is in another region: set `region` to the bucket's"
        }
        "InvalidObjectState" => "the object is archived: restore it, then run again",
        "NoSuchUpload" => "run it again; nothing was half-published",
        code if code.starts_with("KMS.") => "check the KMS key id, its state and its policy",
        _ if status == 301 => "the bucket is in another region: set `region` to the bucket's",
        _ if asked == Asked::Delete && (code == "AccessDenied" || matches!(status, 401 | 403)) => MAY_NOT_DELETE,
        _ if code == "AccessDenied" || matches!(status, 401 | 403) => {
            "the credentials do not allow it: the role needs s3:ListBucket on the bucket, s3:GetObject below it, and \
             s3:PutObject below all but raw/"
        }
        "" if status == 400 => "the credentials may have expired: get new ones, then run again",
        _ => "check the lake's URL, region, endpoint and encryption, and that the endpoint is an S3 server",
    }
}

fn shown(status: StatusCode, code: &str, message: &str) -> String {
    match (code, message) {
        ("", _) => format!("status {}", status.as_u16()),
        (code, message) => format!("{}: {}", tidy(code), tidy(message)),
    }
}

/// The text of the first element of this name. S3's errors are flat, and nothing in them needs more of XML.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.to_owned())
}

fn tidy(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(code: &str) -> String {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message><Secret>marker</Secret></Error>")
    }

    fn verdict(status: u16, code: &str) -> String {
        match judge(Asked::Plain, StatusCode::from_u16(status).unwrap(), body(code).as_bytes()) {
            Verdict::Pass => "pass".into(),
            Verdict::As(status, text) => {
                assert!(!text.contains("marker"), "{text}");
                status.as_u16().to_string()
            }
            Verdict::Stop(error) => {
                assert!(!error.to_string().contains("marker") && error.help_text().is_some(), "{error}");
                error.kind().to_string()
            }
        }
    }

    #[test]
    fn every_answer_has_its_meaning() {
        for (status, code, expected) in [
            (200, "", "pass"),
            (304, "", "pass"),
            (301, "PermanentRedirect", "Misconfigured"),
            (400, "ExpiredToken", "AccessDenied"),
            (400, "AuthorizationHeaderMalformed", "Misconfigured"),
            (400, "BadDigest", "408"),
            (400, "RequestTimeout", "408"),
            (403, "AccessDenied", "AccessDenied"),
            (403, "RequestTimeTooSkewed", "AccessDenied"),
            (403, "SomethingNew", "AccessDenied"),
            (403, "InvalidObjectState", "Misconfigured"),
            (404, "NoSuchKey", "404"),
            (404, "NoSuchBucket", "Misconfigured"),
            (404, "NoSuchUpload", "Transient"),
            (405, "MethodNotAllowed", "Misconfigured"),
            (409, "ConditionalRequestConflict", "503"),
            (412, "PreconditionFailed", "412"),
            (416, "InvalidRange", "412"),
            (429, "TooManyRequests", "429"),
            (500, "InternalError", "500"),
            (501, "NotImplemented", "Misconfigured"),
            (503, "SlowDown", "503"),
        ] {
            assert_eq!(verdict(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_success_that_holds_an_error_is_none() {
        let judged = |asked, text: &str| judge(asked, StatusCode::OK, text.as_bytes());
        assert!(matches!(judged(Asked::MayFailInside, &body("InternalError")), Verdict::As(StatusCode::SERVICE_UNAVAILABLE, _)));
        assert!(matches!(judged(Asked::MayFailInside, &body("AccessDenied")), Verdict::Stop(_)));
        let Verdict::Stop(denied) = judge(Asked::Delete, StatusCode::FORBIDDEN, body("AccessDenied").as_bytes()) else {
            panic!("a denied delete goes on")
        };
        assert!(denied.help_text().unwrap().contains("s3:DeleteObject"));
        let deleted = format!("<DeleteResult>{}</DeleteResult>", body("AccessDenied"));
        assert!(matches!(judged(Asked::Delete, &deleted), Verdict::Pass));
        assert!(matches!(judged(Asked::List, "<html/>"), Verdict::As(StatusCode::BAD_GATEWAY, _)));
        let cut = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
        assert!(matches!(judged(Asked::List, cut), Verdict::As(StatusCode::BAD_GATEWAY, _)));
        assert!(matches!(judged(Asked::List, "<ListBucketResult/>"), Verdict::Pass));
    }
}
