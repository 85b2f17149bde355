//! Tells the program which commit it is, so that a window computed by other code is computed again.
//!
//! `WINDROW_GIT` in the environment comes first (image builds have no repository); without either, the version alone counts.

#![expect(clippy::disallowed_methods, reason = "a build script reads its environment itself")]

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}

fn main() {
    for path in ["../.git/HEAD", "../.git/logs/HEAD", "../lib", "src", "../Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed=WINDROW_GIT");
    let given = std::env::var("WINDROW_GIT").ok().filter(|text| !text.is_empty());
    let commit = given.or_else(|| {
        let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
        let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", "../lib", "../Cargo.lock"])?;
        Some(if changed.is_empty() { commit } else { format!("{commit}-changed") })
    });
    if let Some(commit) = commit {
        println!("cargo:rustc-env=WINDROW_GIT={commit}");
    }
}
