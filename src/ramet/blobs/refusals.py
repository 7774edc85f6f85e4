"""Errors for checkpoints that cannot be read, worded alike for all blobs."""

from collections.abc import Iterable

from ramet.blobs.base import digest_in
from ramet.digest import Buffer, digest
from ramet.errors import CheckpointDamaged, CheckpointMissing, StoreError


def missing(run: str, key: str, where: str) -> CheckpointMissing:
    """Return the error for a checkpoint that does not exist."""
    return CheckpointMissing(
        f"a checkpoint must be where its run's were put, but {key} of run {run!r} is not in "
        f"{where}: go on with a run with the blobs= it was begun with, and look for no more than "
        f"its keep= keeps"
    )


def absent(run: str, where: str, why: str) -> CheckpointMissing:
    """Return the error for a run that has none of its checkpoints any more."""
    return CheckpointMissing(
        f"the checkpoints of a run must stay where they were put, but {where} has none of those "
        f"that the log of run {run!r} names: {why}. Nothing was written. If it was moved, move it "
        f"back; if its disk is not mounted, mount it; then run again, which goes on as if nothing "
        f"had happened"
    )


def unreadable(run: str, key: str, where: str, why: str) -> CheckpointDamaged:
    """Return the error for a checkpoint that exists and cannot be read."""
    return CheckpointDamaged(
        f"a checkpoint must be readable, but {key} of run {run!r} in {where} is not: {why}"
    )


def not_read(run: str, key: str, where: str, why: str) -> StoreError:
    """Return the error for a checkpoint that this process could not read; it may be whole."""
    return StoreError(
        f"a process must be able to read its checkpoints, but {key} of run {run!r} in {where} was "
        f"not read: {why}; nothing is known to be wrong with it: make room, and run again"
    )


def check_ranges(
    ranges: Iterable[tuple[int, int]], size: int, run: str, key: str, where: str
) -> None:
    """Refuse ranges that are not within a file's bytes."""
    if outside := [(begin, end) for begin, end in ranges if not 0 <= begin <= end <= size]:
        begin, end = outside[0]
        raise unreadable(
            run, key, where, f"it has {size:,} bytes, and not those from {begin:,} to {end:,}"
        )


def check_digest(data: Buffer, run: str, key: str, where: str) -> None:
    """Refuse bytes that are not those that were put."""
    found = digest([data])
    if found != digest_in(key):
        raise CheckpointDamaged(
            f"a checkpoint's bytes must be those that were written, but {key} of run {run!r}, "
            f"{len(data):,} bytes in {where}, now have the digest {found}: the disk or a "
            f"copy damaged them; put back a copy that is whole, or go on in a run of "
            f"another name"
        )
