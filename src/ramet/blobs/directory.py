"""Checkpoints as files."""

import contextlib
import errno
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from ramet.blobs.base import digest_in, is_key
from ramet.blobs.naming import KEPT, quote
from ramet.blobs.reading import NotWhole, read_content, read_ranges
from ramet.blobs.refusals import absent, check_digest, missing, not_read, unreadable
from ramet.digest import Buffer
from ramet.errors import CheckpointMissing, StoreError, StoreFull
from ramet.faults import reach
from ramet.files import impossible

if sys.platform != "win32":
    import fcntl

Durability: TypeAlias = Literal["power", "process"]

UNFINISHED = ".tmp"
# Bytes that small chunks are gathered to before they are written.
BUFFER_BYTES = 1 << 15
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# The file or its folder does not exist.
ABSENT = (FileNotFoundError, NotADirectoryError)
# Errors of this process that say nothing about a file.
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class DirectoryBlobs:
    """Keeps each checkpoint as a file in safetensors' layout, with a folder for each run.

    A file is written under another name and renamed once it is complete, so no reader sees an
    incomplete file. After that it never changes. Files are read, not mapped into memory: if the
    disk cannot read one, or another program truncates it, that is an error and not a crash.

    Args:
        path: The folder. It is created when the first checkpoint is put.
        durability: What a checkpoint survives once it is put: a loss of ``"power"``, or only the
            end of any ``"process"``, which needs no waiting for the disk.
    """

    def __init__(self, path: str | os.PathLike[str], *, durability: Durability = "power") -> None:
        if durability not in {"power", "process"}:
            raise StoreError(f"durability must be 'power' or 'process', but got {durability!r}")
        if why := impossible(os.fspath(path)):
            raise StoreError(f"checkpoints must be in a folder, but {path!r} cannot be one: {why}")
        self.path = Path(path).absolute()
        self.durability = durability
        # Folders that exist and are durable.
        self._made: set[str] = set()
        # Folders that must exist, and the checkpoint last seen in each.
        self._expected: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"DirectoryBlobs({str(self.path)!r}, durability={self.durability!r})"

    def expect(self, run: str, *, kept: bool) -> None:
        """Raise CheckpointMissing if ``run`` should have checkpoints, but has none.

        Args:
            run: The name of the run.
            kept: Whether it should have checkpoints. If so, ``put`` does not create the run's
                folder again, until this is called with ``kept=False``.
        """
        folder = self._folder(run)
        if kept:
            self._expected[folder] = self._find_expected(folder, run)
        else:
            self._expected.pop(folder, None)

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        folder, kept = self._folder(run), self._file(run, key)
        with _explain_failure(kept), self._explain_absence(folder, run):
            if folder not in self._expected:
                self._make(folder)
            with _write_aside(folder) as (file, unfinished):
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
        with _explain_reading(run, key, kept):
            data = read_content(kept, digest_in(key))
        check_digest(data, run, key, kept)
        return data

    def get_ranges(self, run: str, key: str, ranges: Sequence[tuple[int, int]]) -> Buffer:
        """Return parts of a file, one behind the other, which no digest verifies.

        Args:
            run: The name of the run.
            key: The key of the file.
            ranges: Where each part begins and ends.
        """
        kept = self._file(run, key)
        with _explain_reading(run, key, kept):
            return read_ranges(kept, ranges, digest_in(key))

    def sizes(self, run: str) -> dict[str, int]:
        found = {}
        for file in _list_files(self._folder(run), KEPT):
            if is_key(key := file.name.removesuffix(KEPT)):
                # Others may be deleting, and links may lead nowhere.
                with contextlib.suppress(OSError):
                    found[key] = file.stat().st_size
        return found

    def delete(self, run: str, keys: Iterable[str]) -> None:
        for key in keys:
            _remove(self._file(run, key))

    def delete_leftovers(self, run: str) -> None:
        """Delete the unfinished files of killed writers.

        A writer locks its file, and the lock ends with the process. So files that are being
        written stay. On a file system without locks all unfinished files stay.
        """
        for unfinished in _list_files(self._folder(run), UNFINISHED):
            _remove_unless_written(unfinished.path)

    def copy(self, run: str, to: str, keys: Iterable[str]) -> None:
        """Have checkpoints for a run of another name as well, as hard links where there are some.

        Args:
            run: The name of the run.
            to: The name of the other run.
            keys: The keys of the files; those that are not there are passed over.
        """
        with _explain_failure(folder := self._folder(to)):
            self._make(folder)
            for key in keys:
                with contextlib.suppress(CheckpointMissing):
                    self._copy(run, to, key)
            if self.durability == "power":
                _sync_folder(folder)

    def forget(self, run: str) -> None:
        """Delete the folder of a run that has no checkpoints any more.

        Args:
            run: The name of the run.
        """
        folder = self._folder(run)
        self._expected.pop(folder, None)
        with contextlib.suppress(OSError):  # It may have files that are not ramet's.
            os.rmdir(folder)

    def path_of(self, run: str, key: str) -> Path:
        """Return the path of the file for the checkpoint ``key`` of ``run``."""
        return Path(self._file(run, key))

    def _copy(self, run: str, to: str, key: str) -> None:
        try:
            os.link(self._file(run, key), self._file(to, key))
        except OSError as error:
            # It is there already, it is gone, or the file system has no links.
            if not isinstance(error, FileExistsError):
                self.put(to, key, [self.get(run, key)])

    def _folder(self, run: str) -> str:
        return f"{self.path}{os.sep}{quote(run)}"

    def _file(self, run: str, key: str) -> str:
        digest_in(key)
        return f"{self._folder(run)}{os.sep}{key}{KEPT}"

    def _find_expected(self, folder: str, run: str, *, beside: str = "") -> str:
        """Return the path of a checkpoint that exists, or raise CheckpointMissing."""
        seen = self._expected.get(folder, "")
        return seen if os.path.exists(seen) else _find_checkpoint(folder, run, beside)

    def _check_not_alone(self, folder: str, run: str, kept: str) -> None:
        """Remove the new checkpoint if the run's folder was replaced by another meanwhile."""
        if folder in self._expected:
            try:
                self._find_expected(folder, run, beside=kept)
            except CheckpointMissing:
                _remove(kept)
                raise
            self._expected[folder] = kept

    @contextlib.contextmanager
    def _explain_absence(self, folder: str, run: str) -> Iterator[None]:
        try:
            yield
        except ABSENT as error:
            if folder in self._expected:
                raise absent(run, folder, "it was moved or deleted just now") from error
            raise

    def _make(self, folder: str) -> None:
        """Make a run's folder, as durable as its files."""
        if folder in self._made and os.path.isdir(folder):
            return
        new = [parent for parent in Path(folder).parents if not parent.exists()]
        Path(folder).mkdir(parents=True, exist_ok=True)
        if self.durability == "power":
            for made in (Path(folder), *new):
                _sync_folder(made.parent)
        self._made.add(folder)


@contextlib.contextmanager
def _write_aside(folder: str) -> Iterator[tuple[BinaryIO, str]]:
    """Open a file of a new name, and delete it if an error keeps it from being renamed."""
    file, path = _create(folder)
    try:
        with file:
            yield file, path
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise


def _create(folder: str) -> tuple[BinaryIO, str]:
    """Create a file of a new name, locked while this process writes it."""
    while True:
        path = f"{folder}{os.sep}{secrets.token_hex(8)}{UNFINISHED}"
        file = open(path, "xb", buffering=BUFFER_BYTES)  # noqa: SIM115 - closed by the caller
        _lock(file)
        if os.path.exists(path):
            return file, path
        # Another process deleted it as a leftover before it was locked.
        file.close()


def _lock(file: BinaryIO) -> None:
    """Lock a file until it is closed, where there are locks."""
    if sys.platform != "win32":  # There, no process can remove an open file.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def _remove_unless_written(path: str) -> None:
    """Delete a file unless another process has locked it."""
    if sys.platform == "win32":
        _remove(path)
        return
    # It is deleted or locked already, or the file system has no locks.
    with contextlib.suppress(OSError), open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)


def _find_checkpoint(folder: str, run: str, beside: str) -> str:
    """Return the path of a checkpoint in a run's folder, other than the one named ``beside``.

    Raises CheckpointMissing if there is none.
    """
    try:
        with os.scandir(folder) as files:
            paths = (file.path for file in files if _is_checkpoint(file.name))
            found = next((path for path in paths if path != beside), None)
    except OSError as error:
        raise absent(run, folder, error.strerror or str(error)) from None
    if found is None:
        raise absent(run, folder, "it is empty, or has other files in it")
    return found


def _is_checkpoint(name: str) -> bool:
    return name.endswith(KEPT) and is_key(name.removesuffix(KEPT))


def _list_files(folder: str, suffix: str) -> Iterator[os.DirEntry[str]]:
    """Yield the files of a folder with this suffix."""
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
        # Windows keeps open files; the next pruning deletes them.
        if sys.platform != "win32":
            raise


def _sync_data(descriptor: int) -> None:
    # Without the file's times; macOS and Windows can only write these as well.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _sync_folder(folder: str | Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if sys.platform == "win32":  # It cannot open folders, and keeps names by itself.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explain_reading(run: str, key: str, kept: str) -> Iterator[None]:
    try:
        yield
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


@contextlib.contextmanager
def _explain_failure(file: str) -> Iterator[None]:
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
