#!/usr/bin/env bash
# run.sh WINDROW TPCHGEN FOLDER [SCALE] [FLAG …]: the worked example of docs/sizing.md. Makes a window of TPC-H lineitem (200 CSV
# files) in FOLDER unless it is there, and sizes raw-to-clean of it. Flags go to `windrow sizing`. Needs control groups: root.
set -euo pipefail
windrow=$(realpath "$1") tpchgen=$(realpath "$2") folder=$3 scale=${4:-1}
shift $(($# < 4 ? $# : 4))
here=$(cd "$(dirname "$0")" && pwd)
window=2024-01-01
raw=$folder/lake/raw/lineitem/$window
if [ ! -d "$raw" ]; then
  mkdir -p "$folder"
  cp -r "$here"/../../tests/money/. "$folder"
  "$tpchgen" csv -s "$scale" --tables=lineitem --parts=200 --output-dir "$folder/generated" >/dev/null
  mkdir -p "$(dirname "$raw")"
  mv "$folder/generated/lineitem" "$raw"
  rmdir "$folder/generated"
fi
exec "$windrow" sizing --project "$folder" --dataset lineitem --window "$window" --stages raw-to-clean \
  --workers 0.5x1,0.5x2,1x2,2x4,4x8,8x16,16x32 --svg "$folder/sizing.svg" "$@"
