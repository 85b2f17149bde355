"""Runs one program and measures it as a whole process.

As a program (`python -I -S measure.py CORES REPORT COMMAND...`) it is the small parent that forks the measured one: a child's peak
memory starts at that of the process it was forked from, so a parent of 8 MiB keeps the figure honest from there on."""
import os
import sys
import time


def run_and_report(cores, report, command):
    """Pins to the first cores, runs, and writes wall and processor seconds, peak in KiB and the exit code.

    Processor time is of the program and all the processes it waited for; peak memory is that of the largest of them."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:cores])
    start = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - start
    with open(report, "w") as file:
        file.write(f"{wall} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss} {os.waitstatus_to_exitcode(status)}")


def measure(command, cores, folder):
    """One run of a command; its output goes to a log. Fails with the end of the log when the program does."""
    import subprocess

    report, log = folder / "measure.txt", folder / "measure.log"
    parent = [sys.executable, "-I", "-S", os.path.abspath(__file__), str(cores), str(report)]
    with open(log, "wb") as output:
        subprocess.run(parent + [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)
    wall, cpu, peak, code = report.read_text().split()
    if code != "0":
        raise RuntimeError(failure(command, code, log.read_text(errors="replace").splitlines()[-15:]))
    return {"wall": float(wall), "cpu": float(cpu), "peak": int(peak) * 1024}


def failure(command, code, tail):
    """What ended how, with the line that says why first and the end of the log after it."""
    why = next((line for line in tail if line.startswith("error")), tail[-1] if tail else "without a word")
    return "\n".join([f"{os.path.basename(command[0])} ended with {code}: {why}", *tail])


def total(samples):
    """Several processes one after the other: times add up, the peak is the greatest."""
    return {
        "wall": sum(sample["wall"] for sample in samples),
        "cpu": sum(sample["cpu"] for sample in samples),
        "peak": max(sample["peak"] for sample in samples),
    }


if __name__ == "__main__":
    run_and_report(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
