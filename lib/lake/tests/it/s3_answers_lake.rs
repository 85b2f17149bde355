//! A lake on an S3 server as it is opened, listed, read and written when nothing goes wrong.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpConnector, HttpRequestBody, ReqwestConnector};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, StaticCredentialProvider};
use windrow_core::ErrorKind;
use windrow_lake::{Key, Lake, PutOnce, RetryPolicy, S3Encryption, S3Patience, S3Settings, ViewState, error_from_read};

use crate::fault::FaultStore;
use crate::support::{RAW_BYTES, RAW_KEY, open, publish, request, run_window, window};
use crate::weed::{BUCKET, Identity, weed};

/// Settings for a prefix of the test server, with pauses that cost nothing.
pub(crate) fn settings(endpoint: &str, prefix: &str, identity: Identity) -> S3Settings {
    let (key_id, secret_key) = identity.credentials();
    let credential = AwsCredential { key_id: key_id.into(), secret_key: secret_key.into(), token: None };
    let location = format!("s3://{BUCKET}/{prefix}").parse().unwrap();
    S3Settings {
        endpoint: Some(endpoint.to_owned()),
        patience: S3Patience { first_pause: Duration::from_millis(1), creates: RetryPolicy::IMMEDIATE, ..S3Patience::default() },
        ..S3Settings::new(location, "us-east-1", Arc::new(StaticCredentialProvider::new(credential)))
    }
}

/// Puts an object past the lake, as producers and vandals do.
pub(crate) async fn put_behind(prefix: &str, key: &str, bytes: Bytes) {
    let store = weed().client(BUCKET, Identity::Admin);
    store.put(&Path::parse(format!("{prefix}/{key}")).unwrap(), PutPayload::from_bytes(bytes)).await.unwrap();
}

/// A lake with one raw file.
async fn lake() -> (Lake, String) {
    let prefix = weed().new_prefix();
    put_behind(&prefix, RAW_KEY, Bytes::from_static(RAW_BYTES)).await;
    (Lake::open_s3(&settings(weed().endpoint(), &prefix, Identity::Admin)).await.unwrap(), prefix)
}

#[tokio::test]
async fn a_window_is_run_and_rerun_on_s3_and_its_requests_are_counted() {
    let (lake, _) = lake().await;
    let (epoch, view) = run_window(&lake, request(1), "clean bytes").await.unwrap();
    let ViewState::Current { key, .. } = view else { panic!("{view:?}") };
    assert_eq!(lake.get_bytes(&key).await.unwrap().as_ref(), b"clean bytes");
    assert_eq!(run_window(&lake, request(2), "clean bytes").await.unwrap().0, epoch);
    let traffic = lake.traffic();
    assert!(traffic.requests > 20 && traffic.bytes_in > 0 && traffic.bytes_out > 0, "{traffic:?}");
    assert_eq!((traffic.failed_requests, traffic.read_backs), (0, 0), "{traffic:?}");
    // A create of what is there already is no failure, and takes a read-back.
    let key = Key::parse("store/clean/flights/ledger/2013-01-01/00000000000000000009.claim.json").unwrap();
    for _ in 0..2 {
        assert!(matches!(lake.put_once(&key, &Bytes::from_static(b"{}")).await.unwrap(), PutOnce::Mine));
    }
    let traffic = lake.traffic();
    assert_eq!((traffic.failed_requests, traffic.read_backs), (0, 1), "{traffic:?}");
}

#[tokio::test]
async fn more_objects_than_a_page_holds_are_all_listed() {
    const FILES: usize = 2_345;
    let prefix = weed().new_prefix();
    let store = weed().client(BUCKET, Identity::Admin);
    let puts = (0..FILES).map(|number| {
        let path = Path::parse(format!("{prefix}/raw/flights/2013-01-01/{number:05}.csv")).unwrap();
        let store = store.clone();
        async move { store.put(&path, PutPayload::from_static(b"x")).await.unwrap() }
    });
    futures::stream::iter(puts).buffer_unordered(16).collect::<Vec<_>>().await;
    let lake = Lake::open_s3(&settings(weed().endpoint(), &prefix, Identity::ReadOnly)).await.unwrap();
    let before = lake.traffic().requests;
    let found = lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs;
    let expected: Vec<String> = (0..FILES).map(|number| format!("raw/flights/2013-01-01/{number:05}.csv")).collect();
    assert_eq!(found.into_iter().map(|input| input.key).collect::<Vec<_>>(), expected);
    let pages = lake.traffic().requests - before;
    println!("S3: {FILES} raw files listed in {pages} pages");
    assert!(pages >= 3, "{pages}");
}

#[tokio::test]
async fn odd_names_are_listed_and_readable_on_s3() {
    let names = ["a b.csv", "a%20b.csv", "a+b&c=d.csv", "naïve-日本.csv", "x#y.csv", "?.csv", "~[1]{2}^`\"'<>|.csv"];
    let prefix = weed().new_prefix();
    for name in names {
        put_behind(&prefix, &format!("raw/flights/2013-01-01/{name}"), Bytes::from_static(name.as_bytes())).await;
    }
    let lake = Lake::open_s3(&settings(weed().endpoint(), &prefix, Identity::ReadOnly)).await.unwrap();
    let found = lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs;
    assert_eq!(found.len(), names.len());
    for input in found {
        let bytes = lake.get_pinned(&input).await.unwrap();
        assert!(input.key.ends_with(std::str::from_utf8(&bytes).unwrap()), "{}", input.key);
    }
}

/// Creates an empty object whose key ends in a slash, as the console does for a folder; the client cannot say such a key.
async fn put_folder_marker(prefix: &str, folder: &str) {
    let (key_id, secret_key) = Identity::Admin.credentials();
    let credential = AwsCredential { key_id: key_id.into(), secret_key: secret_key.into(), token: None };
    let url = format!("{}/{BUCKET}/{prefix}/{folder}/", weed().endpoint());
    let mut request = http::Request::put(url).body(HttpRequestBody::empty()).unwrap();
    AwsAuthorizer::new(&credential, "s3", "us-east-1").authorize(&mut request, None);
    let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap();
    let answer = client.execute(request).await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

#[tokio::test]
async fn markers_of_folders_are_no_raw_files_and_empty_files_are() {
    let prefix = weed().new_prefix();
    let folder = "raw/flights/2013-01-01";
    put_behind(&prefix, RAW_KEY, Bytes::from_static(RAW_BYTES)).await;
    for name in ["empty.csv", "done_$folder$", "_hidden_$folder$", "_hidden.csv"] {
        put_behind(&prefix, &format!("{folder}/{name}"), Bytes::new()).await;
    }
    for name in ["", "/archive", "/_done"] {
        put_folder_marker(&prefix, &format!("{folder}{name}")).await;
    }
    let listed = weed().client(BUCKET, Identity::Admin).list(Some(&Path::from(format!("{prefix}/{folder}")))).count().await;
    assert!(listed >= 7, "the server lists no markers: {listed}");
    let lake = Lake::open_s3(&settings(weed().endpoint(), &prefix, Identity::ReadOnly)).await.unwrap();
    let found = lake.list_inputs("flights/2013-01-01/*").await.unwrap();
    let keys: Vec<&str> = found.inputs.iter().map(|input| input.key.as_str()).collect();
    assert_eq!(keys, [format!("{folder}/empty.csv").as_str(), RAW_KEY]);
    assert_eq!(found.hidden, [format!("{folder}/_hidden.csv")]);
    for input in &found.inputs {
        lake.get_pinned(input).await.unwrap();
    }
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts_once_and_is_whole() {
    let (lake, prefix) = lake().await;
    let table = open(&lake).await.unwrap();
    let claimed = table.claim(&request(1)).await.unwrap();
    let bytes: Bytes = (0..20_000_003_u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into();
    let before = lake.traffic();
    let entry = table.stage_part(&claimed, 0, bytes.clone(), 1, serde_json::Value::Null).await.unwrap();
    let requests = lake.traffic().requests - before.requests;
    assert_eq!(requests, 7, "look-up, start, three parts, end, look-up");
    assert_eq!(lake.get_bytes(&table.file_key(&entry)).await.unwrap(), bytes);
    let again = table.stage_part(&claimed, 0, bytes.clone(), 1, serde_json::Value::Null).await.unwrap();
    assert_eq!((again, lake.traffic().read_backs), (entry.clone(), 1));
    table.verify_staged(&claimed, std::slice::from_ref(&entry)).await.unwrap();
    // Another file under the name is neither overwritten nor taken for ours.
    put_behind(&prefix, &table.file_key(&entry), Bytes::from_static(b"vandal")).await;
    let error = table.stage_part(&claimed, 0, bytes, 1, serde_json::Value::Null).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert_eq!(lake.get_bytes(&table.file_key(&entry)).await.unwrap().as_ref(), b"vandal");
}

/// A lake with small parts, and the key of a published file of more than two of them.
async fn lake_with_large_file(bytes: &Bytes) -> (Lake, String, String) {
    let prefix = weed().new_prefix();
    let settings = settings(weed().endpoint(), &prefix, Identity::Admin);
    let lake = Lake::open_s3(&S3Settings { part_bytes: 5 * 1024 * 1024, ..settings }).await.unwrap();
    let table = open(&lake).await.unwrap();
    let claimed = table.claim(&request(1)).await.unwrap();
    publish(&table, &claimed, &[std::str::from_utf8(bytes).unwrap()]).await.unwrap();
    let key = table.require_head(&window()).await.unwrap().files.remove(0).key;
    (lake, prefix, key)
}

#[tokio::test]
async fn a_large_view_is_copied_by_the_server_and_read_in_ranges() {
    let bytes: Bytes = (0..12_000_000_u32).map(|i| b'a' + (i % 23) as u8).collect::<Vec<u8>>().into();
    let (lake, prefix, key) = lake_with_large_file(&bytes).await;
    let before = lake.traffic();
    let table = open(&lake).await.unwrap();
    let ViewState::Current { key: view, .. } = table.project_live(&window()).await.unwrap() else { panic!("no view") };
    let sent = lake.traffic().bytes_out - before.bytes_out;
    assert!(sent < 10_000, "the file does not go up again: {sent} bytes");
    for key in [&view, &key] {
        let before = lake.traffic();
        assert!(lake.get_bytes(key).await.unwrap() == bytes);
        let traffic = lake.traffic();
        assert_eq!((traffic.requests - before.requests, traffic.bytes_in - before.bytes_in), (3, 12_000_000), "three ranges");
    }
    put_behind(&prefix, "raw/empty", Bytes::new()).await;
    assert_eq!(lake.get_bytes("raw/empty").await.unwrap(), Bytes::new());
    assert_eq!(lake.get_bytes("raw/nothing").await.unwrap_err().kind(), ErrorKind::InputMissing);
    // Other bytes of the same size never get into the view.
    put_behind(&prefix, &view, Bytes::from_static(b"old")).await;
    put_behind(&prefix, &key, bytes.to_ascii_uppercase().into()).await;
    assert_eq!(table.project_live(&window()).await.unwrap_err().kind(), ErrorKind::CorruptInput);
    assert_eq!(lake.get_bytes(&view).await.unwrap().as_ref(), b"old");
}

#[tokio::test]
async fn a_large_object_that_is_replaced_while_it_is_read_is_of_one_version() {
    let old: Bytes = vec![b'o'; 12_000_000].into();
    let (lake, prefix, _) = lake_with_large_file(&old).await;
    let new: Bytes = vec![b'n'; 12_000_000].into();
    let mut store = None;
    let slow = lake.decorated(RetryPolicy::IMMEDIATE, |inner| {
        let faulty = FaultStore::new(inner);
        store = Some(faulty.clone());
        Arc::new(faulty)
    });
    let store = store.unwrap();
    for operation in [1, 2] {
        put_behind(&prefix, "raw/large", old.clone()).await;
        let gate = store.gate(operation);
        let replace = async {
            gate.reached.notified().await;
            put_behind(&prefix, "raw/large", new.clone()).await;
            gate.go.notify_one();
        };
        let (read, ()) = tokio::join!(slow.get_bytes("raw/large"), replace);
        assert!(read.unwrap() == new, "before range {operation}");
    }
}

async fn read_blocking(lake: &Lake, change: impl Future<Output = ()>, start: usize) -> Result<Vec<u8>, windrow_core::Error> {
    let input = lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs.remove(0);
    let mut change = Some(change);
    // Requests begin when a reader is opened.
    if start == 0 {
        change.take().unwrap().await;
    }
    let mut reader = lake.read_pinned(&input, &tokio::runtime::Handle::current());
    let begun = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; start];
        reader.read_exact(&mut bytes).map(|()| (reader, bytes))
    });
    let (mut reader, mut bytes) = begun.await.unwrap().map_err(error_from_read)?;
    if let Some(change) = change {
        change.await;
    }
    let rest = tokio::task::spawn_blocking(move || reader.read_to_end(&mut bytes).map(|_| bytes));
    rest.await.unwrap().map_err(error_from_read)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_read_is_of_the_listed_object_or_a_transient_error() {
    // Six chunks: more than are asked for ahead, so some are asked for after the change.
    let content: Bytes = (0..45_000_000_u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into();
    let prefix = weed().new_prefix();
    let lake = Lake::open_s3(&settings(weed().endpoint(), &prefix, Identity::ReadOnly)).await.unwrap();
    put_behind(&prefix, RAW_KEY, content.clone()).await;
    assert!(read_blocking(&lake, async {}, 0).await.unwrap() == content);
    let replaced = read_blocking(&lake, put_behind(&prefix, RAW_KEY, vec![b'x'; content.len()].into()), 1).await.unwrap_err();
    put_behind(&prefix, RAW_KEY, content.clone()).await;
    let shortened = read_blocking(&lake, put_behind(&prefix, RAW_KEY, Bytes::from_static(b"x")), 1).await.unwrap_err();
    put_behind(&prefix, RAW_KEY, content).await;
    let store = weed().client(BUCKET, Identity::Admin);
    let path = Path::parse(format!("{prefix}/{RAW_KEY}")).unwrap();
    let deleted = read_blocking(&lake, async { store.delete(&path).await.unwrap() }, 1).await.unwrap_err();
    for error in [replaced, shortened, deleted] {
        assert_eq!((error.kind(), error.message()), (ErrorKind::Transient, "raw file changed while it was read"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_objects_and_objects_uploaded_in_parts_are_read_pinned() {
    let prefix = weed().new_prefix();
    let store = weed().client(BUCKET, Identity::Admin);
    let path = Path::parse(format!("{prefix}/{RAW_KEY}")).unwrap();
    let mut upload = store.put_multipart(&path).await.unwrap();
    for part in [vec![b'a'; 6_000_000], vec![b'b'; 3_000_000]] {
        upload.put_part(part.into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    let lake = Lake::open_s3(&settings(weed().endpoint(), &prefix, Identity::ReadOnly)).await.unwrap();
    assert_eq!(read_blocking(&lake, async {}, 0).await.unwrap().len(), 9_000_000);
    put_behind(&prefix, RAW_KEY, Bytes::new()).await;
    assert_eq!(read_blocking(&lake, async {}, 0).await.unwrap(), b"");
    let gone = read_blocking(&lake, async { store.delete(&path).await.unwrap() }, 0).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Transient, "{gone}");
}

#[tokio::test]
async fn reading_needs_no_right_to_write_and_a_refused_write_is_access_denied() {
    let (admin, prefix) = lake().await;
    run_window(&admin, request(1), "clean bytes").await.unwrap();
    let reader = Lake::open_s3(&settings(weed().endpoint(), &prefix, Identity::ReadOnly)).await.unwrap();
    let table = reader.table(&"clean.flights".parse().unwrap()).await.unwrap().unwrap();
    let head = table.require_head(&window()).await.unwrap();
    table.verify_head(&head).await.unwrap();
    let error = run_window(&reader, request(2), "clean bytes").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
    assert!(error.help_text().unwrap().contains("s3:PutObject"), "{:?}", error.help_text());
}

#[tokio::test]
async fn a_lake_that_cannot_be_opened_says_why_and_what_to_do_without_any_secret() {
    let good = settings(weed().endpoint(), "a", Identity::Admin);
    let credential = |key_id: &str, token: Option<&str>| {
        let credential =
            AwsCredential { key_id: key_id.into(), secret_key: "marker-secret".into(), token: token.map(str::to_owned) };
        Arc::new(StaticCredentialProvider::new(credential))
    };
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let patience = S3Patience { retries: 2, ..good.patience };
    let cases = [
        (
            S3Settings { location: "s3://no-such-bucket/a".parse().unwrap(), ..good.clone() },
            ErrorKind::Misconfigured,
            "create it",
        ),
        (
            S3Settings { credentials: credential("nobody", Some("marker-token")), ..good.clone() },
            ErrorKind::AccessDenied,
            "access key",
        ),
        (S3Settings { credentials: credential("windrowadmin", None), ..good.clone() }, ErrorKind::AccessDenied, "secret key"),
        (S3Settings { endpoint: Some(format!("http://{unused}")), patience, ..good.clone() }, ErrorKind::Transient, ""),
        (S3Settings { endpoint: Some("http://minio:9000".into()), ..good.clone() }, ErrorKind::Misconfigured, "https"),
        (S3Settings { endpoint: Some("minio:9000".into()), ..good }, ErrorKind::Misconfigured, "https://host"),
    ];
    for (settings, kind, help) in cases {
        let error = Lake::open_s3(&settings).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.help_text().unwrap_or("").contains(help), "{error}: {:?}", error.help_text());
        for text in [error.to_string(), format!("{error:?}"), format!("{settings:?}")] {
            assert!(!text.contains("marker") && !text.contains("never-in-a-lake"), "{text}");
        }
    }
}

#[tokio::test]
async fn encryption_by_keys_of_the_store_is_asked_for_on_every_write() {
    let (_, prefix) = lake().await;
    let settings = S3Settings { encryption: S3Encryption::S3Managed, ..settings(weed().endpoint(), &prefix, Identity::Admin) };
    let lake = Lake::open_s3(&settings).await.unwrap();
    run_window(&lake, request(1), "clean bytes").await.unwrap();
}
