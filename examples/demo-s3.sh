#!/bin/sh
# Runs the example pipelines on an S3 lake: demo-s3.sh [WINDROW]. The server and keys are those of compose.yaml unless the
# environment names others; the raw files are in the bucket already.
set -eu
cd "$(dirname "$0")/.."

export AWS_ENDPOINT_URL_S3="${AWS_ENDPOINT_URL_S3:-http://127.0.0.1:9000}"
export AWS_ACCESS_KEY_ID="${AWS_ACCESS_KEY_ID:-minioadmin}"
export AWS_SECRET_ACCESS_KEY="${AWS_SECRET_ACCESS_KEY:-minioadmin}"
export AWS_REGION="${AWS_REGION:-us-east-1}"
export WINDROW_LAKE="${WINDROW_LAKE:-s3://windrow-demo/lake}"

windrow() {
  if [ -n "${program:-}" ]; then "$program" "$@"; else cargo run --locked --quiet -- "$@"; fi
}
program=${1:-}

windrow run --dataset flights --from 2013-01-01 --to 2013-01-08
windrow run --dataset orders --from 2019-03-09 --to 2019-03-16
windrow run --dataset store_revenue --from 2019-03-09 --to 2019-03-16
windrow status
