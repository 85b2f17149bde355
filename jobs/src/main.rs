//! The `windrow` command; everything else is in the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    windrow_jobs::cli::main()
}
