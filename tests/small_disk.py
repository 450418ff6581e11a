"""A disk of a few MB that can really be full: a file system in memory. To mount it takes the right to do so."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

BYTES = 96_000_000


class SmallDisk:
    """Mounted at `folder`. What fills it is one file there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, chance: Random | None = None) -> None:
        """To the last byte, also of what was freed since; or, by chance, with a few pages left."""
        self._ballast.touch()
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(65_536)) == 65_536:
                    pass
            except OSError:
                pass
            if chance is not None:
                file.truncate(max(0, file.tell() - chance.choice([0, 4_096, 65_536])))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


class NotPermitted(Exception):
    """Here nobody may mount anything."""


@contextmanager
def small_disk(folder: Path, size_bytes: int = BYTES) -> Iterator[SmallDisk]:
    """Raises NotPermitted."""
    folder.mkdir(parents=True)
    options = f"size={size_bytes},mode=700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "nabd-small-disk", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotPermitted(done.stderr.strip())
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def small_disk_or_skip(folder: Path, size_bytes: int = BYTES) -> Iterator[SmallDisk]:
    with ExitStack() as ends:
        try:
            disk = ends.enter_context(small_disk(folder, size_bytes))
        except NotPermitted as refused:
            pytest.skip(f"no disk can be mounted here: {refused}")
        yield disk
