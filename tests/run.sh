#!/usr/bin/env bash
# Installs what the tests need, pinned, and runs every test; fails, never skips, when something is missing.
# What runs whole commands takes the dev binary, which spares a second build of all dependencies and checks arithmetic.
# --long runs 100,000 schedules of the simulation, storms of 5,000 kills on local disk and 500 on the S3 server (hours), and
# those commands with the release binary.
# Needs: a Rust toolchain (rustup) with rustfmt and clippy, a C and a C++ compiler, make, Python 3.9+ with venv, a Python 3.9 exactly, objdump,
# Node.js with npm, terraform 1.7+ with the AWS provider in a folder (tests/terraform.sh says where); for the containers and
# the emulator root and Debian 12.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  '') profile=debug ;;
  --long)
    profile=release
    export WINDROW_SIM_SCHEDULES=${WINDROW_SIM_SCHEDULES:-100000} WINDROW_KILLS=${WINDROW_KILLS:-5000}
    ;;
  *) echo "usage: tests/run.sh [--long]" >&2; exit 64 ;;
esac

started=$SECONDS
step() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); shift; "$@"; }
need() { command -v "$1" >/dev/null || { echo "missing: $1 ($2)" >&2; exit 1; }; }

# A build from nothing uses no incremental state, which would take some gigabytes of disk.
if [ -n "${CI:-}" ]; then
  export CARGO_INCREMENTAL=0
fi
mkdir -p "${CARGO_TARGET_DIR:-target}"
free_gib=$(($(df --output=avail -k "${CARGO_TARGET_DIR:-target}" | tail -n 1) / 1048576))
[ -d "${CARGO_TARGET_DIR:-target}/debug/deps" ] || [ "$free_gib" -ge 8 ] ||
  { echo "missing: disk, $free_gib GiB are free and a build from nothing with its tests takes about 8 to 12" >&2; exit 1; }

need cargo 'install Rust with rustup'
need cc 'install a C compiler'
need make 'install make'
need c++ 'install a C++ compiler, for the fuzzer'
need python3 'install Python 3.9 or later'
need objdump 'install binutils'
need npm 'install Node.js 18 or later'
need terraform 'install Terraform 1.7 or later'

venv=${CARGO_TARGET_DIR:-target}/test-venv
install_into() {
  [ -x "$1/bin/python" ] || python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
}
install_readers() {
  install_into "$venv" tests/requirements.txt
  install_into "$venv-checkov" tests/requirements-checkov.txt
}

npm_folder=${CARGO_TARGET_DIR:-target}/test-npm
asl_validator=$npm_folder/node_modules/.bin/asl-validator
install_asl_validator() {
  npm install --silent --no-audit --no-fund --no-package-lock --prefix "$npm_folder" asl-validator@4.0.0
}

step 'install the readers and linters' install_readers
step 'install the validator of state machines' install_asl_validator
step 'state machines: lint' "$venv/bin/python" tests/asl.py "$asl_validator"
step 'state machines: the lint finds every seeded defect' "$venv/bin/python" tests/asl_defects.py "$asl_validator"
step 'fetch crates' cargo fetch --locked --target "$(rustc -vV | sed -n 's/^host: //p')"
step 'format' cargo fmt --all --check
step 'purity' bash tests/purity.sh
step 'clippy' cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
step 'documentation' env RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --quiet
step 'unit and integration tests' cargo test --locked --workspace
step 'the test that needs 2.5 GiB' cargo test --locked --workspace --lib -- --ignored
step 'the simulation finds every seeded defect of the ledger' "$venv/bin/python" tests/defects.py
if [ "$profile" = release ]; then
  step 'release build' cargo build --release --locked -p windrow-jobs
fi
binaries=${CARGO_TARGET_DIR:-target}/$profile windrow=${CARGO_TARGET_DIR:-target}/$profile/windrow
step 'fuzz the vector instructions (20 s, address sanitizer)' bash lib/engine/fuzz/run.sh 20
step 'the vector instructions under valgrind' bash lib/engine/memcheck.sh
step 'the vector instructions of ARM (emulated)' bash lib/engine/arm/run.sh
step 'contracts of this repository' "$windrow" contract lint --project .
step 'contracts against the standard' "$venv/bin/python" tests/odcs.py schemas
step 'readers agree (pyarrow, duckdb, polars)' "$venv/bin/python" tests/readers.py "$windrow"
step 'the examples on an S3 server (pyarrow, polars, duckdb)' "$venv/bin/python" tests/demo_s3.py "$windrow"
step 'metrics and lineage against their specifications' "$venv/bin/python" tests/lineage/validate.py "$windrow"
step 'money is exact (TPC-H lineitem, scale 0.1)' "$venv/bin/python" tests/money.py "$windrow" "$venv/bin/tpchgen-cli"
step 'state machines end to end' "$venv/bin/python" tests/local_aws/scenarios.py "$windrow"
step 'peers agree (duckdb, polars), and the comparison finds planted defects' \
  "$venv/bin/python" benches/peers/run.py --smoke --windrow "$windrow"
step 'Terraform' bash tests/terraform.sh "$venv-checkov/bin"
step 'Dockerfile' "$venv/bin/hadolint" Dockerfile
step 'the Glue job (Python 3.9, SeaweedFS)' "$venv/bin/python" tests/glue.py "$windrow"
step 'containers (buildah, podman, ministack)' bash tests/containers/run.sh "$binaries"
printf '\nAll tests passed in %d s.\n' $((SECONDS - started))
