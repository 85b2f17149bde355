//! `windrow replay --from-queue`: the windows that messages of a queue name, one after the other.
//!
//! A message is deleted once its window is published or was up to date already. Everything else leaves it in the queue, whose
//! dead-letter rule decides how often it comes back. No window is tried twice in one call.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use windrow_aws::{MOST_AT_ONCE, Queue, QueueMessage};
use windrow_core::id::DatasetName;
use windrow_core::{Error, ErrorKind, PartitionWindow, Result, Table, WindowChoice};

use crate::report::error_json;
use crate::session::{Force, Session};
use crate::{lake, lint, plan};

use super::run::{Extra, WindowResult, summarise_with, walk_windows};

/// How long a message stays hidden from others; renewed at a third of it while windows are computed.
const HIDDEN: Duration = Duration::from_secs(300);
/// How long an empty queue is waited for.
const WAIT: Duration = Duration::from_secs(3);

/// What a message asks for; the sender's other fields are its own.
#[derive(Deserialize)]
struct Request {
    dataset: String,
    window: String,
    lake: Option<String>,
    profile: Option<String>,
}

/// One window, and the messages that ask for it.
struct Work {
    dataset: DatasetName,
    tables: Vec<Table>,
    window: PartitionWindow,
    messages: Vec<QueueMessage>,
}

/// What came of the messages.
#[derive(Default)]
struct Tally {
    results: Vec<WindowResult>,
    planned: usize,
    received: usize,
    deleted: usize,
    left: Vec<Value>,
    seen: BTreeSet<String>,
    tried: BTreeSet<(DatasetName, PartitionWindow)>,
    /// The first failure that is of no window: a message that cannot be understood, a queue that does not answer.
    failure: Option<Error>,
}

/// Replays until the queue is empty or `most` messages were taken.
///
/// # Errors
/// `Misconfigured`, `AccessDenied` or `Transient` for a queue that gives nothing at all, else as `windrow replay`.
pub(super) fn run(session: &mut Session<'_>, url: &str, most: Option<usize>) -> Result<u8> {
    let options = lake::s3_options(&session.project.config.s3, session.reporter)?;
    let queue = session.runtime.block_on(Queue::open(url, &options, &lake::s3_environment()))?;
    let mut tally = Tally::default();
    loop {
        let wanted = most.map_or(MOST_AT_ONCE, |most| most.saturating_sub(tally.received)).min(MOST_AT_ONCE);
        if wanted == 0 || session.runtime.check_interrupted().is_err() {
            break;
        }
        let batch = match session.runtime.block_on(queue.receive(wanted, WAIT, HIDDEN)) {
            Err(error) if tally.received == 0 => return Err(error),
            Err(error) => {
                session.reporter.alarm("queue", &format!("   = {error}"), &json!({"error": error_json(&error)}));
                tally.failure.get_or_insert(error);
                break;
            }
            Ok(batch) => batch,
        };
        let is_new = batch.iter().any(|message| !tally.seen.contains(&message.id));
        tally.received += batch.len();
        tally.seen.extend(batch.iter().map(|message| message.id.clone()));
        if !is_new {
            break;
        }
        replay_batch(session, &queue, batch, &mut tally);
    }
    if tally.received == 0 {
        session.reporter.say("nothing to replay: the queue is empty");
    }
    summary(session, url, &tally)
}

fn replay_batch(session: &mut Session<'_>, queue: &Queue, batch: Vec<QueueMessage>, tally: &mut Tally) {
    let mut works: Vec<Work> = Vec::new();
    for message in batch {
        let (dataset, tables, window) = match understand(session, &message.body) {
            Ok(understood) => understood,
            Err(error) => {
                leave(session, &message, None, error, tally);
                continue;
            }
        };
        match works.iter_mut().find(|work| (&work.dataset, work.window) == (&dataset, window)) {
            Some(work) => work.messages.push(message),
            None => works.push(Work { dataset, tables, window, messages: vec![message] }),
        }
    }
    tally.planned += works.len();
    let mut works = works.into_iter();
    while let Some(work) = works.next() {
        if session.runtime.check_interrupted().is_err() {
            return;
        }
        let waiting = works.as_slice().iter().flat_map(|work| work.messages.iter().cloned());
        let kept: Vec<QueueMessage> = work.messages.iter().cloned().chain(waiting).collect();
        let keeper = keep_hidden(session, queue, kept);
        replay(session, queue, work, tally);
        keeper.abort();
    }
}

fn understand(session: &Session<'_>, body: &str) -> Result<(DatasetName, Vec<Table>, PartitionWindow)> {
    let request: Request = serde_json::from_str(body)
        .map_err(|error| Error::misconfigured("it is no JSON object with `dataset` and `window`").caused_by(error))?;
    require_same("lake", request.lake.as_deref(), session.project.config.lake.trim_end_matches('/'))?;
    require_same("profile", request.profile.as_deref(), &session.project.profile.name)?;
    let dataset: DatasetName = request.dataset.parse()?;
    let tables = plan::tables(&session.project, &dataset)?;
    let target = tables.last().ok_or_else(|| Error::internal("a dataset without any table"))?;
    let window = session.window(target, request.window.parse::<WindowChoice>()?)?;
    lint::require_clean(&session.project, &tables)?;
    Ok((dataset, tables, window))
}

/// A window of another lake, or of another profile, is somebody else's to replay.
fn require_same(what: &str, asked: Option<&str>, ours: &str) -> Result<()> {
    match asked.map(|asked| asked.trim_end_matches('/')).filter(|asked| !asked.is_empty() && *asked != ours) {
        None => Ok(()),
        Some(asked) => Err(Error::misconfigured(format!("it asks for the {what} `{}`, this is `{ours}`", asked.escape_debug()))
            .help(format!("run `windrow replay --from-queue` with --{what} as the message says"))),
    }
}

/// Computes one window and deletes its messages when it is there.
fn replay(session: &mut Session<'_>, queue: &Queue, work: Work, tally: &mut Tally) {
    if !tally.tried.insert((work.dataset.clone(), work.window)) {
        tally.planned -= 1;
        return delete_if_done(session, queue, &work, tally);
    }
    session.force = Force::None;
    match session.force_failed(&work.tables, &[work.window]) {
        Ok(()) => tally.results.extend(walk_windows(session, &work.tables, &[work.window], None)),
        Err(error) => {
            tally.planned -= 1;
            let kind = error.kind();
            let text = error.to_string();
            work.messages.iter().for_each(|message| leave(session, message, Some(&work), Error::new(kind, &text), tally));
            return;
        }
    }
    delete_if_done(session, queue, &work, tally);
}

fn delete_if_done(session: &Session<'_>, queue: &Queue, work: &Work, tally: &mut Tally) {
    let window = work.window.to_string();
    let of_work = |result: &&WindowResult| result.window == window && is_of(result, work);
    let failure = match tally.results.iter().rfind(of_work) {
        None => Some((ErrorKind::Transient, "the window was not tried".to_owned())),
        Some(result) => result.failure().and_then(|table| table.failure.as_ref()).map(|error| (error.kind(), error.to_string())),
    };
    for message in &work.messages {
        match &failure {
            Some((_, why)) => tally.left.push(left_json(message, Some(work), why)),
            None => match session.runtime.block_on(queue.delete(message)) {
                Ok(()) => tally.deleted += 1,
                Err(error) => leave(session, message, Some(work), error, tally),
            },
        }
    }
}

fn is_of(result: &WindowResult, work: &Work) -> bool {
    let target = work.tables.last().map(Table::to_string);
    result.tables.last().map(|table| &table.table) == target.as_ref()
}

/// Leaves a message in the queue and says why.
fn leave(session: &Session<'_>, message: &QueueMessage, work: Option<&Work>, error: Error, tally: &mut Tally) {
    let text = format!("   = message {} stays in the queue: {error}", message.id);
    let left = left_json(message, work, &error.to_string());
    session.reporter.alarm("message", &text, &left);
    tally.left.push(left);
    // What a person mistyped there is wrong configuration to whoever runs this.
    let failure = if error.kind() == ErrorKind::Usage { Error::misconfigured(error.to_string()) } else { error };
    tally.failure.get_or_insert(failure.with("message_id", &message.id));
}

fn left_json(message: &QueueMessage, work: Option<&Work>, why: &str) -> Value {
    json!({
        "message_id": message.id,
        "dataset": work.map(|work| work.dataset.as_str()),
        "window": work.map(|work| work.window.to_string()),
        "why": why,
    })
}

/// Keeps messages hidden until it is stopped. One that shows again all the same does no harm: its window is up to date then.
fn keep_hidden(session: &Session<'_>, queue: &Queue, messages: Vec<QueueMessage>) -> tokio::task::JoinHandle<()> {
    let (queue, reporter) = (queue.clone(), session.reporter.clone());
    session.runtime.handle().spawn(async move {
        loop {
            for message in &messages {
                if let Err(error) = queue.hide(message, HIDDEN).await {
                    reporter.warn(&format!("message {}: {error}", message.id));
                }
            }
            tokio::time::sleep(HIDDEN / 3).await;
        }
    })
}

fn summary(session: &Session<'_>, url: &str, tally: &Tally) -> Result<u8> {
    let names: BTreeSet<&str> = tally.tried.iter().map(|(dataset, _)| dataset.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let queue = json!({"url": url, "received": tally.received, "deleted": tally.deleted, "left": tally.left});
    let extra = Extra { field: "queue", value: queue, failure: tally.failure.as_ref() };
    summarise_with(session, "replay", &names, (&tally.results, tally.planned), Some(extra))
}
