//! Threshold profiles: named sets of overrides for the thresholds and severities of checks.
//!
//! A profile never adds or removes a check, so that no profile can switch the gate off; an override of a check that
//! does not exist is a finding, because a misspelt id would silently keep the old threshold.

use std::sync::Arc;

use crate::canonical;
use crate::code::Code;
use crate::contract::reading::{Reading, severity, threshold};
use crate::diagnostic::{Diagnostic, Place};
use crate::gate::{Check, Severity, Threshold};
use crate::yaml;

/// A profile: its name and what it overrides.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name, which is also the file's.
    pub name: String,
    /// SHA-256 of the text, hex.
    pub sha256: String,
    /// The overrides in written order.
    pub overrides: Vec<Override>,
}

/// What a profile says about one check id.
#[derive(Clone, Debug)]
pub struct Override {
    /// The check's id.
    pub id: String,
    /// Another severity.
    pub severity: Option<Severity>,
    /// Another threshold.
    pub threshold: Option<Threshold>,
    /// Where it stands.
    pub place: Place,
}

impl Profile {
    /// Reads a profile; `file` is the path shown to people.
    ///
    /// # Errors
    /// Every finding of the file.
    pub fn read(file: &str, text: &str) -> Result<Profile, Vec<Diagnostic>> {
        let (file, text): (Arc<str>, Arc<str>) = (file.into(), text.into());
        let node = yaml::parse(&file, &text).map_err(|finding| vec![*finding])?;
        let mut reading = Reading::new(&file, &text);
        let profile = Self::from_node(&mut reading, &node);
        match profile {
            Some(profile) if reading.findings.is_empty() => Ok(profile),
            _ => Err(reading.findings),
        }
    }

    fn from_node(reading: &mut Reading, node: &yaml::Node) -> Option<Profile> {
        let map = reading.map(node, "the profile", &["version", "name", "description", "checks"])?;
        let version = reading.require(&map, "version", "the profile")?;
        reading.whole(version, "version", 1, 1)?;
        let name_node = reading.require(&map, "name", "the profile")?;
        let name = reading.text(name_node, "name")?;
        let stem = reading.file.rsplit('/').next().and_then(|file| file.strip_suffix(".yaml")).unwrap_or_default().to_owned();
        if name != stem {
            reading.report(name_node, Code::ContractConflict, format!("name `{name}` differs from the file's name `{stem}`"), "");
        }
        let mut overrides = Vec::new();
        if let Some(checks) = map.get("checks")
            && let yaml::Value::Map(entries) = &checks.value
        {
            for (id, value) in entries {
                overrides.extend(Self::one(reading, id, value));
            }
        } else if let Some(checks) = map.get("checks") {
            reading.wrong_kind(checks, "checks", "a mapping from check id to override");
        }
        Some(Profile { name: name.to_owned(), sha256: canonical::sha256_hex(reading.text.as_bytes()), overrides })
    }

    fn one(reading: &mut Reading, id: &yaml::Node, value: &yaml::Node) -> Option<Override> {
        let mut allowed = vec!["severity"];
        allowed.extend(threshold::KEYS);
        let map = reading.map(value, "an override", &allowed)?;
        let has_threshold = threshold::KEYS.iter().any(|key| map.get(key).is_some());
        let threshold = if has_threshold { Some(threshold::read(reading, &map, "an override")?) } else { None };
        let severity = severity(reading, &map);
        Some(Override { id: id.text()?.to_owned(), severity, threshold, place: id.place.clone() })
    }

    /// Applies the overrides to a table's checks.
    pub fn apply(&self, checks: &mut [Check]) {
        for check in checks {
            for change in self.overrides.iter().filter(|change| change.id == check.id) {
                check.severity = change.severity.unwrap_or(check.severity);
                check.threshold = change.threshold.clone().unwrap_or_else(|| check.threshold.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Metric, Number};

    #[test]
    fn an_override_changes_threshold_and_severity() {
        let text = "version: 1\nname: strict\nchecks:\n  rows: {mustBeGreaterThan: 5, severity: warning}\n";
        let profile = Profile::read("quality/profiles/strict.yaml", text).unwrap();
        let mut checks = [Check {
            id: "rows".into(),
            metric: Metric::RowCount,
            threshold: Threshold::MustBe(Number::whole(0)),
            severity: Severity::Error,
            place: Place::file("c.yaml"),
        }];
        profile.apply(&mut checks);
        assert_eq!((checks[0].threshold.to_string().as_str(), checks[0].severity), ("> 5", Severity::Warning));
    }

    #[test]
    fn typos_are_refused() {
        for text in [
            "version: 2\nname: a\n",
            "version: 1\nname: b\n",
            "version: 1\nname: a\ncheck: {}\n",
            "version: 1\nname: a\nchecks: {x: {mustBee: 1}}\n",
        ] {
            assert!(Profile::read("a.yaml", text).is_err(), "{text}");
        }
    }
}
