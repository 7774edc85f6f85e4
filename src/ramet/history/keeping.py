"""Which checkpoints a run needs, and which can be deleted."""

from collections.abc import Iterable, Iterator

from ramet.events import Keep
from ramet.population import Population


def find_needed(population: Population, keep: Keep) -> set[str]:
    """Return the keys of the checkpoints that a run needs."""
    live = {member.checkpoint.key for member in population if member.checkpoint}
    best = {population.best.checkpoint.key} if population.best else set()
    match keep:
        case "live":
            return live
        case "best" if population.done and best:
            return best
        case _:
            return live | best


def find_unneeded(keys: Iterable[str], population: Population, keep: Keep) -> Iterator[str]:
    """Yield the keys of checkpoints that no member will ever need again.

    Members only copy what another member stands on. So a checkpoint of an ended turn is not needed
    again once no member stands on it. A checkpoint of a turn that has not ended may be about to be
    committed, and is kept. This is true for any earlier view of the population, and needs no clock.
    Checkpoints of members that the run does not have are of an earlier run of the same name.
    """
    if keep == "all":
        return
    kept = find_needed(population, keep)
    for key in keys:
        member, turn = (int(number) for number in key.split("-", 2)[:2])
        ended = member >= len(population) or turn < population[member].turn
        if ended and key not in kept:
            yield key
