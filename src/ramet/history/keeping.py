"""Which checkpoints a run keeps, and which nobody will ever need again."""

from collections.abc import Iterable, Iterator

from ramet.events import Keep
from ramet.population import Population


def find_needed(population: Population, keep: Keep) -> set[str]:
    """Return the keys of the checkpoints that must be there, of those that were ever made."""
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
    """Yield the keys that no member needs any more, nor ever will.

    A checkpoint of a turn that has ended comes into no member's hands again once it is in none. One
    of a turn that has not ended may be about to be committed, and stays. So this holds however old
    the view of the population is that it is asked with, and needs no clock. What an earlier run of
    the same name left, of a member that this one does not have, nobody can need.
    """
    if keep == "all":
        return
    kept = find_needed(population, keep)
    for key in keys:
        member, turn = (int(number) for number in key.split("-", 2)[:2])
        ended = member >= len(population) or turn < population[member].turn
        if ended and key not in kept:
            yield key
