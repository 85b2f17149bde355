//! Raw files with odd names, and raw files that change.

use std::io::Read;
use std::path::Path;

use windrow_core::ErrorKind;
use windrow_lake::{Lake, error_from_read};

fn local_lake(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join("raw/flights/2013-01-01").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let lake = Lake::open_local(folder.path()).unwrap();
    (folder, lake)
}

fn raw(folder: &Path, name: &str) -> std::path::PathBuf {
    folder.join("raw/flights/2013-01-01").join(name)
}

#[tokio::test]
async fn odd_names_are_listed_sorted_and_readable() {
    let names = ["a b.csv", "a%20b.csv", "a+b&c=d.csv", "naïve-日本.csv", "x#y.csv", "~[1]{2}^`\"'<>|\\.csv", "?.csv"];
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, name.as_bytes())).collect();
    let (_folder, lake) = local_lake(&files);
    let found = lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap();
    let mut expected: Vec<String> = names.iter().map(|name| format!("raw/flights/2013-01-01/{name}")).collect();
    expected.sort();
    assert_eq!(found.inputs.iter().map(|input| input.key.clone()).collect::<Vec<_>>(), expected);
    for input in &found.inputs {
        let bytes = lake.get_pinned(input).await.unwrap();
        assert!(input.key.ends_with(std::str::from_utf8(&bytes).unwrap()), "{}", input.key);
    }
}

#[tokio::test]
async fn hidden_files_are_skipped_and_named_and_other_folders_ignored() {
    let (_folder, lake) = local_lake(&[("a.csv", b""), ("_a.csv", b""), (".a.csv", b""), ("a.txt", b""), ("sub/a.csv", b"")]);
    let found = lake.list_inputs("flights/*/*.csv").await.unwrap();
    assert_eq!((found.inputs.len(), found.hidden.len()), (1, 2));
    assert_eq!(lake.list_inputs("flights/2013-01-02/*.csv").await.unwrap().inputs, []);
}

#[cfg(unix)]
#[tokio::test]
async fn files_the_store_would_hide_are_refused_and_links_are_followed() {
    let (folder, lake) = local_lake(&[("a.csv", b"a")]);
    std::os::unix::fs::symlink(raw(folder.path(), "a.csv"), raw(folder.path(), "b.csv")).unwrap();
    assert_eq!(lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs.len(), 2);
    for name in ["c.csv#1", "line\nbreak.csv"] {
        std::fs::write(raw(folder.path(), name), "c").unwrap();
        let error = lake.list_inputs("flights/2013-01-01/*.csv*").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        std::fs::remove_file(raw(folder.path(), name)).unwrap();
    }
    std::os::unix::fs::symlink("nowhere.csv", raw(folder.path(), "d.csv")).unwrap();
    let error = lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap_err();
    assert!(error.to_string().contains("link to nothing"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pinned_reader_yields_every_byte_over_several_requests() {
    let content: Vec<u8> = (0..20_000_003_u32).map(|i| (i % 251) as u8).collect();
    let (_folder, lake) = local_lake(&[("big.csv", &content), ("empty.csv", b"")]);
    let found = lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    for input in found.inputs {
        let mut reader = lake.read_pinned(&input, &runtime);
        let bytes = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        let bytes = tokio::task::spawn_blocking(|| bytes.join().unwrap().unwrap()).await.unwrap();
        let expected = if input.size == 0 { &[] } else { content.as_slice() };
        assert!(bytes == expected, "{}", input.key);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_file_that_changes_while_it_is_read_is_a_transient_error() {
    let content = vec![b'a'; 20_000_000];
    for (name, start) in [("before.csv", 0_usize), ("during.csv", 1), ("gone.csv", 1)] {
        let (folder, lake) = local_lake(&[(name, &content)]);
        let input = lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs.remove(0);
        let mut reader = lake.read_pinned(&input, &tokio::runtime::Handle::current());
        let path = raw(folder.path(), name);
        let result = tokio::task::spawn_blocking(move || {
            let mut head = vec![0; start];
            reader.read_exact(&mut head).unwrap();
            if name == "gone.csv" {
                std::fs::remove_file(path).unwrap()
            } else {
                std::fs::write(path, vec![b'b'; 20_000_001]).unwrap()
            }
            let failed = reader.read_to_end(&mut head);
            assert!(reader.read_to_end(&mut head).is_err(), "no reading on behind a gap");
            failed
        });
        let error = error_from_read(result.await.unwrap().unwrap_err());
        assert_eq!((error.kind(), error.message()), (ErrorKind::Transient, "raw file changed while it was read"), "{name}");
    }
}
