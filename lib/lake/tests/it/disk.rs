//! Disks that are full, read-only, forbidden or torn in two: a typed error with a remedy, the head as it was, nothing
//! half-visible, and the same run succeeds when the disk is well again.
//!
//! Each test runs itself once more in a mount namespace of its own, where it may mount what it likes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use windrow_core::{Error, ErrorKind, Result};
use windrow_lake::{ClaimRequest, Lake, RetryPolicy};

use crate::ledger_model::{Ledger, Objects};
use crate::support::{RAW_BYTES, RAW_KEY, request, run_window, window};

/// Names the folder of the test that runs inside a namespace.
const INSIDE: &str = "WINDROW_TEST_DISK";

const VIEW: &str = "clean/flights/day=2013-01-01/part-00000.parquet";

/// Runs this test's body inside a namespace, on a small file system at `$1`. `prepare` is a shell command between the
/// mount and the body, which is what `"$@"` runs.
fn inside(name: &str, prepare: &str, body: impl AsyncFnOnce(PathBuf)) {
    #[expect(clippy::disallowed_methods, reason = "the way from the test to itself in a namespace")]
    if let Some(folder) = std::env::var_os(INSIDE) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(body(folder.into()));
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size=1m,mode=755 windrow \"$0\" && {{ {prepare}; }}");
    let arguments = ["sh", "-c", &script, folder.path().to_str().unwrap(), std::env::current_exe().unwrap().to_str().unwrap()]
        .map(str::to_owned);
    let own = ["--exact".to_owned(), format!("disk::{name}"), "--nocapture".to_owned()];
    let mut command = Command::new("unshare");
    command.args(namespace()).args(arguments).args(own).env(INSIDE, folder.path());
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "inside the namespace:\n{stdout}\n{stderr}");
    print!("{stdout}");
}

/// How a namespace with mounts of its own is made here: as an ordinary user, or as root where users have none.
fn namespace() -> &'static [&'static str] {
    const WAYS: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
    let works = |way: &&&[&str]| {
        let mut probe = Command::new("unshare");
        probe.args(**way).args(["sh", "-c", "mount -t tmpfs windrow /mnt"]);
        probe.output().is_ok_and(|output| output.status.success())
    };
    WAYS.iter().find(works).unwrap_or_else(|| {
        panic!(
            "these tests need a mount namespace: `unshare --user --map-root-user --mount` (util-linux, and user namespaces \
             allowed: sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), or root \
             with CAP_SYS_ADMIN"
        )
    })
}

/// A folder with a lake whose window has a head, and the request that replaces it.
async fn lake_with_head(folder: &Path) -> Lake {
    let raw = folder.join("lake").join(RAW_KEY);
    std::fs::create_dir_all(raw.parent().unwrap()).unwrap();
    std::fs::write(raw, RAW_BYTES).unwrap();
    let lake = Lake::open_local(&folder.join("lake")).unwrap();
    run_window(&lake, request(1), "old").await.unwrap();
    lake
}

/// A new process replaces the head.
async fn replace(folder: &Path, number: u32) -> Result<()> {
    // Nothing gets better within a run, so it need not wait.
    let lake = Lake::open_local(&folder.join("lake"))?.decorated(RetryPolicy::IMMEDIATE, |store| store);
    let request = ClaimRequest { config_sha256: "e".repeat(64), ..request(number) };
    run_window(&lake, request, &"new".repeat(3_000)).await.map(|_| ())
}

fn objects(folder: &Path) -> Objects {
    let root = folder.join("lake");
    let files = crate::support::files_below(&root).into_iter();
    // A file on its way is in store/tmp, whole or not.
    let lasting = files.filter(|key| !key.starts_with("store/tmp/"));
    lasting.map(|key| (key.clone(), std::fs::read(root.join(&key)).unwrap().into())).collect()
}

/// The error says what to do, and everything that is visible is whole: the old head with its view, or, when it was the
/// view that could not be set, the new head with the old view.
fn assert_sound(error: &Error, kind: ErrorKind, remedy: &str, folder: &Path, before: &Objects) {
    assert_eq!(error.kind(), kind, "{error}");
    let told = error.help_text().unwrap_or(error.kind().next_step());
    assert!(told.contains(remedy), "{told} ({error})");
    let objects = objects(folder);
    let ledger = Ledger::read(&objects, "disk");
    ledger.assert_follows(&Ledger::read(before, "disk"), "disk");
    let head = String::from_utf8(ledger.head(&window()).unwrap().content).unwrap();
    let expected = if error.message().contains("the view") { "new".repeat(3_000) } else { "old".to_owned() };
    assert_eq!(head, expected, "{error}");
    assert_eq!(objects[VIEW], "old", "{error}");
}

fn assert_replaced(folder: &Path) {
    let objects = objects(folder);
    let ledger = Ledger::read(&objects, "disk");
    assert_eq!(ledger.head(&window()).unwrap().content, "new".repeat(3_000).as_bytes());
    assert_eq!(objects[VIEW], "new".repeat(3_000).as_bytes());
}

fn mount(arguments: &[&str], folder: &Path) {
    assert!(Command::new("mount").args(arguments).arg(folder).status().unwrap().success());
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_full_disk_stops_a_run_at_every_page_and_the_same_run_succeeds_later() {
    let name = "a_full_disk_stops_a_run_at_every_page_and_the_same_run_succeeds_later";
    inside(name, r#""$@""#, async |folder| {
        let filler = |number: usize| folder.join(format!("filler-{number}"));
        let mut free_pages = 0;
        loop {
            lake_with_head(&folder).await;
            let before = objects(&folder);
            let full = (0..).find(|number| std::fs::write(filler(*number), [b'x'; 4096]).is_err()).unwrap();
            // The last file is cut short, so it takes no page.
            (0..=full).rev().take(free_pages + 1).for_each(|number| std::fs::remove_file(filler(number)).unwrap());
            let replaced = replace(&folder, 2).await;
            (0..full - free_pages).for_each(|number| std::fs::remove_file(filler(number)).unwrap());
            if let Err(error) = &replaced {
                assert_sound(error, ErrorKind::Transient, "free space", &folder, &before);
                replace(&folder, 3).await.unwrap();
            }
            assert_replaced(&folder);
            std::fs::remove_dir_all(folder.join("lake")).unwrap();
            if replaced.is_ok() {
                break;
            }
            free_pages += 1;
        }
        println!("a full disk stopped runs that had 0 to {} pages left", free_pages - 1);
        assert!(free_pages > 5, "a run needs {free_pages} pages only");
    });
}

#[test]
fn a_read_only_disk_is_told_and_still_read() {
    inside("a_read_only_disk_is_told_and_still_read", r#""$@""#, async |folder| {
        let lake = lake_with_head(&folder).await;
        let before = objects(&folder);
        mount(&["-o", "remount,ro"], &folder);
        let error = replace(&folder, 2).await.unwrap_err();
        assert_sound(&error, ErrorKind::AccessDenied, "read-only", &folder, &before);
        let table = lake.table(&"clean.flights".parse().unwrap()).await.unwrap().unwrap();
        table.verify_head(&table.require_head(&window()).await.unwrap()).await.unwrap();
        mount(&["-o", "remount,rw"], &folder);
        replace(&folder, 3).await.unwrap();
        assert_replaced(&folder);
    });
}

/// The body runs without capabilities, so that permissions hold for root too.
#[test]
fn missing_permissions_stop_a_run_wherever_they_are_missing() {
    let name = "missing_permissions_stop_a_run_wherever_they_are_missing";
    let powerless = r#"exec setpriv --bounding-set=-all --inh-caps=-all "$@""#;
    inside(name, powerless, async |folder| {
        lake_with_head(&folder).await;
        let before = objects(&folder);
        let lake = folder.join("lake");
        let mut number = 2;
        for closed in ["store/tmp/create", "store/clean/flights/ledger/2013-01-01", "store/clean/flights/data/day=2013-01-01"] {
            set_mode(&lake.join(closed), 0o555);
            let error = replace(&folder, number).await.unwrap_err();
            set_mode(&lake.join(closed), 0o755);
            assert_sound(&error, ErrorKind::AccessDenied, "permissions", &folder, &before);
            number += 1;
        }
        for unreadable in [RAW_KEY, "store/clean/flights/format.json"] {
            set_mode(&lake.join(unreadable), 0o000);
            let error = replace(&folder, number).await.unwrap_err();
            set_mode(&lake.join(unreadable), 0o644);
            assert_sound(&error, ErrorKind::AccessDenied, "permissions", &folder, &before);
            number += 1;
        }
        replace(&folder, number).await.unwrap();
        assert_replaced(&folder);
    });
}

/// A view that may not be replaced leaves the window published and its old view whole.
#[test]
fn a_view_that_may_not_be_replaced_stays_old_until_it_may() {
    let name = "a_view_that_may_not_be_replaced_stays_old_until_it_may";
    let powerless = r#"exec setpriv --bounding-set=-all --inh-caps=-all "$@""#;
    inside(name, powerless, async |folder| {
        lake_with_head(&folder).await;
        let before = objects(&folder);
        let views = folder.join("lake/clean/flights/day=2013-01-01");
        set_mode(&views, 0o555);
        let error = replace(&folder, 2).await.unwrap_err();
        set_mode(&views, 0o755);
        assert!(error.message().contains("the view"), "{error}");
        assert_sound(&error, ErrorKind::AccessDenied, "permissions", &folder, &before);
        replace(&folder, 3).await.unwrap();
        assert_replaced(&folder);
    });
}

/// Temporary files on a file system of their own cannot be linked into place.
#[test]
fn a_lake_torn_over_two_file_systems_is_refused() {
    inside("a_lake_torn_over_two_file_systems_is_refused", r#""$@""#, async |folder| {
        lake_with_head(&folder).await;
        let before = objects(&folder);
        let torn = folder.join("lake/store/tmp");
        mount(&["-t", "tmpfs", "windrow"], &torn);
        let error = replace(&folder, 2).await.unwrap_err();
        assert_sound(&error, ErrorKind::Misconfigured, "one file system", &folder, &before);
        assert!(Command::new("umount").arg(&torn).status().unwrap().success());
        replace(&folder, 3).await.unwrap();
        assert_replaced(&folder);
    });
}
