#!/usr/bin/env bash
# Runs the tests of the vector instructions of ARM under an emulator: lib/engine/arm/run.sh [all]; `all` runs every test of the engine.
# Needs root and Debian 12 for the packages. The compiler is Debian's, because rustup's standard library is for this machine only; it
# is unpacked into the target folder and not installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
fail() { echo "lib/engine/arm: $1" >&2; exit 1; }
folder=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")/arm
tools=$folder/tools
packages=(rustc-web libstd-rust-web-dev libstd-rust-web-1.96 libllvm22 libstd-rust-web-dev:arm64)

missing=()
for package in qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross; do
  dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update --quiet=2 || fail 'apt-get update failed'
  DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" || fail "cannot install ${missing[*]}"
fi

if [ ! -x "$tools/usr/bin/rustc" ]; then
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/packages"
  apt=(apt-get --quiet=2 -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root
    -o APT::Architectures::=amd64 -o APT::Architectures::=arm64)
  "${apt[@]}" update || fail 'apt-get update for two architectures failed'
  (cd "$folder/packages" && "${apt[@]}" download "${packages[@]}") || fail "cannot fetch ${packages[*]}"
  rm -rf "$tools.new"
  for package in "$folder"/packages/*.deb; do dpkg-deb --extract "$package" "$tools.new"; done
  mv "$tools.new" "$tools"
  rm -rf "$folder/lists" "$folder/cache" "$folder/packages"
fi

cat > "$folder/rustc" <<END
#!/bin/sh
LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu:$tools/usr/lib exec $tools/usr/bin/rustc "\$@"
END
chmod +x "$folder/rustc"
export RUSTC=$folder/rustc CARGO_TARGET_DIR=$folder/target CARGO_INCREMENTAL=0
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64 -L /usr/aarch64-linux-gnu'
case ${1:-} in
  '') cd "$here" && cargo test --locked --quiet --lib --target aarch64-unknown-linux-gnu ;;
  all) cd "$root" && cargo test --locked --quiet -p windrow-engine --lib --target aarch64-unknown-linux-gnu ;;
  *) fail 'usage: lib/engine/arm/run.sh [all]' ;;
esac
