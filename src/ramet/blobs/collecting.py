"""Copies of the checkpoints of a run that may be at work, and delete them meanwhile."""

import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import Self

from ramet.blobs.directory import DirectoryBlobs
from ramet.blobs.reading import NotWhole, check_regular, opened

# Files at a time; processes may often have a thousand.
MOST_OPEN = 256


class Collecting:
    """Keeps checkpoints of one folder in another: as the same files, or else as copies.

    What is ``held`` stays at hand, whatever is deleted in the first folder afterwards. It is linked
    where both folders are on one file system, and held open elsewhere.
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
        """Hold all that are there now."""
        for key in self._source.sizes(run).keys() - self._target.sizes(run).keys():
            if len(self._open) < MOST_OPEN:
                with suppress(FileNotFoundError, NotWhole):
                    self._hold(run, key)

    def keep(self, run: str, keys: Iterable[str]) -> set[str]:
        """Keep these, and no others; return those that are missing."""
        wanted = set(keys)
        self._target.delete(run, self._target.sizes(run).keys() - wanted)
        # Those that are held open first, because the others have to be opened.
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
        except OSError:  # Of another file system, or of one without links.
            self._open[run, key] = self._files.enter_context(opened(str(kept)))

    def _copy(self, run: str, key: str) -> None:
        """Copy what is held open; what is linked is there already."""
        if (file := self._open.pop((run, key), None)) is None:
            return
        copy = self._target.path_of(run, key)
        with file, copy.open("xb") as written:
            shutil.copyfileobj(file, written, 1 << 20)
            written.flush()
            os.fsync(written.fileno())


def sync(folders: Iterable[str | Path]) -> None:
    """Have the names in folders outlast a loss of power."""
    if os.name == "nt":  # Which opens no folders, and keeps their names by itself.
        return
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
