"""The script of a Glue Python shell job: runs the windrow binary of the installed wheel with the job's arguments.

    --verb run --dataset orders --window 2024-09-08      becomes  windrow run --dataset orders --window 2024-09-08
    --verb 'quarantine close'                            becomes  windrow quarantine close
    --force true | --force ''                            becomes  --force;  --force false is left out
    --AWS_REGION eu-central-1, --WINDROW_METRICS emf     become   environment variables
    --JOB_NAME, --TempDir, --enable-…                    are Glue's own and are left out

Python 3.9, standard library only. The job fails exactly when windrow fails; the last line names the error.
"""
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "windrow_glue"

# Glue hands a script its own parameters too; these are all that its documentation lists, in lower case with dashes.
GLUE_NAMES = {
    "additional-python-modules", "class", "conf", "connections", "datalake-formats", "debug", "disable-proxy-v2", "driver-java-options",
    "encryption-type", "executor-cores", "extra-files", "extra-jars", "extra-py-files", "library-set", "mode", "number-of-workers",
    "python-modules-installer-option", "redshifttempdir", "scriptlocation", "security-configuration", "spark-event-logs-path",
    "tempdir", "use-postgres-driver", "user-jars-first", "worker-type", "workflow-name", "workflow-run-id",
}
GLUE_PREFIXES = ("continuous-log-", "continuous-logging-", "customer-", "enable-", "job-", "write-shuffle-")
# Its value may begin with two dashes.
GLUE_TAKES_ANY_VALUE = {"python-modules-installer-option"}

ENVIRONMENT = re.compile("(AWS|WINDROW)_[A-Z0-9_]+")
DEFAULTS = {
    "WINDROW_OUTPUT": "json", "WINDROW_LOG_FORMAT": "json", "WINDROW_METRICS": "emf", "WINDROW_LINEAGE": "lake",
    "POLARS_ROW_GROUP_PREFETCH_SIZE": "1",
}

ERRORS = {
    64: "Usage", 65: "InvalidData", 66: "InputMissing", 70: "Internal", 71: "OutOfMemory", 73: "Fenced", 75: "Transient",
    77: "AccessDenied", 78: "Misconfigured", 80: "QualityFailed", 81: "SlaMissed", 143: "Interrupted",
}


class JobFailed(SystemExit):
    """Ends the script with windrow's exit code; its text is the last line, also where Glue prints it."""

    def __init__(self, text, code=1):
        super().__init__(text)
        self.code = code


def is_glues(name):
    """Whether Glue consumes the parameter itself."""
    plain = name.lower().replace("_", "-")
    return plain in GLUE_NAMES or plain.startswith(GLUE_PREFIXES)


def options(arguments):
    """Pairs of name and value; the value is None where there is none, the name where a word stands alone."""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            yield None, word
            continue
        name, equals, value = word[2:].partition("=")
        if equals:
            yield name, value
        elif rest and (not rest[0].startswith("--") or name in GLUE_TAKES_ANY_VALUE):
            yield name, rest.pop(0)
        else:
            yield name, None


def translate(arguments):
    """The verb with windrow's arguments, and the environment, that a job's arguments mean."""
    verb, command, environment = [], [], {}
    for name, value in options(arguments):
        if name is None:
            command.append(value)
        elif name == "verb":
            verb = (value or "").split()
        elif ENVIRONMENT.fullmatch(name):
            environment[name] = value or ""
        elif not is_glues(name) and value != "false":
            # One word, so that no value can be taken for an option.
            command.append(f"--{name}" if value in (None, "", "true") else f"--{name}={value}")
    if not verb:
        raise JobFailed("Windrow.Usage: the job has no parameter --verb, such as `run` or `quarantine close`", 64)
    return verb + command, environment


def installed():
    """The folder of the wheel's package; one that was put on the path as a file is unpacked."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise JobFailed(f"Windrow.Misconfigured: {PACKAGE} is not installed; name the wheel in --additional-python-modules", 78)
    folder = pathlib.Path(spec.origin).parent
    if folder.is_dir():
        return folder
    target = tempfile.mkdtemp(prefix="windrow-")
    with zipfile.ZipFile(spec.loader.archive) as wheel:
        wheel.extractall(target)
    return pathlib.Path(target, PACKAGE)


def in_memory(binary):
    """The binary as a file without a folder: what is left when no folder allows execution."""
    number = os.memfd_create("windrow", 0)
    with open(number, "wb", closefd=False) as file:
        file.write(binary.read_bytes())
    return f"/proc/{os.getpid()}/fd/{number}"


def executable(binary):
    """A path of the binary that the system executes: in place, copied, or in memory."""
    try:
        binary.chmod(0o755)
    except OSError:
        pass
    if os.access(binary, os.X_OK):
        return str(binary)
    copy = pathlib.Path(tempfile.mkdtemp(prefix="windrow-"), "windrow")
    shutil.copyfile(binary, copy)
    copy.chmod(0o755)
    return str(copy) if os.access(copy, os.X_OK) else in_memory(binary)


def forward_signals(child):
    """SIGTERM and SIGINT reach windrow, which drains and says so."""
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            signal.signal(number, lambda received, _: child.send_signal(received))
        except ValueError:
            return  # not the main thread: the signal is not ours


def stream(child):
    """Passes the result on as it comes, and keeps the last one."""
    result = {}
    for line in child.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and "verb" in document:
            result = document
    return result


def failure(code, result):
    """The named error with its sentence, as one line, and the exit code."""
    if code == -signal.SIGKILL:
        return "Windrow.OutOfMemory: windrow was killed, most likely for its memory; give the job more capacity", 71
    if code < 0:
        return f"Windrow.Internal: windrow was ended by signal {-code}", 70
    error = result.get("error")
    error = error if isinstance(error, dict) else {}
    name = error.get("error") or f"Windrow.{error.get('kind') or ERRORS.get(code, 'Internal')}"
    text = result.get("alert") or error.get("message") or "see the messages above"
    return f"{name}: {' '.join(str(text).split())} (exit {code})", code


def main(arguments):
    """Runs windrow; returns when it succeeded."""
    command, given = translate(arguments)
    folder = installed()
    environment = {**DEFAULTS, "WINDROW_PROJECT": str(folder / "project"), **os.environ, **given}
    child = subprocess.Popen(
        [executable(folder / "bin" / "windrow"), *command], env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    )
    forward_signals(child)
    result = stream(child)
    code = child.wait()
    if code != 0:
        raise JobFailed(*failure(code, result))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except JobFailed as failed:
        print(failed, file=sys.stderr, flush=True)
        raise
