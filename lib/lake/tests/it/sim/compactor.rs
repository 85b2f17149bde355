//! Compaction of a window, as the command line makes it: the head's rows in one file, as a new epoch.

use bytes::Bytes;
use windrow_core::canonical::sha256_hex;
use windrow_core::ledger::Reason;
use windrow_core::{ErrorKind, PartitionWindow, Result};
use windrow_lake::{Claimed, Head, LakeTable};

use super::context::Context;
use super::model::{self, Verdict};
use super::runs::{self, Job};

/// What stands in the way of a compaction and is no failure: nothing is published, somebody works on the window, a later
/// epoch failed.
const REFUSED: [ErrorKind; 3] = [ErrorKind::InputMissing, ErrorKind::Transient, ErrorKind::Fenced];

pub(crate) async fn compact(context: &Context, window: &PartitionWindow) -> Result<()> {
    let table = context.open().await?;
    let Ok(seen) = context.call("compactable", &REFUSED, table.compactable(window)).await else {
        context.world().coverage.count("compactions refused");
        return Ok(());
    };
    let job = Job {
        window: *window,
        verdict: if context.chance(800) { Verdict::Pass } else { Verdict::Fail },
        parts: 1,
        config: 'c',
        is_forced: true,
        is_unique: false,
        is_rash: false,
        retries: 0,
    };
    let request = job.request(context.new_attempt(), Reason::Compact, Some(seen.epoch));
    context.world().actors[context.actor].attempt = Some(request.attempt.to_string());
    let claimed = context.call("claim to compact", &REFUSED, table.claim_to_compact(&request)).await;
    let Ok((claimed, head)) = claimed else {
        context.world().coverage.count("compactions refused");
        return Ok(());
    };
    context.world().actors[context.actor].epoch = Some(claimed.epoch().get());
    let done = rewrite(context, &table, &claimed, &head, &job).await;
    if done.is_err() {
        table.give_up(&claimed).await;
    }
    done
}

async fn rewrite(context: &Context, table: &LakeTable, claimed: &Claimed, head: &Head, job: &Job) -> Result<()> {
    let mut rows = Vec::new();
    for file in &head.files {
        // A head that was superseded meanwhile may be gone.
        rows.push(context.call("read to compact", &[ErrorKind::InputMissing], table.get_verified(file)).await?);
    }
    let part = Bytes::from(rows.concat());
    expect(context, claimed, head, &part, job.verdict);
    let count = head.staged.document().rows.written;
    let entry = context.call("stage", &[], table.stage_part(claimed, 0, part, count, serde_json::Value::Null)).await?;
    let staged = context.call("put compacted", &[], table.put_compacted(claimed, head, vec![entry])).await?;
    context.world().coverage.count("compactions staged");
    runs::decide(context, table, claimed, &staged, job).await
}

/// Tells the model that an attempt is to hold the rows of a head: it stands for the inputs of whoever computed them.
fn expect(context: &Context, claimed: &Claimed, head: &Head, part: &Bytes, verdict: Verdict) {
    let mut world = context.world();
    let inputs = world.model.attempts.get(head.attempt.as_str()).map_or_else(String::new, |attempt| attempt.inputs.clone());
    let attempt = model::Attempt {
        files: vec![(sha256_hex(part), part.len() as u64)],
        verdict,
        inputs,
        compacts: Some(head.epoch.get()),
        has_asked_to_publish: false,
    };
    world.model.attempts.insert(claimed.attempt().to_string(), attempt);
}
