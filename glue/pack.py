"""Packs the windrow binary and a project into a wheel: pack.py --binary PATH [--project DIR] [--out DIR].

The wheel's platform tag is the glibc the binary really needs, read from the binary, so that pip refuses it where it cannot run.
The same files give the same bytes. Python 3.9, standard library only; needs objdump.
"""
import argparse
import base64
import hashlib
import pathlib
import re
import subprocess
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = "windrow_glue"
PROJECT = ("windrow.toml", "schemas", "quality", "jobs/sql")
INIT = b'"""windrow for a Glue Python shell job: bin/windrow and project/."""\n'


def version():
    """The workspace's version."""
    return re.search(r'(?m)^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text()).group(1)


def platform(binary):
    """The wheel's platform tag: the newest glibc symbol the binary asks for; a static one runs anywhere."""
    symbols = subprocess.run(["objdump", "-T", binary], text=True, capture_output=True)
    needed = {tuple(map(int, found)) for found in re.findall(r"GLIBC_(\d+)\.(\d+)", symbols.stdout)}
    newest = max(needed, default=(0, 0))
    if newest <= (2, 17):
        return "manylinux_2_17_x86_64.manylinux2014_x86_64"
    return "manylinux_{}_{}_x86_64".format(*newest)


def project_files(project):
    """What a run reads of a project, with the names inside the wheel."""
    for name in PROJECT:
        place = project / name
        assert place.exists(), f"{project} holds no {name}"
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                yield f"{PACKAGE}/project/{path.relative_to(project).as_posix()}", path.read_bytes()


def add(wheel, record, name, content, mode=0o644):
    """One file of the wheel, with its line for RECORD."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o100000 | mode) << 16
    wheel.writestr(entry, content)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    record.append(f"{name},sha256={digest},{len(content)}")


def pack(binary, project, out):
    """Writes the wheel and returns its path."""
    tag = platform(binary)
    path = out / f"{PACKAGE}-{version()}-py3-none-{tag}.whl"
    info = f"{PACKAGE}-{version()}.dist-info"
    record = []
    tags = "".join(f"Tag: py3-none-{one}\n" for one in tag.split("."))
    with zipfile.ZipFile(path, "w") as wheel:
        add(wheel, record, f"{PACKAGE}/__init__.py", INIT)
        add(wheel, record, f"{PACKAGE}/bin/windrow", binary.read_bytes(), 0o755)
        for name, content in project_files(project):
            add(wheel, record, name, content)
        metadata = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version()}\nLicense: Apache-2.0\nRequires-Python: >=3.9\n"
        add(wheel, record, f"{info}/METADATA", metadata.encode())
        add(wheel, record, f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: windrow\nRoot-Is-Purelib: false\n{tags}".encode())
        wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD", (1980, 1, 1, 0, 0, 0)), "\n".join([*record, f"{info}/RECORD,,", ""]))
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--project", type=pathlib.Path, default=ROOT)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/wheels")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print(pack(given.binary, given.project, given.out))
