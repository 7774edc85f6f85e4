"""Checkpoints as files."""

import contextlib
import errno
import mmap
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from ramet.blobs.base import digest_in, is_key
from ramet.blobs.refusals import check_digest, missing
from ramet.digest import Buffer, digest
from ramet.errors import StoreError, StoreFull
from ramet.faults import reach

if sys.platform != "win32":
    import fcntl

KEPT, UNFINISHED = ".safetensors", ".tmp"
# As many bytes as go to the disk at once where chunks are small.
BUFFER = 1 << 17
# Longer than people's names for runs, and short enough for any file system.
LONGEST = 100
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DirectoryBlobs:
    """Keeps each checkpoint as a file that any reader of safetensors opens, in a folder a run.

    A file is written under another name and renamed when it is whole, so that nobody sees half of
    one, and is never written on again. What is read is the file itself, mapped into memory.

    ``durability="power"`` keeps what was put through a power cut; ``"process"`` through the end of
    any process, which takes no waiting for the disk.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, durability: Literal["power", "process"] = "power"
    ) -> None:
        if durability not in {"power", "process"}:
            raise StoreError(f"durability must be 'power' or 'process', but got {durability!r}")
        self.path = Path(path).absolute()
        self.durability = durability
        self._made: set[Path] = set()

    def __repr__(self) -> str:
        return f"DirectoryBlobs({str(self.path)!r}, durability={self.durability!r})"

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        kept = self._file(run, key)
        with _said_if_full(kept):
            self._make(kept.parent)
            with _unfinished(kept.parent) as (file, unfinished):
                file.writelines(chunks)
                file.flush()
                if self.durability == "power":
                    _sync_data(file.fileno())
                reach("blob-written")
                if sys.platform == "win32":  # Which renames no open file.
                    file.close()
                unfinished.replace(kept)
            if self.durability == "power":
                _sync_folder(kept.parent)
        reach("blob-kept")

    def get(self, run: str, key: str) -> Buffer:
        kept = self._file(run, key)
        try:
            with kept.open("rb") as file:
                data = _mapped(file)
        except FileNotFoundError:
            raise missing(run, key, str(kept)) from None
        check_digest(data, run, key, str(kept))
        return data

    def sizes(self, run: str) -> dict[str, int]:
        return {
            file.name.removesuffix(KEPT): size
            for file, size in _listed(self._folder(run), KEPT)
            if is_key(file.name.removesuffix(KEPT))
        }

    def delete(self, run: str, keys: Iterable[str]) -> None:
        for key in keys:
            _remove(self._file(run, key))

    def delete_leftovers(self, run: str) -> None:
        """Delete what writers that were killed had begun.

        A writer holds a lock on its file, which ends with it and needs no clock, so that the files
        of those still at work stay. Where a file system has no locks, all stay.
        """
        for unfinished, _ in _listed(self._folder(run), UNFINISHED):
            _remove_unless_written(unfinished)

    def _folder(self, run: str) -> Path:
        return self.path / _quoted(run)

    def _file(self, run: str, key: str) -> Path:
        digest_in(key)
        return self._folder(run) / f"{key}{KEPT}"

    def _make(self, folder: Path) -> None:
        """Make a run's folder, once, in a way that it outlasts what its files do."""
        if folder in self._made:
            return
        new = [parent for parent in folder.parents if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        if self.durability == "power":
            for made in (folder, *new):
                _sync_folder(made.parent)
        self._made.add(folder)


@contextlib.contextmanager
def _unfinished(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a file of a new name, which is gone at the end unless it was renamed."""
    file, path = _begun(folder)
    try:
        with file:
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def _begun(folder: Path) -> tuple[BinaryIO, Path]:
    """Open a file of a new name, and lock it for as long as this process writes it."""
    while True:
        path = folder / f"{secrets.token_hex(8)}{UNFINISHED}"
        file = path.open("xb", buffering=BUFFER)
        _lock(file)
        if path.exists():
            return file, path
        # Taken for a leftover before it was locked.
        file.close()


def _lock(file: BinaryIO) -> None:
    """Lock a file until it is closed, where there are locks."""
    if sys.platform != "win32":  # Which lets nobody remove an open file anyway.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def _remove_unless_written(path: Path) -> None:
    """Delete a file that nobody holds a lock on."""
    if sys.platform == "win32":
        _remove(path)
        return
    # It is gone already, or locked, or there are no locks to tell by.
    with contextlib.suppress(OSError), path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _mapped(file: BinaryIO) -> memoryview:
    """Return a file's bytes without reading them."""
    if os.fstat(file.fileno()).st_size == 0:  # Which cannot be mapped.
        return memoryview(b"")
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _listed(folder: Path, suffix: str) -> Iterator[tuple[Path, int]]:
    """Yield the files of a folder that end so, and their sizes."""
    try:
        files = list(folder.iterdir())
    except FileNotFoundError:
        return
    for file in files:
        if file.name.endswith(suffix):
            # Others may be deleting.
            with contextlib.suppress(FileNotFoundError):
                yield file, file.stat().st_size


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except PermissionError:
        # Windows keeps what somebody has open; it goes with the next sweep.
        if sys.platform != "win32":
            raise


def _sync_data(descriptor: int) -> None:
    # Its size and bytes; macOS and Windows have only the one that waits for its times as well.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if sys.platform == "win32":  # Which opens no folders, and keeps their names by itself.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _said_if_full(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StoreFull(
            f"a checkpoint must fit where it is kept, but writing {file} failed: {error.strerror}; "
            f"nothing was written: free space there and run again, which goes on from the last "
            f"checkpoints"
        ) from error


def _quoted(name: str) -> str:
    """Return a name as one of a folder, on any file system, whatever it makes of case and dots.

    >>> _quoted("lm-2"), _quoted("LM"), _quoted("../x")
    ('lm-2', '%4c%4d', '%2e%2e%2fx')
    """
    text = name.encode("utf-8", "surrogatepass")
    quoted = "".join(chr(byte) if byte in PLAIN else f"%{byte:02x}" for byte in text)
    return quoted if 0 < len(quoted) <= LONGEST else f"{quoted[:LONGEST]}%%{digest([text])}"
