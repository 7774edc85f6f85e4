"""The bytes of a checkpoint's file, or an error if something else is in its place."""

import os
import stat
from collections.abc import Iterator, Sequence
from io import FileIO

import msgspec
import numpy as np

from ramet.digest import Buffer, digest
from ramet.layout import FIRST, check_size, header_end, read_header

# Bytes. The data begins at a multiple of this, as the arrays in it do.
ALIGNMENT = 64
# From this size on, a file's size must match its header before memory is allocated.
LARGE_BYTES = 1 << 26
# The unit of ``st_blocks`` on all file systems.
BLOCK_BYTES = 512
# Read at once while computing a digest.
PIECE_BYTES = 1 << 20
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
    """What is in the file's place cannot be a checkpoint; the message says why."""


def read_content(path: str, expected: str) -> Buffer:
    """Return the bytes of a regular file.

    It is read, not mapped: if the disk could not read a mapped file, or if it were truncated later,
    the process would crash. Raises OSError or NotWhole. A sparse file must have the ``expected``
    digest before memory is allocated for it.
    """
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        if status.st_size >= LARGE_BYTES:
            _check_header(file, status.st_size)
            if _is_sparse(status):
                _check_digest(file, status.st_size, expected)
        return _read(file, status.st_size)


def read_ranges(path: str, ranges: Sequence[tuple[int, int]], expected: str) -> Buffer:
    """Return the bytes in ranges of a regular file, one behind the other.

    Raises OSError or NotWhole. Where they are many, a sparse file must have the ``expected`` digest
    before memory is allocated for them.
    """
    with open_regular(path) as file:
        status, size = os.fstat(file.fileno()), sum(end - begin for begin, end in ranges)
        for begin, end in ranges:
            if not 0 <= begin <= end <= status.st_size:
                raise NotWhole(
                    f"it has {status.st_size:,} bytes, and not those from {begin:,} to {end:,}"
                )
        if size >= LARGE_BYTES and _is_sparse(status):
            _check_digest(file, status.st_size, expected)
        held, at = _allocate(size), 0
        for begin, end in ranges:
            file.seek(begin)
            read = _fill(file, held[at : at + end - begin])
            if read < end - begin:
                raise NotWhole(f"it was cut off at byte {begin + read:,} while it was read")
            at += read
        return held.toreadonly()


def open_regular(path: str) -> FileIO:
    """Open a regular file and nothing else, without waiting for a writer."""
    # Opening some devices has effects.
    check_regular(os.stat(path))  # noqa: PTH116 - as in directory.py
    file = FileIO(os.open(path, FLAGS))
    try:
        check_regular(os.fstat(file.fileno()))
    except NotWhole:
        file.close()
        raise
    return file


def check_regular(status: os.stat_result) -> None:
    """Raise NotWhole for anything but a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise NotWhole(f"it is {kind} in place of a file")


def _check_header(file: FileIO, size: int) -> None:
    """Raise NotWhole unless the file has a header that gives its size."""
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
    return blocks is not None and blocks * BLOCK_BYTES < status.st_size / 2


def _check_digest(file: FileIO, size: int, expected: str) -> None:
    """Refuse bytes without the expected digest, before memory is allocated for all of them."""
    if (found := digest(_pieces(file))) != expected:
        raise NotWhole(
            f"its {size:,} bytes, most of which its disk does not keep, have the digest {found}"
        )
    file.seek(0)


def _pieces(file: FileIO) -> Iterator[Buffer]:
    memory = memoryview(bytearray(PIECE_BYTES))
    while count := file.readinto(memory):
        yield memory[:count]


def _read(file: FileIO, size: int) -> Buffer:
    """Return a file's first bytes, fewer if it was cut off meanwhile."""
    held = _allocate(size)
    return held[: _fill(file, held)].toreadonly()


def _allocate(size: int) -> memoryview:
    # A bytearray would be filled with zeros first.
    memory = np.empty(size + ALIGNMENT, np.uint8)
    begin = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory.data[begin : begin + size]


def _fill(file: FileIO, held: memoryview) -> int:
    """Read up to as many bytes as there is memory; return how many there were."""
    at = 0
    # The system reads 2 GB at most at once.
    while at < len(held) and (count := file.readinto(held[at:])):
        at += count
    return at
