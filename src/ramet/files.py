"""Reads and writes files that users name."""

import contextlib
import errno
import os
import secrets
import stat
import sys
from os import PathLike

from ramet.errors import UsageError

# Without it, Windows changes the ends of lines.
_BINARY = getattr(os, "O_BINARY", 0)
# Opens a FIFO without waiting for a writer.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
# How many links a path may lead through, as on Linux.
MAX_LINKS = 40
# Folders with the paths of this process's descriptors, on systems that have them.
DESCRIPTORS = ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd")


def impossible(path: str) -> str | None:
    r"""Say why no file can have a path, if that is so.

    >>> impossible("runs.db"), impossible("a\0b")
    (None, 'no path can have NUL in it')
    """
    if "\0" in path:
        return "no path can have NUL in it"
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        return f"no path of this system can have {error.object[error.start]!r} in it"
    return None


def read(path: str | PathLike[str], at_most: int) -> bytes:
    """Return the first bytes of a file that a user named.

    A FIFO without a writer has none. Raises OSError, or ValueError for an impossible path.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        return file.read(at_most)


def _open_at_once(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | _AT_ONCE)
    if _AT_ONCE:
        # A FIFO with a writer is read to its end.
        os.set_blocking(descriptor, True)
    return descriptor


def write(path: str | PathLike[str], data: bytes) -> int:
    """Write a file that a user named, and return its size in bytes.

    A regular file is replaced once the new one is complete; its mode and, if permitted, its owner
    are kept. A symbolic link stays, and its target is written. Anything else, such as a device, a
    pipe, a mount point or ``/dev/stdout``, is written to directly. A pipe without a reader raises
    BrokenPipeError, as ``print`` does.
    """
    name = os.fspath(path)
    try:
        if (descriptor := _descriptor(name)) is not None:
            _write_to_descriptor(descriptor, data)
        elif (there := _status(name)) is None or stat.S_ISREG(there.st_mode):
            _replace(os.path.realpath(name), data, there)
        else:
            _write_through(name, data, there)
    except BrokenPipeError:
        # Not an error in the path: the reader has enough, as `head` does.
        raise
    except (OSError, ValueError) as error:
        # A path with a lone surrogate or NUL is a ValueError.
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"a file must be where one can be written, but {name!r} cannot: {why}; name another, "
            f"or make its folder"
        ) from error
    return len(data)


def _status(path: str) -> os.stat_result | None:
    """Return what a path leads to, or None if there is nothing yet."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _descriptor(path: str) -> int | None:
    """Return the descriptor of this process that a path such as ``/dev/stdout`` leads to."""
    folders = {os.path.realpath(folder) for folder in DESCRIPTORS}
    for _ in range(MAX_LINKS):
        folder, name = os.path.split(path)
        folder = os.path.realpath(folder)
        if folder in folders and name.isdecimal():
            return int(name)
        path = os.path.join(folder, name)
        if not os.path.islink(path):
            return None
        path = os.path.join(folder, os.readlink(path))
    return None


def _write_to_descriptor(descriptor: int, data: bytes) -> None:
    """Write at a descriptor's position; opening its path would begin at the file's start."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)


def _write_through(path: str, data: bytes, there: os.stat_result) -> None:
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file in it")
    with open(path, "wb") as file:
        file.write(data)


def _replace(target: str, data: bytes, there: os.stat_result | None) -> None:
    """Write a complete file, and put it in the place of ``target``."""
    # Not derived from the file's name, which may have the greatest possible length.
    unfinished = os.path.join(os.path.dirname(target), f".ramet-{secrets.token_hex(8)}")
    mode = 0o666 if there is None else 0o600
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if there is not None:
                _take_over(descriptor, there)
            file.flush()
            # Without this, a loss of power may leave an empty file.
            os.fsync(descriptor)
        try:
            os.replace(unfinished, target)
        except OSError as error:
            # A mount point, such as a file that a container has from outside, cannot be replaced.
            if there is None or error.errno != errno.EBUSY:
                raise
            _write_through(target, data, there)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)


def _take_over(descriptor: int, before: os.stat_result) -> None:
    """Give a file the mode and, if permitted, the owner and group of the one that it replaces."""
    if sys.platform == "win32":
        return
    for owner, group in ((-1, before.st_gid), (before.st_uid, -1)):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, owner, group)
    # Last, because a change of owner takes some bits away; some file systems have no modes.
    with contextlib.suppress(PermissionError):
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
