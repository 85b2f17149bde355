"""podman and buildah for the container tests: storage of their own, an image built from the Dockerfile without pulling."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
IMAGE, BASE = "localhost/windrow", "localhost/windrow-base"
LIBRARIES = ("libc.so.6", "libm.so.6", "libgcc_s.so.1")

CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024","nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def configure(folder):
    """Points podman and buildah at configuration and storage below a folder, for this process and its children."""
    (folder / "containers.conf").write_text(CONTAINERS)
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    (folder / "storage.conf").write_text(storage)
    os.environ.update(CONTAINERS_CONF=str(folder / "containers.conf"), CONTAINERS_STORAGE_CONF=str(folder / "storage.conf"))


def run(*command, check=True, **options):
    """A command with its output as text; a failure shows both streams."""
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, **options)
    assert done.returncode == 0 or not check, f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def podman(*arguments, **options):
    """A podman command."""
    return run("podman", *arguments, **options)


def base(folder):
    """The image that stands in for BASE: this machine's glibc and libgcc, and nothing else."""
    root = folder / "base"
    libraries = root / "lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    (root / "lib64").mkdir()
    shutil.copy("/lib64/ld-linux-x86-64.so.2", root / "lib64")
    for name in LIBRARIES:
        shutil.copy(f"/lib/x86_64-linux-gnu/{name}", libraries)
    container = run("buildah", "from", "scratch").stdout.strip()
    run("buildah", "copy", "--quiet", container, root, "/")
    run("buildah", "commit", "--quiet", "--rm", container, BASE)


def build(folder, binaries, shipped="all", tag=IMAGE):
    """The image of the Dockerfile; ready binaries, laid out by docker/layout.sh, take the place of its build stage."""
    stage = folder / f"stage-{shipped}"
    run("sh", ROOT / "docker/layout.sh", binaries, stage / "out", shipped)
    run("buildah", "bud", "--isolation", "chroot", "--pull-never", "--build-context", f"build={stage}", "--build-arg", f"BASE={BASE}",
        "--build-arg", "WINDROW_GIT=0123456789ab", "--tag", tag, ROOT)
    shutil.rmtree(stage)


@contextlib.contextmanager
def service(folder):
    """podman's API; yields the address for DOCKER_HOST. Afterwards no container and no storage is left."""
    address = f"unix://{folder}/podman.sock"
    log = open(folder / "podman.log", "wb")
    # conmon leaves a file `oom` in its working folder when a container was killed for its memory.
    process = subprocess.Popen(["podman", "system", "service", "--time=0", address], stdout=log, stderr=log, cwd=folder)
    try:
        for _ in range(100):
            if (folder / "podman.sock").exists():
                break
            assert process.poll() is None, (folder / "podman.log").read_text()
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def clean():
    """Removes what the tests made, containers first: their overlay mounts would keep the folder."""
    podman("rm", "--all", "--force", "--volumes", check=False)
    podman("rmi", "--all", "--force", check=False)
    run("buildah", "rm", "--all", check=False)
