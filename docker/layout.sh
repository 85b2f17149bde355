#!/bin/sh
# Lays out what the image takes from its build stage: layout.sh BINARIES OUT BIN
#   BINARIES  the folder cargo built into
#   OUT       the folder that becomes the image's root
#   BIN       the one binary to ship, or `all`
set -eu
binaries=$1 out=$2 bin=$3
certificates=/etc/ssl/certs/ca-certificates.crt

if [ "$bin" = all ]; then
  ship="windrow orders_raw_to_clean orders_clean_to_curated" bin=windrow
else
  ship=$bin
fi
mkdir -p "$out/usr/local/bin" "$out/etc/ssl/certs" "$out/tmp"
chmod 1777 "$out/tmp"
for name in $ship; do
  install -m 0755 "$binaries/$name" "$out/usr/local/bin/$name"
done
ln -s "$bin" "$out/usr/local/bin/job"
# TLS needs them, and not every base has them.
install -m 0644 "$certificates" "$out$certificates"
