//! The `windrow` command; everything else is in the library.

fn main() -> std::process::ExitCode {
    windrow_jobs::cli::main()
}
