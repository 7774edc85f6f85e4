"""Read the states in checkpoints: from files by themselves, or from their rows in stacks.

A state that was written in a stack may have been taken out of it since, into a file by itself.
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from ramet.blobs.base import Blobs
from ramet.digest import Buffer, digest
from ramet.errors import CheckpointDamaged, CheckpointMissing, StoreError
from ramet.layout import FIRST, header_end
from ramet.population import Checkpoint
from ramet.state.codec import CACHED_BYTES, decode, decode_parts, explain_damage
from ramet.state.stacks import StackLayout, read_stack
from ramet.state.tree import Tree

# Errors for checkpoints that cannot be read.
UNREADABLE = (CheckpointDamaged, CheckpointMissing)
# A stack is read whole if one in so many of its rows is wanted, or more.
WHOLE_IF_ONE_IN = 4
# Larger than any file, where the size of one is not known yet.
ANY_BYTES = 1 << 62

# Returns the bytes in ranges of a file, one behind the other.
GetRanges: TypeAlias = Callable[[Sequence[tuple[int, int]]], Buffer]


def read_state(blobs: Blobs, run: str, checkpoint: Checkpoint) -> Tree:
    """Return a state as read-only arrays; raise CheckpointMissing or CheckpointDamaged.

    Args:
        blobs: Where the checkpoints are.
        run: The name of the run.
        checkpoint: The checkpoint.
    """
    first, *body = read_chunks(blobs, run, checkpoint)
    return decode_parts(bytes(first), body[0]) if body else decode(first)


def read_chunks(blobs: Blobs, run: str, checkpoint: Checkpoint) -> list[Buffer]:
    """Return the bytes of a state, as they are or would be in a file by itself."""
    if checkpoint.stack is None:
        return [blobs.get(run, checkpoint.key)]
    errors: list[CheckpointDamaged | CheckpointMissing] = []
    # It may be taken out of the stack between the first two looks.
    for look in (_read_file, _read_row, _read_file):
        try:
            return look(blobs, run, checkpoint)
        except UNREADABLE as error:
            errors.append(error)
    if damages := [error for error in errors if isinstance(error, CheckpointDamaged)]:
        raise damages[0]
    raise CheckpointMissing(f"{errors[-1]}; nor is the stack {checkpoint.stack} there")


def read_states(
    blobs: Blobs, run: str, checkpoints: Sequence[Checkpoint]
) -> list[Tree | StoreError]:
    """Return the state in each of several checkpoints, or why it cannot be read.

    A stack of which many rows are wanted is read once, and these states share its memory.

    Args:
        blobs: Where the checkpoints are.
        run: The name of the run.
        checkpoints: The checkpoints.
    """
    rows: defaultdict[str, set[Checkpoint]] = defaultdict(set)
    for checkpoint in checkpoints:
        if checkpoint.stack is not None:
            rows[checkpoint.stack].add(checkpoint)
    found: dict[Checkpoint, Tree | StoreError] = {}
    for stack, wanted in rows.items():
        found |= _read_together(blobs, run, stack, wanted)
    for checkpoint in checkpoints:
        if checkpoint not in found:
            found[checkpoint] = _try(lambda kept: read_state(blobs, run, kept), checkpoint)
    return [found[checkpoint] for checkpoint in checkpoints]


def find_damage(blobs: Blobs, run: str, checkpoint: Checkpoint) -> StoreError | None:
    """Return why a checkpoint cannot be read; None if it can."""
    found = _try(lambda kept: read_state(blobs, run, kept), checkpoint)
    return found if isinstance(found, StoreError) else None


def count_rows(blobs: Blobs, run: str, stack: str) -> int:
    """Return the number of states that a stack was written with."""
    return _open(blobs, run, stack).layout.rows


class _Opened(NamedTuple):
    """A stack, what its first bytes say, and all of its bytes where they are there anyway."""

    layout: StackLayout
    get_ranges: GetRanges
    data: Buffer | None = None


def _open(blobs: Blobs, run: str, stack: str) -> _Opened:
    get_ranges = getattr(blobs, "get_ranges", None)
    if callable(get_ranges):
        get: GetRanges = functools.partial(get_ranges, run, stack)
        with explain_damage(FIRST):
            end = header_end(bytes(get([(0, FIRST)])), ANY_BYTES)
        # A longer header is read once the digest of the file was found to be right.
        if end <= CACHED_BYTES:
            return _Opened(read_stack(bytes(get([(0, end)]))), get)
    return _open_whole(blobs, run, stack)


def _open_whole(blobs: Blobs, run: str, stack: str) -> _Opened:
    data = memoryview(blobs.get(run, stack)).cast("B")
    with explain_damage(len(data)):
        end = header_end(bytes(data[:FIRST]), len(data))
    return _Opened(read_stack(bytes(data[:end])), functools.partial(_join, data), data)


def _join(data: memoryview, ranges: Sequence[tuple[int, int]]) -> Buffer:
    return b"".join(data[begin:end] for begin, end in ranges)


def _read_file(blobs: Blobs, run: str, checkpoint: Checkpoint) -> list[Buffer]:
    return [blobs.get(run, checkpoint.key)]


def _read_row(blobs: Blobs, run: str, checkpoint: Checkpoint) -> list[Buffer]:
    layout, get_ranges, _ = _open(blobs, run, str(checkpoint.stack))
    _check_row(layout, run, checkpoint)
    chunks = [layout.header, get_ranges(layout.ranges(checkpoint.row))]
    _check_digest(chunks, run, checkpoint)
    return chunks


def _read_together(
    blobs: Blobs, run: str, stack: str, wanted: set[Checkpoint]
) -> dict[Checkpoint, Tree | StoreError]:
    """Return the wanted states if they are many of a stack, without those it does not have."""
    if len(wanted) == 1:
        return {}
    try:
        opened = _open(blobs, run, stack)
        if len(wanted) * WHOLE_IF_ONE_IN < opened.layout.rows:
            return {}
        opened = _open_whole(blobs, run, stack) if opened.data is None else opened
    except UNREADABLE:
        return {}  # Some may have been taken out.
    layout, data = opened.layout, memoryview(opened.data or b"")

    def read(checkpoint: Checkpoint) -> Tree:
        _check_row(layout, run, checkpoint)
        ranges = layout.ranges(checkpoint.row)
        parts = [data[begin:end] for begin, end in ranges]
        _check_digest([layout.header, *parts], run, checkpoint)
        return layout.decode_row(data, checkpoint.row)

    read_each = {checkpoint: _try(read, checkpoint) for checkpoint in wanted}
    return {kept: tree for kept, tree in read_each.items() if not isinstance(tree, StoreError)}


def _try(read: Callable[[Checkpoint], Tree], checkpoint: Checkpoint) -> Tree | StoreError:
    try:
        return read(checkpoint)
    except UNREADABLE as error:
        return error


def _check_row(layout: StackLayout, run: str, checkpoint: Checkpoint) -> None:
    if checkpoint.row >= layout.rows:
        raise CheckpointDamaged(
            f"a stack must have the rows that were written, but {checkpoint.stack} of run {run!r} "
            f"has {layout.rows:,} and {checkpoint.key} is in row {checkpoint.row:,}; put back a "
            f"copy that is whole, or go on in a run of another name"
        )


def _check_digest(chunks: Sequence[Buffer], run: str, checkpoint: Checkpoint) -> None:
    found = digest(chunks)
    if found != checkpoint.digest:
        raise CheckpointDamaged(
            f"a checkpoint's bytes must be those that were written, but {checkpoint.key} of run "
            f"{run!r}, row {checkpoint.row:,} of {checkpoint.stack}, now has the digest {found}: "
            f"the disk or a copy damaged them; put back a copy that is whole, or go on in a run of "
            f"another name"
        )
