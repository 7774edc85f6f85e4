"""Copies checkpoints of runs that may prune them meanwhile."""

import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import Self

from ramet.blobs.directory import DirectoryBlobs
from ramet.blobs.reading import NotWhole, check_regular, open_regular

# Files held open at a time; the limit of a process is often a thousand.
MOST_OPEN = 256


class Collecting:
    """Collects checkpoints of one folder in another, as hard links or as copies.

    Checkpoints that were passed to ``hold`` can be kept even if they are deleted in the first
    folder afterwards: they are linked if both folders are on one file system, and else held open.
    """

    def __init__(self, source: DirectoryBlobs, target: DirectoryBlobs) -> None:
        self._source, self._target = source, target
        self._open: dict[tuple[str, str], FileIO] = {}
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def hold(self, run: str) -> None:
        """Hold all checkpoints that the run has now."""
        for key in self._source.sizes(run).keys() - self._target.sizes(run).keys():
            if len(self._open) < MOST_OPEN:
                with suppress(FileNotFoundError, NotWhole):
                    self._hold(run, key)

    def there(self, run: str) -> set[str]:
        """Return the keys of all checkpoints that can be kept now."""
        held = {key for name, key in self._open if name == run}
        return held | self._source.sizes(run).keys() | self._target.sizes(run).keys()

    def keep(self, run: str, keys: Iterable[str]) -> set[str]:
        """Keep these checkpoints and no others; return the keys of those that are missing."""
        wanted = set(keys)
        self._target.delete(run, self._target.sizes(run).keys() - wanted)
        # Those held open come first, because each of the others needs a descriptor.
        absent = wanted - self._target.sizes(run).keys()
        for key in sorted(absent, key=lambda key: (run, key) not in self._open):
            with suppress(FileNotFoundError, NotWhole):
                self._hold(run, key)
                self._copy(run, key)
        return wanted - self._target.sizes(run).keys()

    def _hold(self, run: str, key: str) -> None:
        kept, copy = self._source.path_of(run, key), self._target.path_of(run, key)
        if (run, key) in self._open:
            return
        check_regular(os.stat(kept))  # noqa: PTH116 - as in directory.py
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(kept, copy)
        except FileNotFoundError:
            raise
        except OSError:  # Another file system, or one without links.
            self._open[run, key] = self._files.enter_context(open_regular(str(kept)))

    def _copy(self, run: str, key: str) -> None:
        """Copy a checkpoint that is held open; a linked one is there already."""
        if (file := self._open.pop((run, key), None)) is None:
            return
        copy = self._target.path_of(run, key)
        with file, copy.open("xb") as written:
            shutil.copyfileobj(file, written, 1 << 20)
            written.flush()
            os.fsync(written.fileno())


def sync(folders: Iterable[str | Path]) -> None:
    """Wait until the names in folders are on the disk."""
    if os.name == "nt":  # Windows cannot open folders, and keeps names by itself.
        return
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
