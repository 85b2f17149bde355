#!/usr/bin/env bash
# Proves the layering: core pulls no engine, store or cloud crate; lake and engine pull no polars; only transform knows polars.
set -euo pipefail
cd "$(dirname "$0")/.."

tree() { cargo tree --locked --offline --quiet --edges normal --prefix none --package "$1" | cut -d' ' -f1 | sort -u; }
refuse() { # PACKAGE PATTERN
  local found
  found=$(tree "$1" | grep -E "$2" || true)
  [ -z "$found" ] || { echo "purity: $1 must not depend on: $(echo "$found" | tr '\n' ' ')" >&2; exit 1; }
  echo "purity: $1 is free of $2"
}

refuse windrow-core '^(polars|arrow|parquet|object_store|aws-|tokio|rayon)'
refuse windrow-lake '^(polars|arrow|parquet|aws-)'
refuse windrow-engine '^(polars|object_store|aws-|tokio$)'
refuse windrow-aws '^(polars|arrow|parquet)'

direct=$(grep -lE '^(polars|polars-[a-z]+)(\.workspace)? *=' lib/*/Cargo.toml jobs/Cargo.toml || true)
[ "$direct" = lib/transform/Cargo.toml ] || { echo "purity: polars enters through: $direct" >&2; exit 1; }
echo "purity: polars enters only through lib/transform"

for crate in object_store arrow-array rustls; do
  versions=$(grep -cE "^name = \"$crate\"$" Cargo.lock || true)
  [ "$versions" -le 1 ] || { echo "purity: $versions versions of $crate in Cargo.lock" >&2; exit 1; }
done
echo "purity: one version each of object_store, arrow and rustls"
