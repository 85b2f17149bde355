//! The events of a stage: built before and after its work, written beside the run, posted when a server is named.

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use windrow_core::layout::{Key, RunFile};
use windrow_core::{Error, Layer, PartitionWindow, Table};

use crate::cli::{Common, LineageTo};
use crate::plan;
use crate::report::Reporter;
use crate::runtime;
use crate::session::Session;

use super::describe::{Describer, assertions};
use super::openlineage::{
    ASSERTIONS, Dataset, ERROR_MESSAGE, Event, EventType, Facets, NOMINAL_TIME, OUTPUT_STATISTICS, PARENT, PROCESSING_ENGINE,
    VERSION, uuid_of,
};
use super::send::{Patience, Server};
use super::{Facts, Subject};

/// The job every stage's parent run is a run of.
const PARENT_JOB: &str = "run";

/// Where events go, and what they have in common.
#[derive(Debug)]
pub(super) struct Lineage {
    is_written: bool,
    server: Option<Server>,
    patience: Patience,
    base_uri: String,
    namespace: String,
}

/// The first event of a stage.
pub(super) struct Begun(Value);

impl Lineage {
    /// What flags and environment ask for; `None` when that is nothing.
    pub(super) fn new(common: &Common, base_uri: &str, reporter: &Reporter) -> Option<Lineage> {
        let is_disabled = runtime::variable("OPENLINEAGE_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let address = common.lineage_url.clone().or_else(|| runtime::variable("OPENLINEAGE_URL").filter(|_| !is_disabled));
        let endpoint = runtime::variable("OPENLINEAGE_ENDPOINT");
        let server = address.and_then(|address| {
            let server = Server::new(&address, endpoint.as_deref(), runtime::variable("OPENLINEAGE_API_KEY"));
            server.map_err(|why| reporter.warn(&format!("lineage is not posted: {why}"))).ok()
        });
        let is_written = common.lineage == LineageTo::Lake;
        (is_written || server.is_some()).then(|| Lineage {
            is_written,
            server,
            patience: Patience::default(),
            base_uri: base_uri.to_owned(),
            namespace: runtime::variable("OPENLINEAGE_NAMESPACE").unwrap_or_else(|| base_uri.to_owned()),
        })
    }

    /// Tells that a stage begins, before it does anything.
    pub(super) fn begin(&self, session: &Session<'_>, subject: Subject<'_>) -> Begun {
        let (inputs, outputs) = self.datasets(session, subject);
        let event = self.event(session, subject, EventType::Start, (&inputs, &outputs), None);
        self.write(session, subject, std::slice::from_ref(&event));
        self.post(session, &event);
        Begun(event)
    }

    /// Tells what became of it.
    pub(super) fn end(&self, session: &Session<'_>, subject: Subject<'_>, begun: Begun, facts: &Facts, error: Option<&Error>) {
        let (mut inputs, mut outputs) = self.datasets(session, subject);
        if error.is_none() {
            self.add_facts(session, subject, facts, (&mut inputs, &mut outputs));
        }
        let event_type = if error.is_some() { EventType::Fail } else { EventType::Complete };
        let event = self.event(session, subject, event_type, (&inputs, &outputs), error);
        self.post(session, &event);
        self.write(session, subject, &[begun.0, event]);
    }

    fn describer<'a>(&'a self, session: &'a Session<'_>, producer: &'a str) -> Describer<'a> {
        Describer { project: &session.project, base_uri: &self.base_uri, producer }
    }

    /// What a stage reads and writes.
    fn datasets(&self, session: &Session<'_>, subject: Subject<'_>) -> (Vec<Dataset>, Vec<Dataset>) {
        let producer = producer(session);
        let describer = self.describer(session, &producer);
        let own = || vec![describer.dataset(subject.table)];
        match subject.verb {
            "check-input" => (inputs_of(session, subject).iter().map(|table| describer.dataset(table)).collect(), Vec::new()),
            "check" => (own(), Vec::new()),
            "publish" => (Vec::new(), own()),
            _ => (describer.sources(subject.table).iter().map(|table| describer.dataset(table)).collect(), own()),
        }
    }

    fn add_facts(&self, session: &Session<'_>, subject: Subject<'_>, facts: &Facts, to: (&mut [Dataset], &mut [Dataset])) {
        let producer = producer(session);
        let describer = self.describer(session, &producer);
        let (inputs, outputs) = to;
        let sources =
            if subject.verb == "check-input" { inputs_of(session, subject) } else { describer.sources(subject.table) };
        if !facts.inputs.is_empty() {
            for (dataset, table) in inputs.iter_mut().zip(&sources) {
                let rows = facts.rows.map(|rows| rows.read).filter(|_| subject.verb == "raw-to-clean");
                describer.add_statistics(dataset, table, &facts.inputs, rows);
            }
        }
        if let (Some(answer), Some(checked)) = (&facts.gate, inputs.first_mut()) {
            checked.own_facets.add(&producer, ASSERTIONS, assertions(&session.project, subject.table, answer));
        }
        let Some(made) = outputs.first_mut() else { return };
        if subject.verb == "publish" {
            if let Some(epoch) = facts.epoch {
                made.facets.add(&producer, VERSION, json!({"datasetVersion": epoch.to_string()}));
            }
            return;
        }
        describer.add_column_lineage(made, subject.table);
        if let (Some(rows), Some((files, bytes))) = (facts.rows, facts.output) {
            let body = json!({"rowCount": rows.written, "size": bytes, "fileCount": files});
            made.own_facets.add(&producer, OUTPUT_STATISTICS, body);
        }
    }

    fn event(
        &self,
        session: &Session<'_>,
        subject: Subject<'_>,
        event_type: EventType,
        datasets: (&[Dataset], &[Dataset]),
        error: Option<&Error>,
    ) -> Value {
        let Subject { verb, table, window, .. } = subject;
        let window_text = window.to_string();
        let words = [&self.base_uri, session.run_id.as_str(), &window_text, verb, &table.to_string()];
        let event = Event {
            event_type,
            time: runtime::now(),
            producer: &producer(session),
            run_id: &uuid_of(&words),
            run_facets: self.run_facets(session, subject, error),
            job_namespace: &self.namespace,
            job_name: &job_name(verb, table),
            inputs: datasets.0,
            outputs: datasets.1,
        };
        event.document()
    }

    fn run_facets(&self, session: &Session<'_>, subject: Subject<'_>, error: Option<&Error>) -> Facets {
        let (producer, mut facets) = (producer(session), Facets::default());
        facets.add(&producer, PROCESSING_ENGINE, json!({"name": "windrow", "version": session.code.version}));
        if let Some((start, end)) = instants(session, subject.table, subject.window) {
            let body = json!({"nominalStartTime": start.to_string(), "nominalEndTime": end.to_string()});
            facets.add(&producer, NOMINAL_TIME, body);
        }
        facets.add(&producer, PARENT, self.parent(session, subject.window));
        if let Some(error) = error {
            let body = json!({"message": format!("{}: {error}", error.kind()), "programmingLanguage": "Rust"});
            facets.add(&producer, ERROR_MESSAGE, body);
        }
        facets
    }

    /// The trip of the window through all states; its root is the execution of the state machine.
    fn parent(&self, session: &Session<'_>, window: &PartitionWindow) -> Value {
        let run = uuid_of(&[&self.base_uri, session.run_id.as_str(), &window.to_string()]);
        let mut parent = json!({"run": {"runId": run}, "job": {"namespace": self.namespace, "name": PARENT_JOB}});
        if let (Some(execution), Some(parent)) = (&session.execution_id, parent.as_object_mut()) {
            let job = json!({"namespace": self.namespace, "name": state_machine(execution)});
            parent.insert("root".to_owned(), json!({"run": {"runId": uuid_of(&[execution])}, "job": job}));
        }
        parent
    }

    /// Puts a stage's events so far into its one object.
    fn write(&self, session: &Session<'_>, subject: Subject<'_>, events: &[Value]) {
        let Subject { verb, table, window, .. } = subject;
        let Some(verb_name) = verb.parse().ok().filter(|_| self.is_written) else { return };
        let key = Key::RunFile {
            dataset: table.dataset.clone(),
            window: *window,
            run_id: session.run_id.clone(),
            file: RunFile::Lineage(verb_name, table.clone()),
        };
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        let put = session.lake.put_run_file(&key, Bytes::from(lines));
        let written = session.runtime.block_on(async { Ok(self.patience.put(put).await) });
        let failed = written.map_err(|error| error.to_string()).and_then(|written| written);
        if let Err(why) = failed {
            session.reporter.warn(&format!("lineage of {table} {window} is not written: {why}"));
        }
    }

    fn post(&self, session: &Session<'_>, event: &Value) {
        let Some(server) = &self.server else { return };
        let posted = session.runtime.block_on(async { Ok(server.post(event, &self.patience).await) });
        let failed = posted.map_err(|error| error.to_string()).and_then(|posted| posted);
        if let Err(why) = failed {
            session.reporter.warn(&format!("a lineage event is not posted: {why}"));
        }
    }
}

/// First instant of a window and first instant after it, by the clock of the table's zone.
pub(super) fn instants(session: &Session<'_>, table: &Table, window: &PartitionWindow) -> Option<(Timestamp, Timestamp)> {
    let contract = session.project.contract(table).ok()?;
    window.instants(&TimeZone::get(&contract.window.zone).ok()?).ok()
}

/// What check-input looks at: the raw tables of everything the dataset's output reads.
fn inputs_of(session: &Session<'_>, subject: Subject<'_>) -> Vec<Table> {
    let tables = plan::tables(&session.project, &subject.table.dataset).unwrap_or_default();
    let clean = tables.into_iter().filter(|table| table.layer == Layer::Clean);
    clean.map(|table| Table::new(Layer::Raw, table.dataset)).collect()
}

fn producer(session: &Session<'_>) -> String {
    format!("urn:windrow:{}", session.code.version)
}

/// `orders.raw_to_clean`; verbs that work on either layer name it: `orders.clean.check`.
fn job_name(verb: &str, table: &Table) -> String {
    let stage = verb.replace('-', "_");
    match verb {
        "check" | "publish" => format!("{}.{}.{stage}", table.dataset, table.layer),
        _ => format!("{}.{stage}", table.dataset),
    }
}

/// The state machine's name in an execution's ARN (`arn:aws:states:…:execution:NAME:ID`), else a word for it.
fn state_machine(execution: &str) -> &str {
    let mut parts = execution.split(':').skip_while(|part| *part != "execution");
    parts.nth(1).filter(|name| !name.is_empty()).unwrap_or("execution")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_executions_have_names() {
        let table: Table = "clean.orders".parse().unwrap();
        assert_eq!(
            (job_name("raw-to-clean", &table), job_name("check", &table)),
            ("orders.raw_to_clean".into(), "orders.clean.check".into())
        );
        assert_eq!(state_machine("arn:aws:states:eu-west-1:1:execution:orders_daily:4f2"), "orders_daily");
        assert_eq!(state_machine("manual"), "execution");
    }
}
