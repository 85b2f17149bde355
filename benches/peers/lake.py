"""windrow's side: a copy of the committed project, its lake with hard-linked raw files, and the real commands on it."""
import os
import pathlib
import shutil
import tempfile

PROJECT = pathlib.Path(__file__).parent / "project"
WINDOW = "2024-01-01"
DISCARDED = "discarded"


class Project:
    """One project folder with a lake of its own, and the flags that name the windows to work on."""

    def __init__(self, windrow, folder, windows=("--window", WINDOW)):
        self.windrow = windrow
        self.folder = folder
        self.lake = folder / "lake"
        self.windows = windows
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(PROJECT, folder)

    def by_month(self):
        """Makes all tables tables of monthly windows."""
        for contract in (self.folder / "schemas").iterdir():
            text = contract.read_text().replace("{grain: day}", "{grain: month}")
            contract.write_text(text.replace("load_date, logicalType: date", "load_date, logicalType: string"))

    def add_raw(self, dataset, files, window=WINDOW):
        """Links files as the window's raw files; a copy where the file system is another one."""
        target = self.lake / "raw" / dataset / window
        target.mkdir(parents=True)
        for file in files:
            link_or_copy(file, target / file.name)

    def edit(self, contract, old, new):
        """Replaces one text of a contract: the copy differs from the committed project in this and nothing else."""
        path = self.folder / "schemas" / f"{contract}.odcs.yaml"
        text = path.read_text()
        assert text.count(old) == 1, (contract, old)
        path.write_text(text.replace(old, new))

    def command(self, verb, dataset, *flags):
        return [self.windrow, verb, "--project", self.folder, "--dataset", dataset, *self.windows, "--quiet", *flags]

    def forget(self, *layers):
        """Takes back what was computed, of these layers or of all."""
        for child in [] if not self.lake.exists() else self.lake.iterdir():
            if not layers and child.name != "raw":
                discard(child, self.folder.parent)
        for layer in layers:
            for folder in (self.lake / layer, self.lake / "store" / layer):
                discard(folder, self.folder.parent)

    def output(self, layer, dataset, epoch=1):
        """The files of one epoch of every window, as a pattern."""
        return str(self.lake / "store" / layer / dataset / "data" / "*" / f"e{epoch:020}-*" / "*.parquet")


def discard(folder, run):
    """Moves a folder out of the way. It is deleted when all runs of the work are over (`empty`): where thousands of files were just
    deleted, ext4 looks for a free inode a second time for each new one, and that would be the next run's time."""
    if folder.exists():
        (run / DISCARDED).mkdir(exist_ok=True)
        folder.rename(pathlib.Path(tempfile.mkdtemp(dir=run / DISCARDED)) / folder.name)


def empty(run):
    """Deletes what was discarded."""
    shutil.rmtree(run / DISCARDED, ignore_errors=True)


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def link_tree(source, target):
    """A tree of hard links: what the ledger writes once, it never changes in place."""
    discard(target, target.parent)
    shutil.copytree(source, target, copy_function=link_or_copy)
