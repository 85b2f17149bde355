//! The command line read without clap: for what must be known before clap reads it, and after clap refused it.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::{Args as _, Command, FromArgMatches};
use windrow_core::{Error, Result};

use crate::runtime;
use crate::subject::Subject;

use super::{Common, LogFormat, OutputFormat};

/// The arguments as they were given, the program's name first.
#[derive(Clone, Debug)]
pub struct Given {
    arguments: Vec<OsString>,
    verb: Option<String>,
}

impl Given {
    /// Takes the arguments; `command` knows the verbs.
    pub(super) fn new(arguments: Vec<OsString>, command: &Command) -> Self {
        let verb = verb(&arguments, command);
        Given { arguments, verb }
    }

    /// The arguments, the program's name first.
    pub(super) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    #[cfg(test)]
    pub(crate) fn of(words: &[&str]) -> Self {
        Given::new(words.iter().map(OsString::from).collect(), &<super::Cli as clap::CommandFactory>::command())
    }

    /// The value of a flag, else of its variable; an empty one is none.
    pub fn value(&self, flag: &str) -> Option<String> {
        let name = format!("--{flag}");
        let mut arguments = self.arguments.iter().skip(1);
        while let Some(argument) = arguments.next() {
            if *argument == *name {
                return arguments.next().and_then(|value| text(value));
            }
            if let Some(value) = argument.to_str().and_then(|argument| argument.strip_prefix(&name)?.strip_prefix('=')) {
                return text(OsStr::new(value));
            }
        }
        runtime::variable(&format!("WINDROW_{}", flag.to_uppercase().replace('-', "_")))
    }

    /// What is asked for.
    pub fn subject(&self) -> Subject {
        Subject::read(self.verb.clone(), |flag| self.value(flag))
    }

    /// The common flags that say how a failure is told; the others are as if they were not given.
    ///
    /// # Errors
    /// Never: every common flag has a default.
    pub fn common(&self) -> Result<Common> {
        let command = Common::augment_args(Command::new("windrow")).mut_args(|arg| arg.env(Resettable::Reset));
        let parsed = command.try_get_matches_from(["windrow"]).and_then(|matches| Common::from_arg_matches(&matches));
        let mut common = parsed.map_err(|error| Error::internal("the common flags have no defaults").caused_by(error))?;
        common.project = self.value("project").map(Into::into);
        common.lake = self.value("lake");
        common.result_uri = self.value("result-uri");
        common.run_id = self.value("run-id").and_then(|text| text.parse().ok());
        if self.value("output").as_deref() == Some("json") {
            common.output = OutputFormat::Json;
        }
        if self.value("log-format").as_deref() == Some("json") {
            common.log_format = LogFormat::Json;
        }
        Ok(common)
    }
}

fn text(value: &OsStr) -> Option<String> {
    value.to_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The first argument that is a verb, with the verb below it.
fn verb(arguments: &[OsString], command: &Command) -> Option<String> {
    let mut words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    let found = words.find_map(|word| command.find_subcommand(word))?;
    let below = words.next().and_then(|word| found.find_subcommand(word));
    Some(match below {
        Some(below) => format!("{} {}", found.get_name(), below.get_name()),
        None => found.get_name().to_owned(),
    })
}

/// The arguments without some flags and their values.
pub fn without(arguments: &[OsString], flags: &[&str]) -> Vec<OsString> {
    let mut kept = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let shown = argument.to_string_lossy();
        let flag = flags.iter().find_map(|flag| shown.strip_prefix("--")?.strip_prefix(flag));
        match flag {
            // The value is the next argument.
            Some("") => drop(arguments.next()),
            Some(rest) if rest.starts_with('=') => {}
            _ => kept.push(argument.clone()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_flag_and_its_value_go_in_both_spellings() {
        let given = os(&["run", "--task-token", "t", "--task-token=t", "--task-tokens=x", "--output", "json", "--dataset", "a"]);
        assert_eq!(without(&given, &["task-token", "output"]), os(&["run", "--task-tokens=x", "--dataset", "a"]));
        assert_eq!(without(&os(&["run", "--task-token"]), &["task-token"]), os(&["run"]));
    }

    #[test]
    fn what_is_asked_for_is_read_from_a_command_line_that_clap_refuses() {
        let verbs = || {
            Command::new("w")
                .subcommand(Command::new("run"))
                .subcommand(Command::new("quarantine").subcommand(Command::new("list")))
        };
        let words = ["w", "--no-such", "run", "--dataset=orders", "--window", "2024-09-08", "--layer", "cleam", "--lake", ""];
        let given = Given::new(os(&words), &verbs());
        let subject = given.subject();
        assert_eq!(subject.verb.as_deref(), Some("run"));
        assert_eq!(Value::Object(subject.fields()).to_string(), r#"{"dataset":"orders","verb":"run","window":"2024-09-08"}"#);
        assert_eq!((given.value("lake"), given.value("output")), (None, None));
        let below = Given::new(os(&["w", "quarantine", "list"]), &verbs());
        assert_eq!(below.subject().verb.as_deref(), Some("quarantine list"));
        assert_eq!(given.common().unwrap().output, OutputFormat::Table);
    }

    use serde_json::Value;
}
