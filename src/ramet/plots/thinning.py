"""Which turns of a long run are drawn: as many as a picture can show."""

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from matplotlib.artist import Artist

from ramet import wording
from ramet.history import Lineage, Result
from ramet.history.turns import Key
from ramet.plots import drawing

# Turns that a picture shows: for twenty members, more than it has pixels from left to right.
MOST = 20_000
# Turns of each member, however many members there are.
LEAST = 8

_drawn: "WeakKeyDictionary[Lineage, Lineage]" = WeakKeyDictionary()


def thin(result: Result) -> Lineage:
    """Return a run's lineage as it is drawn: that of some of its turns, if there are too many.

    Of each member these are evenly spaced, and each spans those that are left out. What members
    stand on and the best are always among them.
    """
    lineage = result.lineage()
    if len(lineage.turns) <= MOST:
        return lineage
    if lineage not in _drawn:
        best = result.population.chosen
        kept = dict(_space_out(lineage))
        last = [lineage.weights(member) for member in range(len(lineage.opening.births))]
        ends = [*last, best.checkpoint if best else None]
        keys = {*kept.values(), *((it.member, it.turn) for it in ends if it is not None)}
        _drawn[lineage] = lineage.thin(keys)
    return _drawn[lineage]


def remark_left_out(result: Result) -> list[Artist]:
    """Return what a legend says if some turns are left out."""
    every, drawn = len(result.lineage().turns), len(thin(result).turns)
    if every == drawn:
        return []
    return [drawing.remark(f"{drawn:,} of {wording.count(every, 'turn')} are drawn")]


def _space_out(lineage: Lineage) -> Iterator[tuple[Key, Key]]:
    """Yield turns by their member and the part of the run in which they ended, the last last."""
    parts = max(LEAST, MOST // len(lineage.opening.births))
    turns = lineage.turns
    end = max(turns.trained)
    for (member, number), trained in zip(turns, turns.trained, strict=True):
        yield (member, trained * parts // (end + 1)), (member, number)
