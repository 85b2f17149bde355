//! Every answer an S3 server gives in trouble, at every operation of a lake, once and for good: each ends in its right
//! kind of error, none in a false success, and one that passes is not noticed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use windrow_core::layout::{Key, RegisterKind};
use windrow_core::{Epoch, ErrorKind, Result};
use windrow_lake::{FailedRequest, Lake, PutOnce, RetryPolicy, S3Patience, S3Settings};

use crate::s3_answers_lake::{put_behind, settings};
use crate::s3_answers_proxy::{Fault, Matches, Proxy};
use crate::support::{RAW_BYTES, RAW_KEY, open, publish, request, window};
use crate::weed::{Identity, weed};

const RETRIES: usize = 2;
const CREATES: u32 = 2;
const MANY: usize = 1_001;
/// The smallest that servers take, to spare the disk.
const PART_BYTES: usize = 5 * 1024 * 1024;
const LARGE: usize = PART_BYTES + 1_000;
const VIEW: &str = "clean/flights/day=2013-01-01/part-00000.parquet";
const MANIFEST: &str = "symlink/clean/flights/day=2013-01-01/manifest";
const BASE: &str = "s3://bucket/lake";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Open,
    List,
    ListPage2,
    Get,
    RangedGet,
    Head,
    Create,
    Copy,
    PutView,
    CopyView,
    DeleteView,
    StartUpload,
    UploadPart,
    EndUpload,
}

use Operation::*;

impl Operation {
    const ALL: [Operation; 14] = [
        Open,
        List,
        ListPage2,
        Get,
        RangedGet,
        Head,
        Create,
        Copy,
        PutView,
        CopyView,
        DeleteView,
        StartUpload,
        UploadPart,
        EndUpload,
    ];

    fn matches(self) -> Matches {
        match self {
            Open | List => |seen| seen.method == "GET" && seen.query.contains("list-type=2"),
            ListPage2 => |seen| seen.method == "GET" && seen.query.contains("continuation-token="),
            Get => |seen| seen.method == "GET" && seen.path.ends_with("/format.json"),
            RangedGet => |seen| seen.method == "GET" && seen.path.ends_with("/flights.csv"),
            Head => |seen| seen.method == "HEAD",
            Create => |seen| seen.method == "PUT" && seen.path.ends_with(".claim.json"),
            Copy => |seen| seen.method == "PUT" && seen.path.contains("/e00000000000000000002-"),
            PutView => |seen| seen.method == "PUT" && seen.path.ends_with("/manifest"),
            CopyView => |seen| seen.method == "PUT" && seen.path.ends_with("/part-00000.parquet"),
            DeleteView => |seen| seen.method == "POST" && seen.query.starts_with("delete"),
            StartUpload => |seen| seen.method == "POST" && seen.query.starts_with("uploads"),
            UploadPart => |seen| seen.method == "PUT" && seen.query.contains("partNumber="),
            EndUpload => |seen| seen.method == "POST" && seen.query.starts_with("uploadId="),
        }
    }

    fn is_list(self) -> bool {
        matches!(self, Open | List | ListPage2)
    }

    fn is_upload(self) -> bool {
        matches!(self, Head | StartUpload | UploadPart | EndUpload)
    }
}

/// Faults that a repeated request may not meet again.
const PASSING: [Fault; 14] = [
    Fault::Status(400, "RequestTimeout"),
    Fault::Status(400, "BadDigest"),
    Fault::Status(408, "RequestTimeout"),
    Fault::Status(409, "ConditionalRequestConflict"),
    Fault::Status(429, "TooManyRequests"),
    Fault::Status(500, "InternalError"),
    Fault::Status(502, "BadGateway"),
    Fault::Status(503, "SlowDown"),
    Fault::Status(503, "ServiceUnavailable"),
    Fault::Reset,
    Fault::Stall,
    Fault::ReplyLost,
    Fault::ReplyReplaced(500, "InternalError"),
    Fault::ReplyCut,
];

/// Answers that no repetition changes.
const FINAL: [(Fault, ErrorKind); 11] = [
    (Fault::Status(301, "PermanentRedirect"), ErrorKind::Misconfigured),
    (Fault::Status(400, "ExpiredToken"), ErrorKind::AccessDenied),
    (Fault::Status(403, "AccessDenied"), ErrorKind::AccessDenied),
    (Fault::Status(403, "ExpiredToken"), ErrorKind::AccessDenied),
    (Fault::Status(403, "InvalidAccessKeyId"), ErrorKind::AccessDenied),
    (Fault::Status(403, "RequestTimeTooSkewed"), ErrorKind::AccessDenied),
    (Fault::Status(403, "SignatureDoesNotMatch"), ErrorKind::AccessDenied),
    (Fault::Status(404, "NoSuchBucket"), ErrorKind::Misconfigured),
    (Fault::Status(405, "MethodNotAllowed"), ErrorKind::Misconfigured),
    (Fault::Status(501, "NotImplemented"), ErrorKind::Misconfigured),
    (Fault::Status(412, "PreconditionFailed"), ErrorKind::Transient),
];

#[derive(Clone, Copy)]
struct Case {
    operation: Operation,
    fault: Fault,
    is_always: bool,
    /// The large file goes up while it is written.
    is_streamed: bool,
    expected: Result<(), ErrorKind>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add =
        |operation, fault, is_always, expected| cases.push(Case { operation, fault, is_always, is_streamed: false, expected });
    // A HEAD has no body, to be damaged or to tell such a 400 from one for an expired token.
    let is_possible =
        |operation, fault| operation != Head || !matches!(fault, Fault::Status(400, "RequestTimeout" | "BadDigest"));
    for operation in Operation::ALL {
        for fault in PASSING.into_iter().filter(|fault| is_possible(operation, *fault)) {
            add(operation, fault, false, Ok(()));
            add(operation, fault, true, outcome_of_lasting(operation, fault));
        }
        for (fault, kind) in FINAL {
            add(operation, fault, true, Err(kind_of_final(operation, fault, kind)));
        }
        add(operation, Fault::Status(416, "InvalidRange"), true, Err(ErrorKind::Transient));
        add(operation, Fault::Status(404, "NoSuchKey"), true, Err(kind_of_no_such_key(operation)));
        if operation.is_list() {
            add(operation, Fault::ReplyForeign, false, Ok(()));
            add(operation, Fault::ReplyForeign, true, Err(ErrorKind::Transient));
        }
        if matches!(operation, Create | PutView | UploadPart) {
            add(operation, Fault::RequestAltered, false, Ok(()));
            add(operation, Fault::RequestAltered, true, Err(ErrorKind::Transient));
        }
    }
    // One's own first write, answered with "exists": the read-back knows better.
    for operation in [Create, Copy, EndUpload] {
        for (status, code) in [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed"), (503, "SlowDown")] {
            add(operation, Fault::ReplyReplaced(status, code), false, Ok(()));
            add(operation, Fault::ReplyReplaced(status, code), true, Ok(()));
        }
    }
    // A success that holds an error is none.
    for operation in [Copy, CopyView, DeleteView, EndUpload] {
        add(operation, Fault::Status(200, "InternalError"), false, Ok(()));
        add(operation, Fault::Status(200, "InternalError"), true, Err(ErrorKind::Transient));
        add(operation, Fault::Status(200, "AccessDenied"), true, Err(ErrorKind::AccessDenied));
    }
    add(EndUpload, Fault::ReplyReplaced(404, "NoSuchUpload"), true, Ok(()));
    let uploads: Vec<Case> = cases.iter().filter(|case| case.operation.is_upload()).copied().collect();
    cases.extend(uploads.into_iter().map(|case| Case { is_streamed: true, ..case }));
    cases
}

fn outcome_of_lasting(operation: Operation, fault: Fault) -> Result<(), ErrorKind> {
    // What the server did, it did: reading back proves it.
    let is_read_back = matches!(operation, Create | Copy | EndUpload);
    if fault.is_forwarded() && is_read_back { Ok(()) } else { Err(ErrorKind::Transient) }
}

fn kind_of_final(operation: Operation, fault: Fault, kind: ErrorKind) -> ErrorKind {
    match (operation, fault) {
        // A HEAD has no body to tell a missing bucket from a missing key.
        (Head, Fault::Status(404, _)) => kind_of_no_such_key(Head),
        _ => kind,
    }
}

fn kind_of_no_such_key(operation: Operation) -> ErrorKind {
    match operation {
        Get | Copy => ErrorKind::InputMissing,
        CopyView => ErrorKind::CorruptInput,
        // Nothing can be written to where nothing is.
        Create | PutView => ErrorKind::Misconfigured,
        _ => ErrorKind::Transient,
    }
}

/// A lake behind a proxy, and the same lake past it.
struct Bench {
    proxy: Proxy,
    prefix: String,
    direct: Lake,
    patience: S3Patience,
    is_streamed: bool,
}

impl Bench {
    async fn new(case: &Case, many: &str) -> Bench {
        let prefix = if case.operation == ListPage2 { many.to_owned() } else { weed().new_prefix() };
        let is_stalled = case.fault == Fault::Stall;
        let patience = S3Patience {
            request_timeout: Duration::from_secs(if is_stalled { 4 } else { 60 }),
            // A busy machine can be slower than the timeout of a stalled request, and again.
            retries: if is_stalled && !case.is_always { 3 * RETRIES } else { RETRIES },
            first_pause: Duration::from_millis(1),
            creates: RetryPolicy { tries: CREATES, ..RetryPolicy::IMMEDIATE },
            ..S3Patience::default()
        };
        let past = settings(weed().endpoint(), &prefix, Identity::Admin);
        let direct = Lake::open_s3(&S3Settings { part_bytes: PART_BYTES, ..past }).await.unwrap();
        let (proxy, is_streamed) = (Proxy::start(weed().endpoint()).await, case.is_streamed);
        let bench = Bench { proxy, prefix, direct, patience, is_streamed };
        bench.set_up(case.operation).await.unwrap();
        bench
    }

    async fn set_up(&self, operation: Operation) -> Result<()> {
        if operation.is_list() {
            if operation == List {
                put_behind(&self.prefix, RAW_KEY, Bytes::from_static(RAW_BYTES)).await;
            }
            return Ok(());
        }
        put_behind(&self.prefix, RAW_KEY, Bytes::from_static(RAW_BYTES)).await;
        let table = open(&self.direct).await?;
        if matches!(operation, Copy | PutView | CopyView | DeleteView) {
            let claimed = table.claim(&request(1)).await?;
            publish(&table, &claimed, &["clean bytes"]).await?;
        }
        if operation == DeleteView {
            table.project_live(&window()).await?;
            let retraction = windrow_lake::ClaimRequest { reason: windrow_core::ledger::Reason::Retract, ..request(2) };
            table.retract(&table.claim(&retraction).await?).await?;
        }
        if operation.is_upload() {
            table.claim(&request(1)).await?;
        }
        Ok(())
    }

    async fn open(&self) -> Result<Lake> {
        let settings = settings(self.proxy.endpoint(), &self.prefix, Identity::Admin);
        Lake::open_s3(&S3Settings { patience: self.patience, part_bytes: PART_BYTES, ..settings }).await
    }

    /// Does the operation with an open lake, and checks that what it answers is right.
    async fn run(&self, operation: Operation, lake: &Lake) -> Result<()> {
        let clean = "clean.flights".parse().unwrap();
        match operation {
            Open => self.open().await.map(|_| ()),
            List | ListPage2 => {
                let expected = if operation == List { 1 } else { MANY };
                assert_eq!(lake.list_inputs("flights/2013-01-01/*.csv").await?.inputs.len(), expected);
                Ok(())
            }
            Get => {
                let bytes = lake.get_bytes("store/clean/flights/format.json").await?;
                assert!(bytes.starts_with(b"{"));
                Ok(())
            }
            RangedGet => {
                let input = lake.list_inputs("flights/2013-01-01/*.csv").await?.inputs.remove(0);
                assert_eq!(lake.get_pinned(&input).await?, RAW_BYTES);
                Ok(())
            }
            PutView => lake.table(&clean).await?.unwrap().project_manifest(&window(), BASE).await.map(|_| ()),
            CopyView | DeleteView => lake.table(&clean).await?.unwrap().project_live(&window()).await.map(|_| ()),
            Create => match lake.put_once(&claim_key(), &claim_bytes()).await? {
                PutOnce::Mine => Ok(()),
                PutOnce::Theirs(bytes) => panic!("nobody else wrote {bytes:?}"),
                PutOnce::Unknown(error) => Err(error),
            },
            Copy => {
                let table = lake.table(&clean).await?.unwrap();
                let rollback = windrow_lake::ClaimRequest { reason: windrow_core::ledger::Reason::Rollback, ..request(2) };
                table.stage_rollback(&rollback, Epoch::FIRST).await.map(|_| ())
            }
            Head | StartUpload | UploadPart | EndUpload => self.stage(lake).await.map(|_| ()),
        }
    }

    async fn stage(&self, lake: &Lake) -> Result<String> {
        let table = lake.table(&"clean.flights".parse().unwrap()).await?.unwrap();
        let claimed = table.load_claimed(&window(), Epoch::FIRST, &request(1).attempt).await?;
        let (bytes, stats) = (large(), serde_json::Value::Null);
        let entry = if self.is_streamed {
            let mut spool = table.spool_part(&claimed, 0, bytes.len(), &tokio::runtime::Handle::current())?;
            bytes.chunks(100_000).for_each(|piece| spool.write_all(piece).unwrap());
            table.stage_spooled(&claimed, 0, spool.seal()?, 1, stats).await?
        } else {
            table.stage_part(&claimed, 0, bytes, 1, stats).await?
        };
        Ok(table.file_key(&entry))
    }

    /// What the store holds of the operation's work, seen past the proxy.
    async fn written(&self, operation: Operation) -> Option<Bytes> {
        let key = match operation {
            Create => claim_key().to_string(),
            PutView => MANIFEST.to_owned(),
            CopyView | DeleteView => VIEW.to_owned(),
            _ => {
                let found = self.direct.list_inputs("flights/*").await;
                assert!(found.is_ok());
                return None;
            }
        };
        match self.direct.get_bytes(&key).await {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InputMissing, "{error}");
                None
            }
        }
    }
}

fn large() -> Bytes {
    vec![7_u8; LARGE].into()
}

fn claim_key() -> Key {
    let table = "clean.flights".parse().unwrap();
    Key::Register { table, window: window(), epoch: Epoch::FIRST, kind: RegisterKind::Claim }
}

fn claim_bytes() -> Bytes {
    Bytes::from_static(br#"{"some":"claim"}"#)
}

/// Runs one case; `Err` says what is wrong.
async fn check(case: &Case, many: &str) -> Result<usize, String> {
    let Case { operation, fault, is_always, is_streamed, expected } = case;
    let wrong = |what: String| {
        Err(format!(
            "{operation:?} {fault:?} {} {}: {what}",
            if *is_always { "always" } else { "once" },
            if *is_streamed { "streamed" } else { "whole" }
        ))
    };
    let bench = Bench::new(case, many).await;
    let lake = bench.open().await.unwrap();
    bench.proxy.plan(operation.matches(), *fault, if *is_always { usize::MAX } else { 1 });
    let result = bench.run(*operation, &lake).await;
    let met = bench.proxy.heal();
    if met == 0 {
        return wrong("no request met the fault".into());
    }
    let kind = result.as_ref().copied().map_err(windrow_core::Error::kind);
    if kind != *expected {
        return wrong(format!("expected {expected:?}, got {result:?}"));
    }
    if let Err(error) = &result
        && (error.to_string().contains("never-in-a-lake") || error.to_string().contains("Signature="))
    {
        return wrong(format!("a secret in {error}"));
    }
    let written = bench.written(*operation).await;
    let is_whole = |bytes: &Bytes| match operation {
        Create => bytes == &claim_bytes(),
        CopyView => bytes.as_ref() == b"clean bytes",
        _ => bytes.starts_with(BASE.as_bytes()) && bytes.ends_with(b".parquet\n"),
    };
    let is_right = match (operation, &written, result.is_ok()) {
        (Create | PutView | CopyView, Some(bytes), _) => is_whole(bytes),
        (Create | PutView | CopyView, None, is_ok) => !is_ok,
        (DeleteView, left, is_ok) => !is_ok || left.is_none(),
        _ => true,
    };
    if !is_right
        || (!fault.is_forwarded() && result.is_err() && matches!(operation, Create | PutView | CopyView) && written.is_some())
    {
        return wrong(format!("{result:?}, but the store holds {written:?}"));
    }
    // Healed, the same operation does its work, and it can be seen.
    if let Err(error) = bench.run(*operation, &lake).await {
        return wrong(format!("not healed: {error}"));
    }
    if operation.is_upload() {
        let key = bench.stage(&bench.direct).await.map_err(|error| error.to_string())?;
        if bench.direct.get_bytes(&key).await.map_err(|error| error.to_string())? != large() {
            return wrong("other bytes were uploaded".into());
        }
    } else if matches!(operation, Create | PutView | CopyView | DeleteView)
        && bench.written(*operation).await.is_some() == (*operation == DeleteView)
    {
        return wrong("the healed write is not there".into());
    }
    Ok(met)
}

async fn many_raw_files() -> String {
    let prefix = weed().new_prefix();
    let puts = (0..MANY).map(|number| {
        let prefix = prefix.clone();
        async move { put_behind(&prefix, &format!("raw/flights/2013-01-01/{number:04}.csv"), Bytes::from_static(b"x")).await }
    });
    futures::stream::iter(puts).buffer_unordered(16).collect::<Vec<_>>().await;
    prefix
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_answer_at_every_operation_ends_as_it_should() {
    let many = many_raw_files().await;
    let cases = cases();
    let checked = futures::stream::iter(&cases).map(|case| check(case, &many)).buffer_unordered(16);
    let results: Vec<Result<usize, String>> = checked.collect().await;
    let wrong: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    let met: usize = results.iter().flatten().sum();
    let mut by_kind: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        let name = case.expected.as_ref().map_or_else(ToString::to_string, |()| "success".to_owned());
        *by_kind.entry(name).or_default() += 1;
    }
    println!(
        "S3 answers: {} cases at {} operations, {met} faulty answers given, {} wrong; expected {by_kind:?}",
        cases.len(),
        Operation::ALL.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn retries_are_bounded_and_each_failed_attempt_is_counted_and_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let case =
        Case { operation: Get, fault: Fault::Status(503, "SlowDown"), is_always: true, is_streamed: false, expected: Ok(()) };
    let bench = Bench::new(&case, "").await;
    let heard = Arc::clone(&told);
    let settings = S3Settings {
        patience: bench.patience,
        observer: Some(Arc::new(move |failed| heard.lock().unwrap().push(failed.clone()))),
        ..settings(bench.proxy.endpoint(), &bench.prefix, Identity::Admin)
    };
    let lake = Lake::open_s3(&settings).await.unwrap();
    for (times, is_fine) in [(RETRIES, true), (usize::MAX, false)] {
        let before = lake.traffic();
        bench.proxy.plan(Get.matches(), case.fault, times);
        assert_eq!(bench.run(Get, &lake).await.is_ok(), is_fine);
        let met = bench.proxy.heal();
        assert_eq!(met, if is_fine { RETRIES } else { RETRIES + 1 });
        let failed = lake.traffic().failed_requests - before.failed_requests;
        let heard: Vec<FailedRequest> = std::mem::take(&mut told.lock().unwrap());
        assert_eq!((failed, heard.len()), (u64::try_from(met).unwrap(), met));
        for failed in heard {
            assert_eq!((failed.method.as_str(), failed.status), ("GET", Some(503)));
            assert!(failed.path.ends_with("/format.json") && failed.message == "SlowDown: planned", "{failed:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_creates_a_key_twice_is_refused_before_anything_rests_on_it() {
    let case =
        Case { operation: Get, fault: Fault::Status(200, "Created"), is_always: true, is_streamed: false, expected: Ok(()) };
    let bench = Bench::new(&case, "").await;
    let lake = bench.open().await.unwrap();
    bench.proxy.plan(|seen| seen.method == "PUT", case.fault, usize::MAX);
    let error = open(&lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("does not support conditional writes"), "{error}");
}

#[tokio::test]
async fn a_published_file_whose_bytes_changed_on_the_server_is_corrupt() {
    let case = Case { operation: PutView, fault: Fault::Reset, is_always: false, is_streamed: false, expected: Ok(()) };
    let bench = Bench::new(&case, "").await;
    let table = bench.direct.table(&"clean.flights".parse().unwrap()).await.unwrap().unwrap();
    let head = table.require_head(&window()).await.unwrap();
    table.verify_head(&head).await.unwrap();
    put_behind(&bench.prefix, &head.files[0].key, Bytes::from_static(b"clean bytez")).await;
    assert_eq!(table.verify_head(&head).await.unwrap_err().kind(), ErrorKind::CorruptInput);
}
