#!/usr/bin/env bash
# Builds the wheel of the Glue Python shell job: build.sh [--binary PATH] [--project DIR] [--out DIR]
#   without --binary: compiles windrow for glibc 2.17 with zig as the linker (pinned, in a virtual environment below target/)
#   --project DIR     windrow.toml, schemas/, quality/ and jobs/sql of your own project instead of this repository's
# The last line on stdout is the wheel's path. Needs Rust 1.95 or later, Python 3.9 or later with venv, objdump.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
triple=x86_64-unknown-linux-gnu
binary='' pack=()

while [ $# -gt 0 ]; do
  case $1 in
    --binary) binary=${2:?--binary needs a path} ;;
    --project | --out) pack+=("$1" "${2:?$1 needs a folder}") ;;
    *) sed -n '2,5s/^# //p' "$0" >&2; exit 64 ;;
  esac
  shift 2
done
command -v objdump >/dev/null || { echo "missing: objdump (apt install binutils)" >&2; exit 1; }

compile() {
  local venv=$target/zig-venv
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$root/glue/requirements.txt"
  (cd "$root" && PATH="$venv/bin:$PATH" CARGO_TARGET_DIR=$target \
    cargo zigbuild --locked --profile dist --target $triple.2.17 -p windrow-jobs --bin windrow) >&2
  binary=$target/$triple/dist/windrow
}

[ -n "$binary" ] || compile
python3 "$root/glue/pack.py" --binary "$binary" "${pack[@]}"
