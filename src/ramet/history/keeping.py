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
    return {
        kept.key if kept.stack is None or kept.key in there else kept.stack for kept in checkpoints
    }


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
        member, turn = (int(number) for number in key.split("-", 2)[:2])
        ended = member >= len(population) or turn < population[member].turn
        if ended and key not in kept:
            yield key


def find_rows(
    keys: Collection[str], population: Population, keep: Keep
) -> dict[str, list[Checkpoint]]:
    """Return the checkpoints that a run needs from stacks, for each stack that exists."""
    found: defaultdict[str, list[Checkpoint]] = defaultdict(list)
    for kept in find_needed(population, keep):
        if kept.stack is not None and kept.stack in keys and kept.key not in keys:
            found[kept.stack].append(kept)
    return {} if keep == "all" else dict(found)


def is_worth_keeping(needed: int, rows: int, population: Population, keep: Keep) -> bool:
    """Say whether a stack is kept whole for those of its rows that are needed."""
    if keep == "best" and population.done:
        return needed == rows
    return needed * TAKE_OUT_BELOW_ONE_IN >= rows
