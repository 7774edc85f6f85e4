"""Which checkpoints a run needs, and which can be deleted."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from ramet.events import Keep
from ramet.population import Checkpoint, Population

# States are taken out of a stack, so that it can be deleted, if fewer than one in so many of its
# rows are needed.
TAKE_OUT_BELOW_ONE_IN = 4


def find_needed(population: Population, keep: Keep) -> set[Checkpoint]:
    """Return the checkpoints that a run needs."""
    live = {member.checkpoint for member in population if member.checkpoint}
    best = {it.checkpoint for it in (population.best, population.confirmed) if it is not None}
    best |= {found.checkpoint for found in population.front}
    match keep:
        case "live":
            return live
        case "best" if population.done and best:
            return best
        case _:
            return live | best


def find_files(checkpoints: Iterable[Checkpoint], there: Collection[str]) -> set[str]:
    """Return the keys of the files that checkpoints are read from, given those that exist."""
    begun = {_turn_of(key) for key in there}
    return {_find_file(kept, there, begun) for kept in checkpoints}


def find_unneeded(keys: Collection[str], population: Population, keep: Keep) -> Iterator[str]:
    """Yield the keys of files with checkpoints that no member will ever need again.

    Members only copy what another member stands on. So a checkpoint of an ended turn is not needed
    again once no member stands on it. A checkpoint of a turn that has not ended may be about to be
    committed, and is kept. This is true for any earlier view of the population, and needs no clock.
    Checkpoints of members that the run does not have are of an earlier run of the same name. All
    turns of a stack end in one commit, so what holds for its first row holds for the others.
    """
    if keep == "all":
        return
    needed = find_needed(population, keep)
    kept = find_files(needed, keys)
    for key in keys:
        member, turn = _turn_of(key)
        ended = member >= len(population) or turn < population[member].turn
        if ended and key not in kept:
            yield key


def find_rows(
    keys: Collection[str], population: Population, keep: Keep
) -> dict[str, list[Checkpoint]]:
    """Return the checkpoints that a run needs from stacks, for each stack that exists."""
    found: defaultdict[str, list[Checkpoint]] = defaultdict(list)
    begun = {_turn_of(key) for key in keys}
    for kept in find_needed(population, keep):
        if kept.stack in keys and (file := _find_file(kept, keys, begun)) == kept.stack:
            found[file].append(kept)
    return {} if keep == "all" else dict(found)


def is_worth_keeping(needed: int, rows: int, population: Population, keep: Keep) -> bool:
    """Say whether a stack is kept whole for those of its rows that are needed."""
    if keep == "best" and population.done:
        return needed == rows
    return needed * TAKE_OUT_BELOW_ONE_IN >= rows


def _turn_of(key: str) -> tuple[int, int]:
    """Return the member and the turn of the only, or the first, checkpoint in a file."""
    member, turn = key.split("-", 2)[:2]
    return int(member), int(turn)


def _find_file(kept: Checkpoint, there: Collection[str], begun: Collection[tuple[int, int]]) -> str:
    """Return the key of the file that a checkpoint is read from.

    Args:
        kept: The checkpoint.
        there: The keys of the files that exist.
        begun: The members and turns in these keys. To look there first takes less time than to make
            a key for each row of a stack.
    """
    if kept.stack is None:
        return kept.key
    alone = (kept.member, kept.turn) in begun and kept.key in there
    return kept.key if alone else kept.stack
