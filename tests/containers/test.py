"""The container tests: test.py BINARIES, the folder that cargo built windrow and the jobs into."""
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import engine  # noqa: E402
import flow  # noqa: E402
import image  # noqa: E402


def lake(folder, name):
    """A lake with the examples' raw files that the image's user may write."""
    place = folder / name
    shutil.copytree(engine.ROOT / "examples/raw", place / "raw")
    for path in [place, *place.rglob("*")]:
        shutil.chown(path, 65532, 65532)
    return place


def image_alone(folder, binaries):
    """Builds the image, and everything that needs no orchestration."""
    print(f"image: hadolint finds nothing, and each of {image.linter_finds_defects()} defects put in")
    engine.base(folder)
    engine.build(folder, binaries)
    image.metadata()
    print(f"image: {image.is_complete()} contracts read without rights, network or a writable root")
    engine.build(folder, binaries, "orders_raw_to_clean", "localhost/one-job")
    image.one_job("localhost/one-job")
    print(f"image: a window of orders on a read-only root, {image.root_is_read_only(lake(folder, 'lake'))} rows")
    image.first_process_hears_signals()
    print("image: SIGTERM to process 1 ends a run with 143, and is reported with a task token")
    for name, tag in (("every binary", engine.IMAGE), ("one job", "localhost/one-job")):
        unpacked, packed = image.size(tag)
        print(f"image: {name}: {unpacked / 1e6:.0f} MB, {packed / 1e6:.0f} MB as a registry holds it; a base of this machine's libraries")
    version, window = image.cold_start(lake(folder, "cold"))
    print(f"image: podman run --version {version:.2f} s, a window of 100 rows {window:.2f} s (middle of five)")


with tempfile.TemporaryDirectory(prefix="windrow-containers-") as name:
    folder = pathlib.Path(name)
    folder.chmod(0o755)
    engine.configure(folder)
    try:
        image_alone(folder, pathlib.Path(sys.argv[1]).resolve())
        with engine.service(folder) as docker_host:
            flow.walk(folder, docker_host)
    finally:
        engine.clean()
