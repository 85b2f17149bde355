"""ministack (Step Functions, ECS, SQS, SNS) on podman, with what its RunTask leaves out: cloud.py, settings from the environment.

ministack 1.5.33 starts the image of a task definition and ignores the task's memory and `readonlyRootFilesystem`. Here the
memory of the task (the override's, else the task definition's) becomes the container's limit, divided by MEMORY_DIVISOR so that
a test needs no 16 GiB, and the root filesystem is read-only when the task definition says so. Ended containers are kept for
the test to look at. Nothing else is changed.
"""
import os
import threading

import ministack.services.ecs as ecs
from ministack.app import main
from ministack.core import container_reaper

DIVISOR = int(os.environ["MEMORY_DIVISOR"])
MIB = 2**20
current = threading.local()
original_start, original_kwargs = ecs._start_task_worker, ecs._build_run_kwargs


def start_task_worker(task, *rest):
    """Remembers the task of this thread: its overrides are not handed on."""
    current.task = task
    return original_start(task, *rest)


def build_run_kwargs(container, definition, *rest):
    """What podman is asked to run, with the limit and the read-only root."""
    kwargs = original_kwargs(container, definition, *rest)
    memory = (current.task.get("overrides") or {}).get("memory") or definition["memory"]
    kwargs["mem_limit"] = kwargs["memswap_limit"] = int(memory) * MIB // DIVISOR
    kwargs["read_only"] = bool(container.get("readonlyRootFilesystem"))
    return kwargs


# Ended containers stay: the test looks at them.
container_reaper.EXITED_GRACE = 10**9
ecs._start_task_worker, ecs._build_run_kwargs = start_task_worker, build_run_kwargs
main()
