"""Who was at work when: turns as their workers saw them, read from a run's log."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ramet.history import Result

# A time in which nobody was at work is a pause if it is this part of all in which somebody was.
PAUSE = 0.1
# Turns of one worker at a time that have a lane each; more are drawn as one.
LANES = 4
# The part of a worker's row that its turns have.
HEIGHT = 0.8
# Bars are joined to blocks of so many times what can be seen.
BLOCK = 4


# What several plots and a report's sections ask for.
_read: "WeakKeyDictionary[Result, tuple[list[Stint], list[Pause]]]" = WeakKeyDictionary()


class Stint(NamedTuple):
    """A turn as its worker saw it, in seconds since the first one began, pauses left out."""

    worker: str
    start: float
    stop: float
    member: int
    turn: int
    failed: bool


class Pause(NamedTuple):
    """A time in which nobody was at work, by when it would have begun, and how long it was."""

    at: float
    length: float


class Bar(NamedTuple):
    """One turn, or all that a worker had under way at a time."""

    start: float
    stop: float
    bottom: float
    height: float
    turn: int
    failed: bool
    text: str


def stints_of(result: Result) -> tuple[list[Stint], list[Pause]]:
    """Return all turns by their start, and the pauses between them."""
    if result not in _read:
        _read[result] = _without_pauses(_stints(result))
    return _read[result]


def _stints(result: Result) -> list[Stint]:
    """Return all turns by their start, in seconds since the epoch."""
    told = []
    # A turn that was given up is told of by its last attempt, or by somebody else.
    for worker, at, took, member, turn, failed in result.account.attempts:
        if took is not None:
            told.append(Stint(worker, at - took, at, member, turn, failed))
    # By both, the start first: sorting is stable, and pairs to compare would take memory.
    told.sort(key=attrgetter("stop"))
    told.sort(key=attrgetter("start"))
    return told


def spans(stints: Iterable[Stint]) -> Iterator[tuple[float, float]]:
    """Yield the times in which any of some turns, by their start, was under way."""
    last: tuple[float, float] | None = None
    for stint in stints:
        if last and stint.start <= last[1]:
            last = (last[0], max(last[1], stint.stop))
            continue
        if last:
            yield last
        last = (stint.start, stint.stop)
    if last:
        yield last


def by_worker(stints: Iterable[Stint]) -> dict[str, list[Stint]]:
    """Return each worker's turns, in the order in which they came to the run."""
    found: defaultdict[str, list[Stint]] = defaultdict(list)
    for stint in stints:
        found[stint.worker].append(stint)
    return dict(found)


def idle_s(stints: Sequence[Stint]) -> tuple[float, float]:
    """Return how long a worker was idle from its first turn to its last, and how long that is."""
    there = max(stint.stop for stint in stints) - stints[0].start
    return there - sum(stop - start for start, stop in spans(stints)), there


def _without_pauses(stints: list[Stint]) -> tuple[list[Stint], list[Pause]]:
    """Move stints to when they would have been; in place, because they are many."""
    worth = PAUSE * sum(stop - start for start, stop in spans(stints))
    shift = stints[0].start if stints else 0.0
    # From when on turns are moved, and by how much.
    shifts, pauses = [(shift, shift)], []
    for (_, before), (start, _) in pairwise(spans(stints)):
        gap = start - before
        if gap > worth:
            shift += gap
            pauses.append(Pause(start - shift, gap))
            shifts.append((start, shift))
    nth = 0
    for place, stint in enumerate(stints):
        while nth + 1 < len(shifts) and stint.start >= shifts[nth + 1][0]:
            nth += 1
        by = shifts[nth][1]
        worker, start, stop, member, turn, failed = stint
        stints[place] = Stint(worker, start - by, stop - by, member, turn, failed)
    return stints, pauses


def bars_of(stints: Sequence[Stint], row: int, slack: float) -> Iterator[Bar]:
    """Return a worker's turns as bars in its row."""
    lanes = _lanes(stints, slack)
    bottom = row - HEIGHT / 2
    if len(lanes) > LANES:
        yield from _merged(stints, bottom)
        return
    height = HEIGHT / len(lanes)
    for nth, lane in enumerate(lanes):
        for its in lane:
            place = its.start, its.stop, bottom + nth * height, height
            yield Bar(*place, its.turn, its.failed, f"{its.member}")


def _merged(stints: Sequence[Stint], bottom: float) -> Iterator[Bar]:
    """Return the times in which a worker had turns under way, with how many there were."""
    times = list(spans(stints))
    starts = np.array([start for start, _ in times])
    groups: defaultdict[int, list[Stint]] = defaultdict(list)
    for stint in stints:
        groups[int(np.searchsorted(starts, stint.start, side="right")) - 1].append(stint)
    for (start, stop), its in zip(times, groups.values(), strict=True):
        text = f"{len(its):,} turns" if len(its) > 1 else f"{its[0].member}"
        turn, failed = max(stint.turn for stint in its), all(stint.failed for stint in its)
        yield Bar(start, stop, bottom, HEIGHT, turn, failed, text)


def seen(bars: Iterable[Bar], least: float) -> Iterator[Bar]:
    """Join what is too short to be seen apart; no bar of what failed is joined to any other."""
    # The first and the last of those that are joined, and when the longest of them stops.
    first: Bar | None = None
    last: Bar | None = None
    stop = 0.0
    for bar in bars:
        if first and _too_short(first, stop, bar, least):
            last, stop = bar, max(stop, bar.stop)
            continue
        if first and last:
            yield _joined(first, last, stop)
        first, last, stop = bar, bar, bar.stop
    if first and last:
        yield _joined(first, last, stop)


def _joined(first: Bar, last: Bar, stop: float) -> Bar:
    return first if first is last else first._replace(stop=stop, turn=last.turn, text="")


def _too_short(first: Bar, stop: float, bar: Bar, least: float) -> bool:
    return (
        bar.bottom == first.bottom
        and bar.failed == first.failed
        and bar.start - stop < least
        and stop - first.start < BLOCK * least
        and bar.stop - bar.start < BLOCK * least
    )


def _lanes(stints: Sequence[Stint], slack: float) -> list[list[Stint]]:
    """Part one worker's turns, by their start, such that those of a part overlap by less."""
    lanes: list[list[Stint]] = []
    for stint in stints:
        for lane in lanes:
            if stint.start > lane[-1].stop - slack:
                lane.append(stint)
                break
        else:
            lanes.append([stint])
    return lanes
