#!/usr/bin/env bash
# Fuzzes the structural index for so many seconds (default 60), under the address sanitizer: lib/engine/fuzz/run.sh [SECONDS]
# Works with a stable toolchain: the sanitizer's runtime comes with it, RUSTC_BOOTSTRAP lets its flags through.
set -euo pipefail
seconds=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$here/../../../target}")/fuzz
cd "$here"
host=$(rustc -vV | sed -n 's/^host: //p')
coverage='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares'
RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Ccodegen-units=1 $(echo $coverage)" \
  cargo build --locked --quiet --release --target "$host" --target-dir "$target"
mkdir -p "$target/corpus" "$target/found"
"$target/$host/release/windrow-engine-fuzz" "$target/corpus" -max_total_time="$seconds" -max_len=4096 -artifact_prefix="$target/found/" \
  -print_final_stats=1 -verbosity=0
