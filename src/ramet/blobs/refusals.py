"""What blobs say when they cannot give bytes back: one wording for all of them."""

from ramet.blobs.base import digest_in
from ramet.digest import Buffer, digest
from ramet.errors import CheckpointDamaged, CheckpointMissing


def missing(run: str, key: str, where: str) -> CheckpointMissing:
    """Return the error for what is not there."""
    return CheckpointMissing(
        f"a checkpoint must be where its run's were put, but {key} of run {run!r} is not in "
        f"{where}: go on with a run with the blobs= it was begun with, and look for no more than "
        f"its keep= keeps"
    )


def unreadable(run: str, key: str, where: str, error: OSError) -> CheckpointDamaged:
    """Return the error for what is there and cannot be read."""
    return CheckpointDamaged(
        f"a checkpoint must be readable, but {key} of run {run!r} in {where} is not: "
        f"{error.strerror or error}"
    )


def check_digest(data: Buffer, run: str, key: str, where: str) -> None:
    """Refuse bytes that are not those which were put."""
    found = digest([data])
    if found != digest_in(key):
        raise CheckpointDamaged(
            f"a checkpoint's bytes must be those that were written, but {key} of run {run!r}, "
            f"{len(data):,} bytes in {where}, now have the digest {found}: the disk or whoever "
            f"copied them damaged them; put back a copy that is whole, or go on in a run of "
            f"another name"
        )
