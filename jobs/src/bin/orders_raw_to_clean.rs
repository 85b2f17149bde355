//! `windrow raw-to-clean --dataset orders` as a job of its own, with the same flags.

fn main() -> std::process::ExitCode {
    windrow_jobs::cli::job("raw-to-clean", "orders")
}
