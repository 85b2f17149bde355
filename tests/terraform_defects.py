"""Puts one defect after the other into a copy of infra/, and demands that Terraform's checks notice it for the right reason.

usage: terraform_defects.py DIR      DIR holds orchestrations/ and an initialised infra/ (tests/terraform.sh makes it)
"""
import concurrent.futures
import dataclasses
import pathlib
import shutil
import subprocess
import sys
import tempfile


@dataclasses.dataclass(frozen=True)
class Defect:
    """One edit, the command that must fail, and words that its output must hold."""

    name: str
    file: str
    before: str
    after: str
    command: tuple
    words: str


def tested_by(file):
    return ("test", f"-filter=tests/{file}.tftest.hcl")


DEFECTS = (
    Defect(
        "a job that may delete what is stored",
        "infra/iam.tf",
        'read   = ["store/*"]\n      write  = [local.format, "store/*/ledger/*.check.json"]\n      delete = []',
        'read   = ["store/*"]\n      write  = [local.format, "store/*/ledger/*.check.json"]\n      delete = ["store/*"]',
        tested_by("task_rights"),
        "jobs delete nothing but views",
    ),
    Defect(
        "a role that may write raw files",
        "infra/iam.tf",
        'plan = { read = ["raw/*", "store/*"], write = [], delete = [] }',
        'plan = { read = ["raw/*", "store/*"], write = ["raw/*"], delete = [] }',
        tested_by("task_rights"),
        "outside the folders windrow writes",
    ),
    Defect(
        "a ledger that can be overwritten",
        "infra/storage.tf",
        'Condition = { Null = { "s3:if-none-match" = "true" } }',
        'Condition = { Null = { "s3:if-none-match" = "false" } }',
        tested_by("storage"),
        "registers can be put without If-None-Match",
    ),
    Defect(
        "a state machine without the right to start its task",
        "infra/iam_machines.tf",
        'tasks = ["sla"]',
        'tasks = ["plan"]',
        tested_by("machine_rights"),
        "may start other tasks than its definition names",
    ),
    Defect(
        "a task definition that a state machine misspells",
        "orchestrations/sla_state_machine.json",
        '"TaskDefinition": "${task_sla}"',
        '"TaskDefinition": "windrow-slo"',
        tested_by("definitions"),
        "names task definitions that machine_rights does not",
    ),
    Defect(
        "a placeholder that nothing fills",
        "orchestrations/replay_state_machine.json",
        "${window_state_machine_arn}",
        "${window_machine_arn}",
        tested_by("definitions"),
        "window_machine_arn",
    ),
    Defect(
        "a reference to a resource that is none",
        "infra/alarms.tf",
        "[aws_sns_topic.alerts.arn]",
        "[aws_sns_topic.alarms.arn]",
        ("validate",),
        "aws_sns_topic",
    ),
    Defect(
        "an alarm that takes silence for success",
        "infra/alarms.tf",
        'stage = local.last_stage[each.key] }\n  statistic           = "Sum"\n  period              = 3600\n  evaluation_periods  = each.value.max_silence_hours\n'
        '  datapoints_to_alarm = each.value.max_silence_hours\n  comparison_operator = "LessThanThreshold"\n  threshold           = 1\n  treat_missing_data  = "breaching"',
        'stage = local.last_stage[each.key] }\n  statistic           = "Sum"\n  period              = 3600\n  evaluation_periods  = each.value.max_silence_hours\n'
        '  datapoints_to_alarm = each.value.max_silence_hours\n  comparison_operator = "LessThanThreshold"\n  threshold           = 1\n  treat_missing_data  = "notBreaching"',
        tested_by("operations"),
        "silence is not alarmed about",
    ),
)


def copy_with(defect, source, folder):
    """The tree with the defect in it; the providers are shared."""
    target = pathlib.Path(folder)
    shutil.copytree(source / "orchestrations", target / "orchestrations")
    shutil.copytree(source / "infra", target / "infra", ignore=shutil.ignore_patterns(".terraform"))
    (target / "infra" / ".terraform").symlink_to(source / "infra" / ".terraform")
    path = target / defect.file
    text = path.read_text(encoding="utf-8")
    if text.count(defect.before) != 1:
        raise SystemExit(f"{defect.file} does not hold once what `{defect.name}` replaces: correct tests/terraform_defects.py")
    path.write_text(text.replace(defect.before, defect.after), encoding="utf-8")
    return target / "infra"


def is_found(defect, source):
    """Whether the command fails and says why."""
    with tempfile.TemporaryDirectory() as folder:
        infra = copy_with(defect, source, folder)
        done = subprocess.run(
            ["terraform", *defect.command, "-no-color"], cwd=infra, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    # Messages are wrapped and framed.
    said = " ".join(done.stdout.replace("│", " ").split())
    if done.returncode != 0 and defect.words in said:
        return True
    print(f"NOT FOUND: {defect.name} (exit {done.returncode}, expected words: {defect.words})\n{done.stdout}", file=sys.stderr)
    return False


def main():
    source = pathlib.Path(sys.argv[1])
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(lambda defect: is_found(defect, source), DEFECTS))
    print(f"terraform: {sum(found)} of {len(found)} defects found")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
