//! Where a lake lies on S3: `s3://bucket` or `s3://bucket/prefix`, and nothing that could be read in two ways.

use std::fmt;
use std::str::FromStr;

use windrow_core::{Error, Result};

/// A bucket, and the folder of the lake in it. Parsed strictly: one lake has one spelling.
///
/// ```
/// use windrow_lake::S3Location;
/// let location: S3Location = "s3://acme-lake/flights".parse().unwrap();
/// assert_eq!((location.bucket(), location.prefix()), ("acme-lake", Some("flights")));
/// assert!("s3://acme-lake/flights/".parse::<S3Location>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct S3Location {
    bucket: String,
    prefix: Option<String>,
}

impl S3Location {
    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The folder in the bucket, without slashes at its ends; `None` for the whole bucket.
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Tells whether a lake's URL is meant to be one on S3, right or wrong.
    pub fn is_s3(url: &str) -> bool {
        url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("s3://"))
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        self.prefix.as_ref().map_or(Ok(()), |prefix| write!(f, "/{prefix}"))
    }
}

impl FromStr for S3Location {
    type Err = Error;

    /// # Errors
    /// `Misconfigured`, with what is wrong and how it is written right.
    fn from_str(url: &str) -> Result<Self> {
        let refused = |why: String| {
            // What stands before an `@` or behind a `?` may be a password.
            let shown = if url.contains(['@', '?', '#']) { "s3://…".to_owned() } else { url.escape_debug().to_string() };
            let message = format!("lake URL `{shown}`: {why}");
            Err(Error::misconfigured(message).help("write it as s3://bucket or s3://bucket/folder"))
        };
        let Some(rest) = url.strip_prefix("s3://") else {
            return refused("it does not begin with `s3://`, in lowercase".into());
        };
        let (bucket, prefix) = match rest.split_once('/') {
            Some((bucket, prefix)) => (bucket, Some(prefix)),
            None => (rest, None),
        };
        if let Some(why) = wrong_bucket(bucket) {
            return refused(why);
        }
        if prefix == Some("") || prefix.is_some_and(|prefix| prefix.ends_with('/')) {
            return refused("it ends with a slash; leave the slash out".into());
        }
        if let Some(why) = prefix.and_then(wrong_prefix) {
            return refused(why);
        }
        Ok(S3Location { bucket: bucket.to_owned(), prefix: prefix.map(str::to_owned) })
    }
}

/// What is wrong with a bucket's name, by the rules for general purpose buckets.
fn wrong_bucket(bucket: &str) -> Option<String> {
    if bucket.is_empty() {
        return Some("the bucket is missing".into());
    }
    if let Some(other) = bucket.chars().find(|&c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '.')) {
        let hint = match other {
            'A'..='Z' => "bucket names are lowercase",
            '@' => "credentials do not belong into it: use a profile, a role or the environment",
            ':' => "neither a port nor an ARN belongs into it: set the endpoint, or name the bucket",
            '?' | '#' => "it takes no query and no fragment: options stand in windrow.toml",
            _ => "a bucket name holds lowercase letters, digits, `-` and `.`",
        };
        return Some(format!("`{}` in the bucket's name: {hint}", other.escape_debug()));
    }
    if !(3..=63).contains(&bucket.len()) {
        return Some(format!("the bucket's name has {} characters, 3 to 63 are allowed", bucket.len()));
    }
    let is_edge = |c: char| c.is_ascii_alphanumeric();
    if !bucket.starts_with(is_edge) || !bucket.ends_with(is_edge) || bucket.contains("..") {
        return Some("a bucket's name begins and ends with a letter or digit, and has no `..`".into());
    }
    if bucket.parse::<std::net::Ipv4Addr>().is_ok() {
        return Some("a bucket's name is not an IP address: set the endpoint, and name the bucket here".into());
    }
    // Directory buckets list in no order and speak another session protocol.
    bucket.ends_with("--x-s3").then(|| "directory buckets are not supported: use a general purpose bucket".into())
}

fn wrong_prefix(prefix: &str) -> Option<String> {
    for segment in prefix.split('/') {
        match segment {
            "" => return Some("it has an empty folder name (`//`)".into()),
            "." | ".." => return Some(format!("`{segment}` is not a folder in S3")),
            _ => {}
        }
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '=' | '+' | '@' | '~');
    let other = prefix.chars().find(|&c| !allowed(c))?;
    let hint = match other {
        '%' => "nothing is percent-encoded here",
        '?' | '#' => "it takes no query and no fragment: options stand in windrow.toml",
        '*' => "it takes no pattern",
        _ => "a folder holds letters, digits and `-_.=+@~`",
    };
    Some(format!("`{}` in the folder: {hint}", other.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_core::ErrorKind;

    #[test]
    fn every_spelling_that_could_be_meant_otherwise_is_refused_with_its_reason() {
        for (url, why) in [
            ("s3:///flights", "bucket is missing"),
            ("s3://", "bucket is missing"),
            ("S3://bucket", "in lowercase"),
            ("s3:/bucket", "does not begin"),
            ("s3a://bucket", "does not begin"),
            ("s3://Bucket", "lowercase"),
            ("s3://my_bucket", "`_` in the bucket's name"),
            ("s3://key:secret@bucket", "neither a port"),
            ("s3://key@bucket", "credentials do not belong"),
            ("s3://bucket?region=eu", "no query"),
            ("s3://bucket:9000/a", "port"),
            ("s3://ab", "2 characters"),
            ("s3://-bucket", "begins and ends"),
            ("s3://a..b", "no `..`"),
            ("s3://10.0.0.1", "IP address"),
            ("s3://lake--use1-az4--x-s3", "directory buckets"),
            ("s3://bucket/", "slash"),
            ("s3://bucket/a/", "slash"),
            ("s3://bucket//a", "`//`"),
            ("s3://bucket/a/../b", "`..` is not a folder"),
            ("s3://bucket/.", "`.` is not a folder"),
            ("s3://bucket/a%20b", "percent-encoded"),
            ("s3://bucket/a?b", "no query"),
            ("s3://bucket/a#b", "no query and no fragment"),
            ("s3://bucket/a*", "no pattern"),
            ("s3://bucket/a b", "letters, digits"),
            ("s3://bucket/é", "letters, digits"),
            ("s3://bucket/a\nb", "letters, digits"),
        ] {
            let error = url.parse::<S3Location>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}");
            assert!(error.to_string().contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn what_may_be_a_password_is_not_repeated() {
        for url in ["s3://key:marker@bucket/x", "s3://bucket?secret=marker", "s3://bucket/a#marker"] {
            assert!(!url.parse::<S3Location>().unwrap_err().to_string().contains("marker"), "{url}");
        }
    }

    #[test]
    fn a_location_is_written_as_it_was_read() {
        for url in ["s3://bucket", "s3://my.bucket-1/a", "s3://bucket/a/b=c/d_e.f"] {
            assert_eq!(url.parse::<S3Location>().unwrap().to_string(), url);
        }
        assert!(S3Location::is_s3("S3://x") && !S3Location::is_s3("/data/s3") && !S3Location::is_s3("s3"));
    }
}
