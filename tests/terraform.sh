#!/usr/bin/env bash
# Tests infra/ without an account or a network: format, validate, assertions on mocked plans, checkov, and that defects are found.
# usage: tests/terraform.sh VENV_BIN
# Needs terraform 1.7 or later, and a folder that holds the provider (registry.terraform.io/hashicorp/aws):
# WINDROW_TF_PLUGINS names it, else the usual places are searched.
set -euo pipefail
cd "$(dirname "$0")/.."
venv_bin=$(cd "${1:?usage: tests/terraform.sh VENV_BIN}" && pwd)
provider=registry.terraform.io/hashicorp/aws
export TF_CLI_CONFIG_FILE=/dev/null CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 AWS_EC2_METADATA_DISABLED=true

command -v terraform >/dev/null || { echo 'missing: terraform 1.7 or later (install it from HashiCorp)' >&2; exit 1; }

places=("${HOME:-/root}/.terraform.d" /usr/share /usr/local/share /usr/lib /usr/local/lib /opt)
[ -z "${WINDROW_TF_PLUGINS:-}" ] || places=("$WINDROW_TF_PLUGINS")
find_plugins() {
  local place found
  for place in "${places[@]}"; do
    found=$(find -L "$place" -maxdepth 6 -type d -path "*/$provider" -print -quit 2>/dev/null || true)
    [ -z "$found" ] || { echo "${found%/"$provider"}"; return; }
  done
  {
    echo "missing: the AWS provider of Terraform; no folder $provider in: ${places[*]}"
    echo "  where there is a network: terraform -chdir=infra providers mirror DIR, then WINDROW_TF_PLUGINS=DIR"
  } >&2
  return 1
}
plugins=$(find_plugins)

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
defects=$PWD/tests/terraform_defects.py
tar -c --exclude=.terraform --exclude=.terraform.lock.hcl infra orchestrations | tar -x -C "$copy"
cd "$copy/infra"

terraform fmt -check -recursive -diff
terraform init -plugin-dir="$plugins" -input=false -backend=false -no-color >init.log || { cat init.log >&2; exit 1; }
terraform validate -no-color >validate.log || { cat validate.log >&2; exit 1; }
terraform test -no-color >test.log 2>&1 || { cat test.log >&2; exit 1; }
runs=$(sed -n 's/^Success! \([0-9]*\) passed, 0 failed.*/\1/p' test.log)
[ "${runs:-0}" -gt 0 ] || { echo 'terraform test ran nothing' >&2; cat test.log >&2; exit 1; }
assertions=$(cat tests/*.tftest.hcl | grep -c '^ *assert {')
echo "terraform: $(find . -name '*.tf' -not -path './.terraform/*' | wc -l) files valid, $runs test runs with $assertions assertions passed"

# It exits with 1 when a check fails, and with 0 when it could read nothing.
"$venv_bin/checkov" --config-file .checkov.yaml --directory . --output json >checkov.json 2>checkov.log || failed=1
"$venv_bin/python" - "${failed:-0}" <<'PYTHON'
import json, sys
report = json.load(open("checkov.json", encoding="utf-8"))
total = report["summary"]
for check in report["results"]["failed_checks"]:
    print(f"{check['file_path']}: {check['check_id']} {check['resource']}: {check['check_name']}", file=sys.stderr)
print(f"checkov: {total['passed']} checks passed, {total['failed']} failed, {total['parsing_errors']} files unread")
sys.exit(int(sys.argv[1]) or total["failed"] or total["parsing_errors"] or total["passed"] < 100)
PYTHON

"$venv_bin/python" "$defects" "$copy"
