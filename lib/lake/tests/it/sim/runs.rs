//! Runs of a window, from the claim to the view, as the command line and the state machine make them.

use bytes::Bytes;
use windrow_core::canonical::sha256_hex;
use windrow_core::code::Code;
use windrow_core::gate::{Severity, Status};
use windrow_core::ledger::{
    CheckDoc, CodeVersion, ContractRef, ErrorClass, FailedCheck, Reason, RowCounts, Staged, Stored, inputs_sha256,
};
use windrow_core::{Attempt, Epoch, ErrorKind, PartitionWindow, Result};
use windrow_lake::{ClaimRequest, Claimed, EpochState, LakeTable, Output, RawInput};

use super::context::Context;
use super::keys;
use super::model::{self, Decision, Verdict};

/// What one run of a window does.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) window: PartitionWindow,
    pub(crate) verdict: Verdict,
    pub(crate) parts: u32,
    pub(crate) config: char,
    /// Runs although the head is current.
    pub(crate) is_forced: bool,
    /// Its output is not that of any other attempt with the same inputs.
    pub(crate) is_unique: bool,
    /// Tries what is forbidden on the way.
    pub(crate) is_rash: bool,
    /// How many times the orchestrator may start it again.
    pub(crate) retries: u32,
}

impl Job {
    fn config_sha256(&self) -> String {
        self.config.to_string().repeat(64)
    }

    pub(crate) fn request(&self, attempt: Attempt, reason: Reason, seen_head: Option<Epoch>) -> ClaimRequest {
        ClaimRequest {
            window: self.window,
            run_id: format!("run-{}", &attempt.as_str()[16..]).parse().unwrap(),
            attempt,
            execution_id: None,
            reason,
            code: code(),
            config_sha256: self.config_sha256(),
            seen_head,
        }
    }
}

fn code() -> CodeVersion {
    CodeVersion { version: "0.1.0".into(), git: None }
}

/// The whole trip of a window.
pub(crate) async fn run(context: &Context, job: &Job) -> Result<()> {
    let table = context.open().await?;
    let inputs = list(context, job).await?;
    let seen = context.resolve(&table, &job.window).await?;
    if let Some(head) = seen.as_ref().filter(|_| !job.is_forced)
        && head.is_current(&digest(&inputs)?, &job.config_sha256(), &code())
    {
        require_same_inputs(context, head.attempt.as_str(), &inputs);
        return context.project(&table, &job.window).await;
    }
    let reason = if job.is_forced { Reason::Replay } else { Reason::Schedule };
    let claimed = claim(context, &table, &job.request(context.new_attempt(), reason, seen.map(|head| head.epoch))).await?;
    let raw_writes = context.world().raw_writes;
    let inputs = list(context, job).await?;
    let bytes = read(context, &inputs, raw_writes).await?;
    let parts = compute(context, job, &claimed, &inputs, &bytes);
    if job.verdict == Verdict::Refused {
        return quarantine(context, &table, &claimed, Some(&ErrorClass::of_code(Code::CheckFailed))).await;
    }
    let staged = stage(context, &table, &claimed, &inputs, parts).await?;
    decide(context, &table, &claimed, &staged, job).await
}

/// The check and publish states once more, for an epoch that an earlier process staged.
pub(crate) async fn resume(context: &Context, job: &Job, epoch: Epoch, attempt: &Attempt) -> Result<()> {
    let table = context.open().await?;
    {
        let own = &mut context.world().actors[context.actor];
        (own.epoch, own.attempt) = (Some(epoch.get()), Some(attempt.to_string()));
    }
    let claimed = context.call("load", &[], table.load_claimed(&job.window, epoch, attempt)).await?;
    let history = context.call("history", &[], table.window_history(&job.window)).await?;
    let state = history.into_iter().find(|state| state.epoch == epoch);
    let Some(staged) = state.and_then(|state| state.staged) else { return Ok(()) };
    context.world().coverage.count("epochs resumed");
    decide(context, &table, &claimed, &staged, job).await
}

/// Claims, and holds the claim against the register.
pub(crate) async fn claim(context: &Context, table: &LakeTable, request: &ClaimRequest) -> Result<Claimed> {
    context.world().actors[context.actor].attempt = Some(request.attempt.to_string());
    let claimed = context.call("claim", &[], table.claim(request)).await?;
    let mut world = context.world();
    let (window, epoch) = (claimed.window().to_string(), claimed.epoch().get());
    let holder = world.model.window(&window).epochs.get(&epoch).map(|state| state.attempt.clone());
    let is_own = holder.as_deref() == Some(request.attempt.as_str());
    world.require(is_own, "I4", || format!("{window}: {} was given epoch {epoch} of {holder:?}", request.attempt));
    world.actors[context.actor].epoch = Some(epoch);
    Ok(claimed)
}

async fn list(context: &Context, job: &Job) -> Result<Vec<RawInput>> {
    let pattern = format!("flights/{}/*.csv", job.window);
    let found = context.call("list", &[], context.lake.list_inputs(&pattern)).await?;
    Ok(found.inputs)
}

fn digest(inputs: &[RawInput]) -> Result<String> {
    inputs_sha256(&inputs.iter().map(RawInput::entry).collect::<Vec<_>>())
}

fn versions(inputs: &[RawInput]) -> String {
    inputs.iter().map(|input| format!("{} {} {:?};", input.key, input.size, input.etag)).collect()
}

fn require_same_inputs(context: &Context, attempt: &str, inputs: &[RawInput]) {
    let mut world = context.world();
    world.coverage.count("runs that had nothing to do");
    let made_of = world.model.attempts.get(attempt).map(|attempt| attempt.inputs.clone());
    let listed = versions(inputs);
    world.require(made_of.as_ref() == Some(&listed), "I8", || format!("nothing to do with {listed}, the head is of {made_of:?}"));
}

async fn read(context: &Context, inputs: &[RawInput], raw_writes: u64) -> Result<Vec<Bytes>> {
    let mut contents = Vec::new();
    for input in inputs {
        let before = context.world().actors[context.actor].faults;
        let read = context.call("read", &[ErrorKind::Transient], context.lake.get_pinned(input)).await;
        let mut world = context.world();
        let is_excused = world.raw_writes != raw_writes || world.actors[context.actor].faults != before;
        world.require(read.is_ok() || is_excused, "no false failure", || format!("{} cannot be read", input.key));
        let version = input.etag.as_deref().and_then(|etag| etag.trim_matches(['"', 'v']).parse().ok()).unwrap_or(0);
        let listed = world.raw_versions.get(&(input.key.clone(), version)).cloned();
        let is_pinned = read.as_ref().is_ok_and(|bytes| listed == Some(sha256_hex(bytes)));
        world.require(read.is_err() || is_pinned, "I9", || format!("{} is read as another version than listed", input.key));
        drop(world);
        contents.push(read?);
    }
    Ok(contents)
}

/// The transform: a pure function of the inputs, unless the schedule wants to tell all attempts apart. The model hears
/// of the result before the store does.
fn compute(context: &Context, job: &Job, claimed: &Claimed, inputs: &[RawInput], bytes: &[Bytes]) -> Vec<Bytes> {
    let read = sha256_hex(&bytes.concat());
    let own = if job.is_unique { claimed.attempt().as_str() } else { "" };
    let part = |number| Bytes::from(format!("{} {number} of {} {read} {own}", job.window, job.parts));
    let parts: Vec<Bytes> = (0..job.parts).map(part).collect();
    let files = parts.iter().map(|part| (sha256_hex(part), part.len() as u64)).collect();
    let (verdict, inputs) = (job.verdict, versions(inputs));
    let computed = model::Attempt { files, verdict, inputs, compacts: None, has_asked_to_publish: false };
    context.world().model.attempts.insert(claimed.attempt().to_string(), computed);
    parts
}

async fn stage(
    context: &Context,
    table: &LakeTable,
    claimed: &Claimed,
    inputs: &[RawInput],
    parts: Vec<Bytes>,
) -> Result<Stored<Staged>> {
    let written = parts.len() as u64;
    let mut files = Vec::new();
    for (number, part) in (0..).zip(parts) {
        let entry = context.call("stage", &[], table.stage_part(claimed, number, part, 1, serde_json::Value::Null)).await?;
        let mut world = context.world();
        let held = world.objects.get(&table.file_key(&entry)).map(|object| object.sha256.clone());
        let is_fenced = world.model.window(&claimed.window().to_string()).decision(claimed.epoch().get()).is_some();
        world.require(is_fenced || held.as_ref() == Some(&entry.sha256), "I3", || {
            format!("{} is staged and not there", entry.path)
        });
        files.push(entry);
    }
    let output = Output {
        inputs: inputs.iter().map(RawInput::entry).collect(),
        contract: ContractRef { id: "flights".into(), version: "1.0.0".into(), sha256: "d".repeat(64) },
        rows: RowCounts { read: written, written, rejected: 0 },
        files,
    };
    let staged = context.call("put staged", &[], table.put_staged(claimed, output)).await?;
    require_register(context, claimed, "staged", staged.sha256());
    Ok(staged)
}

fn require_register(context: &Context, claimed: &Claimed, kind: &str, sha256: &str) {
    let key = keys::register(&claimed.window().to_string(), claimed.epoch().get(), kind);
    let mut world = context.world();
    let held = world.objects.get(&key).map(|object| object.sha256.clone());
    world.require(held.as_deref() == Some(sha256), "I3", || format!("{key} was reported written and holds {held:?}"));
}

/// Check, then publish or quarantine, then the view: the stages that carry epoch and attempt and may run any number of
/// times.
pub(crate) async fn decide(
    context: &Context,
    table: &LakeTable,
    claimed: &Claimed,
    staged: &Stored<Staged>,
    job: &Job,
) -> Result<()> {
    if job.is_rash {
        publish_unchecked(context, table, claimed, staged).await;
    }
    let document = check(claimed, staged.sha256(), job.verdict);
    let stored = context.call("put check", &[], table.put_check(claimed, document)).await?;
    require_register(context, claimed, "check", stored.sha256());
    let is_passed = stored.document().status == Status::Pass;
    context
        .world()
        .require(is_passed == (job.verdict == Verdict::Pass), "I11", || format!("{}: the verdict changed", claimed.epoch()));
    if !is_passed {
        if job.is_rash {
            let passed = table.passed_check(&job.window, claimed.epoch()).await;
            context.world().require(passed.is_err(), "I11", || "a FAIL is taken for a PASS".to_owned());
        }
        return quarantine(context, table, claimed, None).await;
    }
    publish(context, table, claimed).await?;
    context.project(table, &job.window).await
}

fn check(claimed: &Claimed, staged_sha256: &str, verdict: Verdict) -> CheckDoc {
    let failed = FailedCheck {
        id: "unique".into(),
        severity: Severity::Error,
        observed: "2".into(),
        threshold: "0".into(),
        sql_sha256: None,
    };
    let is_passed = verdict == Verdict::Pass;
    CheckDoc {
        staged_sha256: staged_sha256.to_owned(),
        profile: "default".into(),
        status: if is_passed { Status::Pass } else { Status::Fail },
        failed_checks: if is_passed { vec![] } else { vec![failed] },
        run_id: claimed.claim().document().run_id.clone(),
    }
}

/// What a careless caller does: records a PASS of something else. The ledger must refuse.
async fn publish_unchecked(context: &Context, table: &LakeTable, claimed: &Claimed, staged: &Stored<Staged>) {
    let other = check(claimed, &sha256_hex(staged.sha256().as_bytes()), Verdict::Pass);
    let put = table.put_check(claimed, other).await;
    let mut world = context.world();
    world.coverage.count("misuse refused");
    world.require(put.is_err(), "I7", || "a check of another staged document is accepted".to_owned());
}

async fn publish(context: &Context, table: &LakeTable, claimed: &Claimed) -> Result<()> {
    let (window, epoch) = (claimed.window(), claimed.epoch());
    let passed = context.call("passed check", &[], table.passed_check(&window, epoch)).await?;
    if let Some(attempt) = context.world().model.attempts.get_mut(claimed.attempt().as_str()) {
        attempt.has_asked_to_publish = true;
    }
    let result = context.call("publish", &[ErrorKind::Fenced], table.publish(&passed)).await;
    judge_decision(context, claimed, Decision::Published, result.as_ref().err().map(windrow_core::Error::kind));
    let outcome = result?;
    require_register(context, claimed, "outcome", outcome.sha256());
    let mut world = context.world();
    let head = world.model.decider(&window.to_string());
    world.require(head.is_some_and(|head| head.epoch >= epoch.get()), "I3", || {
        format!("epoch {epoch} published, {head:?} decides")
    });
    Ok(())
}

async fn quarantine(context: &Context, table: &LakeTable, claimed: &Claimed, failure: Option<&ErrorClass>) -> Result<()> {
    // Evidence holds the time of a host whose clock is anything.
    let evidence = Bytes::from(format!("evidence of {} at {}", claimed.attempt(), context.new_attempt()));
    let rejects = context.chance(500).then(|| Bytes::from_static(b"rejects"));
    let result = context.call("quarantine", &[ErrorKind::Fenced], table.quarantine(claimed, failure, evidence, rejects)).await;
    judge_decision(context, claimed, Decision::Quarantined, result.as_ref().err().map(windrow_core::Error::kind));
    let outcome = result?;
    require_register(context, claimed, "outcome", outcome.sha256());
    Ok(())
}

/// A decision that was reported is the one in the register; a run is fenced by an abort and by nothing else.
pub(crate) fn judge_decision(context: &Context, claimed: &Claimed, wanted: Decision, error: Option<ErrorKind>) {
    let mut world = context.world();
    let (window, epoch) = (claimed.window().to_string(), claimed.epoch().get());
    let found = world.model.window(&window).decision(epoch);
    match error {
        None => world
            .require(found == Some(wanted), "I3", || format!("{window} epoch {epoch} was reported {wanted:?} and is {found:?}")),
        Some(ErrorKind::Fenced) => {
            world.coverage.count("runs fenced");
            world.require(found == Some(Decision::Aborted), "I5", || {
                format!("{window} epoch {epoch} is fenced, and is {found:?}")
            });
        }
        Some(_) => {}
    }
}

/// Makes an older published version the head again.
pub(crate) async fn rollback(context: &Context, window: &PartitionWindow) -> Result<()> {
    let table = context.open().await?;
    let history = context.call("history", &[], table.window_history(window)).await?;
    let is_published = |state: &EpochState| state.outcome.as_ref().is_some_and(|found| !found.document().files.is_empty());
    let published: Vec<Epoch> = history.iter().filter(|state| is_published(state)).map(|state| state.epoch).collect();
    if published.is_empty() {
        return Ok(());
    }
    let source = {
        let mut world = context.world();
        world.rng.pick(&published)
    };
    let job = Job {
        window: *window,
        verdict: Verdict::Pass,
        parts: 0,
        config: 'c',
        is_forced: true,
        is_unique: false,
        is_rash: false,
        retries: 0,
    };
    let request = job.request(context.new_attempt(), Reason::Rollback, None);
    let files = expect_copy(context, window, source, &request.attempt);
    let staging = context.call("rollback", &[ErrorKind::InputMissing], table.stage_rollback(&request, source)).await;
    if let Err(error) = &staging {
        let mut world = context.world();
        let is_gone = files.iter().any(|(key, _)| !world.objects.contains_key(key));
        let is_missing = error.kind() == ErrorKind::InputMissing;
        world.require(is_gone || !is_missing, "no false failure", || format!("rollback of {window}: {error}"));
    }
    let (claimed, staged) = staging?;
    context.world().actors[context.actor].epoch = Some(claimed.epoch().get());
    context.world().coverage.count("rollbacks staged");
    decide(context, &table, &claimed, &staged, &job).await
}

/// Tells the model that an attempt is to compute what another epoch published.
fn expect_copy(context: &Context, window: &PartitionWindow, source: Epoch, attempt: &Attempt) -> Vec<(String, String)> {
    let mut world = context.world();
    let state = world.model.window(&window.to_string()).epochs.get(&source.get()).cloned().unwrap_or_default();
    let files = state.outcome.map_or_else(Vec::new, |outcome| outcome.files);
    if let Some(original) = world.model.attempts.get(&state.attempt).cloned() {
        let copy = model::Attempt { compacts: None, has_asked_to_publish: false, ..original };
        world.model.attempts.insert(attempt.to_string(), copy);
    }
    world.actors[context.actor].attempt = Some(attempt.to_string());
    files
}
