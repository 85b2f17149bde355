#!/usr/bin/env bash
# Runs the tests of the vector instructions under valgrind, which sees what no sanitizer of the stable toolchain does: bytes that are
# read before they were written. The code around the instructions is safe; that of `pulp`, which has them, is run by these tests too.
# Needs root and apt where valgrind is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v valgrind >/dev/null ||
  { apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends valgrind; } ||
  { echo 'lib/engine/memcheck.sh: cannot install valgrind' >&2; exit 1; }
binary=$(cargo test --locked --quiet -p windrow-engine --lib --no-run --message-format=json |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
PROPTEST_CASES=${PROPTEST_CASES:-16} valgrind --quiet --error-exitcode=9 "$binary" simd
