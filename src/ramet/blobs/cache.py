"""A cache of checkpoints on the local disk, for blobs that are far away."""

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ramet.blobs.base import digest_in
from ramet.digest import Buffer, digest

logger = logging.getLogger("ramet")

UNFINISHED = ".tmp"
# The files are counted again whenever this part of the limit was written since.
COUNT_AFTER_PART = 1 / 16
# Age of an unfinished file after which its writer is taken for dead.
ABANDONED_S = 3600.0


def usual_folder() -> Path:
    """Return the folder in which programs of this user keep what they can fetch again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "ramet" / "checkpoints"


class Cache:
    """Keeps the checkpoints used last, up to a number of bytes; any processes may share a folder.

    A file is named by the digest of its bytes, which are compared with it whenever they are read.
    Nothing relies on the cache: whatever the disk refuses ends it for this process, and is said
    once.

    Args:
        folder: Where the files are.
        most_bytes: How many bytes they may have together; 0 keeps none.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self._lock = threading.Lock()
        self._written = most_bytes
        self._broken = False

    def get(self, key: str) -> Buffer | None:
        """Return the bytes of a checkpoint, if they are here and whole.

        Args:
            key: The key of the checkpoint.
        """
        found = None
        if self._works:
            with self._give_up_quietly():
                found = self._read(key)
        return found

    def put(self, key: str, chunks: Sequence[Buffer]) -> None:
        """Keep the bytes of a checkpoint, in place of those that were used least recently.

        Args:
            key: The key of the checkpoint.
            chunks: The bytes, in parts that follow each other.
        """
        size = sum(len(chunk) for chunk in chunks)
        if not self._works or size > self.most_bytes:
            return
        with self._give_up_quietly():
            self._make_room(size)
            self._write(self._path(key), chunks)

    def delete(self, key: str) -> None:
        """Forget a checkpoint.

        Args:
            key: The key of the checkpoint.
        """
        if self._works:
            with self._give_up_quietly():
                self._path(key).unlink(missing_ok=True)

    @property
    def _works(self) -> bool:
        return self.most_bytes > 0 and not self._broken

    def _path(self, key: str) -> Path:
        return self.folder / digest_in(key)

    def _read(self, key: str) -> Buffer | None:
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if digest([data]) != digest_in(key):
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(FileNotFoundError):  # Another process needed the room.
            os.utime(path)
        return data

    def _write(self, path: Path, chunks: Sequence[Buffer]) -> None:
        if path.exists():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self.folder / f"{secrets.token_hex(8)}{UNFINISHED}"
        try:
            with unfinished.open("xb") as file:
                file.writelines(chunks)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Delete the files used least recently, if all might be too large together."""
        with self._lock:
            self._written += size
            if self._written < self.most_bytes * COUNT_AFTER_PART:
                return
            self._written = 0
            files = sorted(_list_files(self.folder), reverse=True)
            # Also for what this and other processes write until they count again.
            room = self.most_bytes * (1 - 2 * COUNT_AFTER_PART) - size
            for _, length, path in files:
                room -= length
                if room < 0:
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _give_up_quietly(self) -> Iterator[None]:
        try:
            yield
        except (OSError, MemoryError) as error:
            if not self._broken:
                self._broken = True
                logger.warning(
                    "checkpoints are no longer cached in %(folder)s, but fetched each time: "
                    "%(error)s",
                    {"folder": str(self.folder), "error": str(error)},
                )


def _list_files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield when each file was used last, its size, and its path; delete abandoned ones."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            if path.suffix != UNFINISHED:
                yield status.st_mtime, status.st_size, path
            elif status.st_mtime < time.time() - ABANDONED_S:
                path.unlink(missing_ok=True)
