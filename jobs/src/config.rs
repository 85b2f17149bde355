//! `windrow.toml`: where the lake is and which threshold profile counts. Few keys, every one checked.

use serde::Deserialize;
use windrow_core::{Code, Diagnostic, Place, suggest, yaml};

/// The name of the file that marks a project.
pub const FILE_NAME: &str = "windrow.toml";

/// The configuration of a project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The version of this file's form; 1.
    pub version: u32,
    /// The lake: a folder, relative to the project, or an `s3://bucket/folder`.
    #[serde(default = "default_lake")]
    pub lake: String,
    /// The views of what is published that are kept up to date.
    #[serde(default = "default_views")]
    pub views: Vec<View>,
    /// The threshold profile: `quality/profiles/<name>.yaml`.
    #[serde(default = "default_profile")]
    pub profile: String,
    /// For lakes on S3.
    #[serde(default)]
    pub s3: S3,
}

/// A view of what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// One file a window in Hive layout, for plain globs.
    Live,
    /// One manifest a window that lists its files, for Athena, Trino, Hive and Spark.
    Symlink,
}

/// `[s3]`: what AWS's own configuration does not say. Environment variables of the SDK outrank it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// The profile of ~/.aws/config.
    pub profile: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// A server other than AWS: `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path and not in the host name.
    pub path_style: Option<bool>,
    /// Whether plain http may be used for a host that is not this one.
    #[serde(default)]
    pub allow_http: bool,
    /// The account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
    /// Encryption of what is written.
    #[serde(default)]
    pub encryption: Encryption,
    /// The key of KMS, for `encryption = "kms"`.
    pub kms_key_id: Option<String>,
    /// Whether a bucket key saves requests to KMS.
    pub bucket_key: Option<bool>,
}

/// How S3 encrypts what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// As the bucket says.
    #[default]
    BucketDefault,
    /// With keys of S3.
    S3,
    /// With a key of KMS.
    Kms,
}

const KEYS: [&str; 13] = [
    "version",
    "lake",
    "views",
    "profile",
    "s3",
    "region",
    "endpoint",
    "path_style",
    "allow_http",
    "expected_bucket_owner",
    "encryption",
    "kms_key_id",
    "bucket_key",
];

fn default_views() -> Vec<View> {
    vec![View::Live]
}

fn default_lake() -> String {
    "lake".to_owned()
}

fn default_profile() -> String {
    "default".to_owned()
}

impl Config {
    /// Reads the file's text; `file` is the path shown to people.
    ///
    /// # Errors
    /// One finding with line, column and remedy.
    pub fn read(file: &str, text: &str) -> Result<Config, Box<Diagnostic>> {
        let config: Config = toml::from_str(text).map_err(|error| Box::new(finding(file, text, &error)))?;
        if config.version != 1 {
            let place = Place::new(file, key_line(text, "version"), 1);
            let title = format!("version {} of this file is not known", config.version);
            let finding = Diagnostic::new(Code::ConfigValue, place, title).help("write version = 1, or use a newer windrow");
            return Err(Box::new(yaml::with_line(finding, text, 7)));
        }
        Ok(config)
    }
}

fn finding(file: &str, text: &str, error: &toml::de::Error) -> Diagnostic {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
    let message = error.message().lines().next().unwrap_or_default().to_owned();
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()).map(str::to_owned);
    let title = unknown.as_ref().map_or_else(|| message.clone(), |key| format!("unknown key `{key}`"));
    let code = if unknown.is_some() { Code::ConfigValue } else { Code::ConfigSyntax };
    let length =
        error.span().map_or(1, |span| text.get(span).unwrap_or_default().lines().next().unwrap_or_default().chars().count());
    let finding = Diagnostic::new(code, Place::new(file, line, column), title);
    let finding = if may_hold_a_secret(text, line) { finding } else { yaml::with_line(finding, text, length.max(1)) };
    match unknown {
        Some(key) => finding.help(suggest::hint(&key, &KEYS)),
        None => finding,
    }
}

/// Tells whether a line is better not quoted: keys and passwords do not belong here, and some will put them here.
fn may_hold_a_secret(text: &str, line: u64) -> bool {
    let index = usize::try_from(line).unwrap_or_default().saturating_sub(1);
    let quoted = text.lines().nth(index).unwrap_or_default().to_lowercase();
    ["secret", "password", "token", "access_key", "@"].iter().any(|word| quoted.contains(word))
}

fn key_line(text: &str, key: &str) -> u64 {
    text.lines().position(|line| line.trim_start().starts_with(key)).map_or(0, |index| index as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_a_local_lake() {
        let config = Config::read("windrow.toml", "version = 1\n").unwrap();
        assert_eq!((config.lake.as_str(), config.profile.as_str()), ("lake", "default"));
    }

    #[test]
    fn an_s3_lake_needs_no_more_than_its_address() {
        let text = "version = 1\nlake = \"s3://acme/lake\"\nviews = [\"live\", \"symlink\"]\n[s3]\nencryption = \"kms\"\nkms_key_id = \"k\"\n";
        let config = Config::read("windrow.toml", text).unwrap();
        assert_eq!((config.views.as_slice(), config.s3.encryption), (&[View::Live, View::Symlink][..], Encryption::Kms));
        let finding = Config::read("windrow.toml", "version = 1\n[s3]\nregoin = \"x\"\n").unwrap_err();
        assert_eq!(finding.one_line(), "windrow.toml:3:1: W0902: unknown key `regoin`");
        assert_eq!(finding.help.as_deref(), Some("did you mean `region`?"));
    }

    #[test]
    fn a_line_that_may_hold_a_secret_is_not_quoted() {
        let text = "version = 1\n[s3]\nsecret_access_key = \"marker\"\n";
        let finding = Config::read("windrow.toml", text).unwrap_err();
        assert_eq!(finding.one_line(), "windrow.toml:3:1: W0902: unknown key `secret_access_key`");
        assert!(!format!("{finding:?}").contains("marker"));
    }

    #[test]
    fn a_typo_is_named_with_its_place() {
        let finding = Config::read("windrow.toml", "version = 1\nlakee = \"x\"\n").unwrap_err();
        assert_eq!(finding.one_line(), "windrow.toml:2:1: W0902: unknown key `lakee`");
        assert_eq!(finding.help.as_deref(), Some("did you mean `lake`?"));
    }

    #[test]
    fn broken_syntax_and_versions_are_refused() {
        for text in ["version = ", "version = 2", "lake = \"x\"", "version = 1\nlake = 3", "version = 1\nversion = 1"] {
            assert!(Config::read("windrow.toml", text).is_err(), "{text}");
        }
    }
}
