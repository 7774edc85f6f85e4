"""Checkpoints as files."""

import contextlib
import errno
import functools
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from ramet.blobs.base import digest_in, is_key
from ramet.blobs.reading import NotWhole, content
from ramet.blobs.refusals import check_digest, gone, missing, not_read, unreadable
from ramet.digest import Buffer, digest
from ramet.errors import CheckpointMissing, StoreError, StoreFull
from ramet.faults import reach
from ramet.files import impossible

if sys.platform != "win32":
    import fcntl

KEPT, UNFINISHED = ".safetensors", ".tmp"
# As many bytes as go to the disk at once where chunks are small.
BUFFER = 1 << 15
# Longer than people's names for runs, and short enough for any file system.
LONGEST = 100
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# The file is not there, or neither is its folder.
ABSENT = (FileNotFoundError, NotADirectoryError)
# These say nothing of a file.
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class DirectoryBlobs:
    """Keeps each checkpoint as a file that any reader of safetensors opens, in a folder a run.

    A file is written under another name and renamed when it is whole, so that nobody sees half of
    one, and is never written on again. It is read into memory of its own, so that neither a disk
    that cannot read it nor somebody who cuts it off can do more than have it refused.

    ``durability="power"`` keeps what was put through a power cut; ``"process"`` through the end of
    any process, which takes no waiting for the disk.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, durability: Literal["power", "process"] = "power"
    ) -> None:
        if durability not in {"power", "process"}:
            raise StoreError(f"durability must be 'power' or 'process', but got {durability!r}")
        if why := impossible(os.fspath(path)):
            raise StoreError(f"checkpoints must be in a folder, but {path!r} cannot be one: {why}")
        self.path = Path(path).absolute()
        self.durability = durability
        # Folders that were seen to last.
        self._made: set[str] = set()
        # Folders that must be there, with a checkpoint that was last seen in each.
        self._expected: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"DirectoryBlobs({str(self.path)!r}, durability={self.durability!r})"

    def expect(self, run: str, *, kept: bool) -> None:
        """Raise CheckpointMissing if checkpoints of a run were ``kept``, and none is there.

        From then on no ``put`` makes its folder anew, until this is called with ``kept=False``.
        """
        folder = self._folder(run)
        if kept:
            self._expected[folder] = self._still_there(folder, run)
        else:
            self._expected.pop(folder, None)

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        folder, kept = self._folder(run), self._file(run, key)
        with _said_if_full(kept), self._said_if_gone(folder, run):
            if folder not in self._expected:
                self._make(folder)
            with _unfinished(folder) as (file, unfinished):
                file.writelines(chunks)
                file.flush()
                if self.durability == "power":
                    _sync_data(file.fileno())
                reach("blob-written")
                if sys.platform == "win32":  # Which renames no open file.
                    file.close()
                os.replace(unfinished, kept)
            self._check_not_alone(folder, run, kept)
            if self.durability == "power":
                _sync_folder(folder)
        reach("blob-kept")

    def get(self, run: str, key: str) -> Buffer:
        kept = self._file(run, key)
        try:
            data = content(kept, digest_in(key))
        except ABSENT:
            raise missing(run, key, kept) from None
        except NotWhole as error:
            raise unreadable(run, key, kept, str(error)) from None
        except MemoryError as error:
            raise not_read(run, key, kept, "there is not enough memory") from error
        except OSError as error:
            why = error.strerror or str(error)
            refusal = not_read if error.errno in OURS else unreadable
            raise refusal(run, key, kept, why) from error
        check_digest(data, run, key, kept)
        return data

    def sizes(self, run: str) -> dict[str, int]:
        found = {}
        for file in _listed(self._folder(run), KEPT):
            if is_key(key := file.name.removesuffix(KEPT)):
                # Others may be deleting, and links may lead nowhere.
                with contextlib.suppress(OSError):
                    found[key] = file.stat().st_size
        return found

    def delete(self, run: str, keys: Iterable[str]) -> None:
        for key in keys:
            _remove(self._file(run, key))

    def delete_leftovers(self, run: str) -> None:
        """Delete what writers that were killed had begun.

        A writer holds a lock on its file, which ends with it and needs no clock, so that the files
        of those still at work stay. Where a file system has no locks, all stay.
        """
        for unfinished in _listed(self._folder(run), UNFINISHED):
            _remove_unless_written(unfinished.path)

    def path_of(self, run: str, key: str) -> Path:
        """Return the file that a checkpoint is in, or would be."""
        return Path(self._file(run, key))

    def _folder(self, run: str) -> str:
        return f"{self.path}{os.sep}{_quoted(run)}"

    def _file(self, run: str, key: str) -> str:
        digest_in(key)
        return f"{self._folder(run)}{os.sep}{key}{KEPT}"

    def _still_there(self, folder: str, run: str, *, beside: str = "") -> str:
        """Return the path of a checkpoint that is there, or say that none is."""
        seen = self._expected.get(folder, "")
        return seen if os.path.exists(seen) else _any_checkpoint(folder, run, beside)

    def _check_not_alone(self, folder: str, run: str, kept: str) -> None:
        """Take back what went into a folder that replaced the run's own meanwhile."""
        if folder in self._expected:
            try:
                self._still_there(folder, run, beside=kept)
            except CheckpointMissing:
                _remove(kept)
                raise
            self._expected[folder] = kept

    @contextlib.contextmanager
    def _said_if_gone(self, folder: str, run: str) -> Iterator[None]:
        try:
            yield
        except ABSENT as error:
            if folder in self._expected:
                raise gone(run, folder, "it was moved or deleted just now") from error
            raise

    def _make(self, folder: str) -> None:
        """Make a run's folder in a way that it outlasts what its files do."""
        if folder in self._made and os.path.isdir(folder):
            return
        new = [parent for parent in Path(folder).parents if not parent.exists()]
        Path(folder).mkdir(parents=True, exist_ok=True)
        if self.durability == "power":
            for made in (Path(folder), *new):
                _sync_folder(made.parent)
        self._made.add(folder)


@contextlib.contextmanager
def _unfinished(folder: str) -> Iterator[tuple[BinaryIO, str]]:
    """Open a file of a new name, which is to be renamed, and is gone if that fails."""
    file, path = _begun(folder)
    try:
        with file:
            yield file, path
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise


def _begun(folder: str) -> tuple[BinaryIO, str]:
    """Open a file of a new name, and lock it for as long as this process writes it."""
    while True:
        path = f"{folder}{os.sep}{secrets.token_hex(8)}{UNFINISHED}"
        file = open(path, "xb", buffering=BUFFER)  # noqa: SIM115 - closed by the caller
        _lock(file)
        if os.path.exists(path):
            return file, path
        # Taken for a leftover before it was locked.
        file.close()


def _lock(file: BinaryIO) -> None:
    """Lock a file until it is closed, where there are locks."""
    if sys.platform != "win32":  # Which lets nobody remove an open file anyway.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def _remove_unless_written(path: str) -> None:
    """Delete a file that nobody holds a lock on."""
    if sys.platform == "win32":
        _remove(path)
        return
    # It is gone already, or locked, or there are no locks to tell by.
    with contextlib.suppress(OSError), open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)


def _any_checkpoint(folder: str, run: str, beside: str) -> str:
    """Return the path of some checkpoint in a run's folder, or say that there is none.

    The one ``beside`` which there must be others does not count.
    """
    try:
        with os.scandir(folder) as files:
            paths = (file.path for file in files if _is_checkpoint(file.name))
            found = next((path for path in paths if path != beside), None)
    except OSError as error:
        raise gone(run, folder, error.strerror or str(error)) from None
    if found is None:
        raise gone(run, folder, "it is empty, or has other files in it")
    return found


def _is_checkpoint(name: str) -> bool:
    return name.endswith(KEPT) and is_key(name.removesuffix(KEPT))


def _listed(folder: str, suffix: str) -> Iterator[os.DirEntry[str]]:
    """Yield the files of a folder that end so."""
    try:
        with os.scandir(folder) as files:
            yield from [file for file in files if file.name.endswith(suffix)]
    except ABSENT:
        return


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except ABSENT:
        return
    except PermissionError:
        # Windows keeps what somebody has open; it goes with the next pruning.
        if sys.platform != "win32":
            raise


def _sync_data(descriptor: int) -> None:
    # Its size and bytes; macOS and Windows have only the one that waits for its times as well.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _sync_folder(folder: str | Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if sys.platform == "win32":  # Which opens no folders, and keeps their names by itself.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _said_if_full(file: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise StoreError(
                f"a checkpoint must be written where it is kept, but writing {file} failed: "
                f"{error.strerror or error}; nothing was written: see to the disk, the folder and "
                f"who may write there, and run again, which goes on from the last checkpoints"
            ) from error
        raise StoreFull(
            f"a checkpoint must fit where it is kept, but writing {file} failed: {error.strerror}; "
            f"nothing was written: free space there and run again, which goes on from the last "
            f"checkpoints"
        ) from error


@functools.lru_cache(maxsize=256)
def _quoted(name: str) -> str:
    """Return a name as one of a folder, on any file system, whatever it makes of case and dots.

    >>> _quoted("lm-2"), _quoted("LM"), _quoted("../x")
    ('lm-2', '%4c%4d', '%2e%2e%2fx')
    """
    text = name.encode("utf-8", "surrogatepass")
    quoted = "".join(chr(byte) if byte in PLAIN else f"%{byte:02x}" for byte in text)
    return quoted if 0 < len(quoted) <= LONGEST else f"{quoted[:LONGEST]}%%{digest([text])}"
