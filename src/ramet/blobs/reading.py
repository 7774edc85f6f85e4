"""The bytes of a file, whatever stands in its place."""

import os
import stat
from collections.abc import Iterator
from io import FileIO

import msgspec
import numpy as np

from ramet.digest import Buffer, digest
from ramet.layout import FIRST, check_size, header_end, read_header

# What is read begins at a multiple of it, as the arrays in it do.
ALIGNMENT = 64
# From this size on, the header is held against a file's size before there is memory for all of it.
LARGE = 1 << 26
# What ``st_blocks`` counts, whatever the file system has.
BLOCK = 512
# Read at once where the bytes are not kept.
PIECE = 1 << 20
# Opens a FIFO without waiting for a writer; regular files are read as without it.
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class NotWhole(Exception):
    """What is there cannot be what was written, and why; nothing was read of it."""


def content(path: str, expected: str) -> Buffer:
    """Return the bytes of a regular file, read into memory of our own.

    Not mapped: what the disk cannot read would end the process, and so would a file that is cut
    off later. Raises OSError, or NotWhole. A file that takes little room on its disk must have the
    ``expected`` digest before there is memory for it.
    """
    with opened(path) as file:
        status = os.fstat(file.fileno())
        if status.st_size >= LARGE:
            _check_header(file, status.st_size)
            if _is_sparse(status):
                _check_digest(file, status.st_size, expected)
        return _read(file, status.st_size)


def opened(path: str) -> FileIO:
    """Open a regular file, and nothing else, without ever waiting for somebody to write."""
    # Opening some devices does something.
    check_regular(os.stat(path))  # noqa: PTH116 - as in directory.py
    file = FileIO(os.open(path, FLAGS))
    try:
        check_regular(os.fstat(file.fileno()))
    except NotWhole:
        file.close()
        raise
    return file


def check_regular(status: os.stat_result) -> None:
    """Refuse what is no regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise NotWhole(f"it is {kind} in place of a file")


def _check_header(file: FileIO, size: int) -> None:
    """Refuse a file whose size is not what its header says, or that has no header."""
    try:
        first = file.read(FIRST) or b""
        end = header_end(first, size)
        check_size(read_header(file.read(end - FIRST) or b""), size - end)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise NotWhole(f"its {size:,} bytes are no checkpoint: {error}") from None
    file.seek(0)


def _is_sparse(status: os.stat_result) -> bool:
    """Say whether a file takes far less room than its size: it has holes, or is compressed."""
    blocks: int | None = getattr(status, "st_blocks", None)
    return blocks is not None and blocks * BLOCK < status.st_size / 2


def _check_digest(file: FileIO, size: int, expected: str) -> None:
    """Refuse other bytes than those expected, before there is memory for all of them."""
    if (found := digest(_pieces(file))) != expected:
        raise NotWhole(
            f"its {size:,} bytes, most of which its disk does not keep, have the digest {found}"
        )
    file.seek(0)


def _pieces(file: FileIO) -> Iterator[Buffer]:
    memory = memoryview(bytearray(PIECE))
    while count := file.readinto(memory):
        yield memory[:count]


def _read(file: FileIO, size: int) -> Buffer:
    """Return a file's first bytes, fewer if it was cut off meanwhile."""
    # Not a bytearray, which is filled with zeros first.
    memory = np.empty(size + ALIGNMENT, np.uint8)
    begin = -memory.__array_interface__["data"][0] % ALIGNMENT
    held, at = memory.data[begin : begin + size], 0
    # The system reads 2 GB at most at once.
    while at < size and (count := file.readinto(held[at:])):
        at += count
    return held[:at].toreadonly()
