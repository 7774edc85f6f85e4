"""Fewer turns of a long run, each of which spans those left out in front of it."""

from array import array
from collections.abc import Collection, Sequence

from ramet.history.turns import FRESH, Key, Turns
from ramet.population import Point


def thinned(turns: Turns, keys: Collection[Key]) -> Turns:
    """Return some turns; of the scores in between, each has the lowest and the highest."""
    found = Turns()
    # Of each turn, where the last one on its lineage that is kept is, and where among those kept.
    kept, places = array("q"), {FRESH: FRESH}
    for place, (key, origin) in enumerate(zip(turns, turns.origins, strict=True)):
        before = FRESH if origin == FRESH else kept[origin]
        if key in keys:
            places[place] = _add(found, turns, place, before, places[before])
        kept.append(place if key in keys else before)
    return found


def _add(found: Turns, turns: Turns, place: int, before: int, origin: int) -> int:
    """Add a turn that spans those behind an earlier one on its lineage; return its place."""
    points, edge, passed = [turns.points(place)], turns.edges[place], place
    while turns.origins[passed] != before:
        passed = turns.origins[passed]
        points.append(turns.points(passed))
        edge = turns.edges[passed] if edge == "own" else edge
    between = [point for its in reversed(points) for point in its]
    return found.add(
        member=turns.members[place],
        number=turns.numbers[place],
        start=turns.starts[passed],
        stop=turns.stops[place],
        trained=turns.trained[place],
        hparams=turns.hparams[place],
        points=points[0] if passed == place else _outermost(between),
        digest=turns.checkpoint(place).digest,
        origin=origin,
        edge=edge,
    )


def _outermost(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the lowest, the highest and the last of some points, in their order."""
    finite = [(score, place) for place, (_, score) in enumerate(points) if score is not None]
    places = {len(points) - 1} if points else set()
    if finite:
        places |= {min(finite)[1], max(finite)[1]}
    return tuple(points[place] for place in sorted(places))
