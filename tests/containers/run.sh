#!/usr/bin/env bash
# The image and the state machine in real containers: tests/containers/run.sh [BINARIES]; builds the binaries without the argument.
# Needs root (cgroups, overlay mounts), Debian 12 for the packages, and what tests/run.sh installs.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { echo "tests/containers: $1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail 'must run as root: memory limits and overlay mounts need it'
packages=(podman=4.3.1+* buildah=1.28.2+* runc=1.1.5+* conmon=2.1.6+* netavark=1.4.0-* aardvark-dns=1.4.0-* fuse-overlayfs=1.10-*)
missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat '${db:Status-Status}' "${package%%=*}" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update --quiet=2 || fail 'apt-get update failed'
  DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" ||
    fail "cannot install ${missing[*]}: these are the versions of Debian 12"
fi

target=${CARGO_TARGET_DIR:-target}
venv=$target/test-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
if [ $# -eq 0 ]; then
  cargo build --release --locked -p windrow-jobs
  set -- "$target/release"
fi
exec "$venv/bin/python" tests/containers/test.py "$1"
