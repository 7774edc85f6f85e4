"""How the family tree of a run's weights is laid out."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ramet.history import Lineage
from ramet.history.turns import FRESH, Key
from ramet.plots.story import Point


def count_descendants(lineage: Lineage) -> Counter[Key]:
    """Return how many members now stand on what each turn led to, where there are any."""
    standing: Counter[Key] = Counter()
    for member in range(len(lineage.opening.births)):
        standing.update(turn.key for turn in lineage.ancestors(member))
    return standing


Origins = Mapping[Key, Key | None]


class Branch(NamedTuple):
    """A turn as a line, from the one that it went on from."""

    path: list[Point]
    # Where it ended. The path goes on until the last turn that went on from it begins.
    end: Point


# What the tree and the places on it ask for.
_grown: "WeakKeyDictionary[Lineage, dict[Key, Branch]]" = WeakKeyDictionary()


def tree_of(lineage: Lineage, standing: Counter[Key]) -> dict[Key, Branch]:
    """Return the branches of a lineage, each up to when its turn ended."""
    if lineage not in _grown:
        _grown[lineage] = branches(lineage, standing)
    return _grown[lineage]


def branches(lineage: Lineage, standing: Counter[Key]) -> dict[Key, Branch]:
    """Return a line for each turn: such that none cross.

    What ends at one time lies in the order of a walk through the tree, depth first, at heights from
    0 to 1. Turns that many members go back to have more room, and so lie in their midst.
    """
    turns = lineage.turns
    ends = dict(zip(turns, turns.trained, strict=True))
    origins = _origins(lineage)
    places = _places(lineage, standing, ends, origins)
    found = {}
    for (key, before), first, last in zip(origins.items(), turns.starts, turns.stops, strict=True):
        (time, height), *waiting = places[key].items()
        if before is None:
            start = (float(time - (last - first)), height)
        else:
            # In an asynchronous run, a member may go on from one that is ahead of it.
            behind = [at for at in places[before] if at < time] or [ends[before]]
            start = (float(behind[-1]), places[before][behind[-1]])
        end = (float(time), height)
        found[key] = Branch([start, end, *((float(at), where) for at, where in waiting)], end)
    return found


def _origins(lineage: Lineage) -> dict[Key, Key | None]:
    """Return the turn that each one went on from."""
    keys = list(lineage.turns)
    origins = (None if place == FRESH else keys[place] for place in lineage.turns.origins)
    return dict(zip(keys, origins, strict=True))


def _places(
    lineage: Lineage, standing: Counter[Key], ends: Mapping[Key, int], origins: Origins
) -> dict[Key, dict[int, float]]:
    """Return how high each turn is when it ends, and as long as others will go on from it."""
    order = {key: place for place, key in enumerate(_walk(lineage, ends, origins))}
    waits = _waits(ends, origins)
    places: defaultdict[Key, dict[int, float]] = defaultdict(dict)
    for time, layer in sorted(_layers(lineage, ends, waits).items()):
        ordered = sorted(layer, key=order.__getitem__)
        room = np.array([1 + standing[key] for key in ordered], float)
        tops = np.cumsum(room)
        for key, middle in zip(ordered, (tops - room / 2) / tops[-1], strict=True):
            if time <= waits.get(key, ends[key]):
                places[key][time] = float(middle)
    return places


def _waits(ends: Mapping[Key, int], origins: Origins) -> dict[Key, int]:
    """Return until when each turn waited for the last that went on from it."""
    times = sorted(set(ends.values()))
    waits: dict[Key, int] = {}
    for key, before in origins.items():
        if before is not None:
            last = times[max(0, bisect_left(times, ends[key]) - 1)]
            waits[before] = max(waits.get(before, ends[before]), last)
    return waits


def _layers(
    lineage: Lineage, ends: Mapping[Key, int], waits: Mapping[Key, int]
) -> dict[int, set[Key]]:
    """Return what has a place at each time: turns that end, or wait, or that a member stands on."""
    times = sorted(set(ends.values()))
    kept = (lineage.weights(member) for member in range(len(lineage.opening.births)))
    stands = {(checkpoint.member, checkpoint.turn) for checkpoint in kept if checkpoint}
    layers: defaultdict[int, set[Key]] = defaultdict(set)
    for key, end in ends.items():
        last = times[-1] if key in stands else waits.get(key, end)
        for time in times[bisect_left(times, end) : bisect_right(times, last)]:
            layers[time].add(key)
    return layers


def _walk(lineage: Lineage, ends: Mapping[Key, int], origins: Origins) -> Iterator[Key]:
    """Yield all turns, each before those that went on from it, of which the last come first."""
    births = lineage.opening.births
    children: defaultdict[Key | None, list[Key]] = defaultdict(list)
    for key, before in origins.items():
        children[before].append(key)
    # The last is walked first.
    waiting = sorted(children[None], key=lambda key: (births[key[0]].group, key), reverse=True)
    while waiting:
        key = waiting.pop()
        yield key
        waiting += sorted(children[key], key=lambda key: (-ends[key], key), reverse=True)
