//! `windrow clean-to-curated --dataset orders` as a job of its own, with the same flags.

fn main() -> std::process::ExitCode {
    windrow_jobs::cli::job("clean-to-curated", "orders")
}
