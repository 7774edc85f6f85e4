"""Who was at work when: turns as their workers saw them, in columns because they can be many."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ramet.history import Result
from ramet.history.account import Flags, Floats, Ints

# A gap in which no worker trains is a pause if it is this part of all the time in which one does.
PAUSE = 0.1
# Up to this many turns of a worker at a time have a lane each; more are drawn as one bar.
LANES = 4
# The part of a worker's row that its turns fill.
HEIGHT = 0.8
# The longest block of joined bars, as a multiple of the shortest time that can be seen.
BLOCK = 4

# Several plots and sections of a report read the same stints.
_read: "WeakKeyDictionary[Result, tuple[Stints, list[Pause]]]" = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stints:
    """Attempts at turns, ordered by their start; an array for each field."""

    # The workers' names, by the numbers in ``worker``.
    names: list[str]
    worker: Ints
    # In seconds since the first one began, without the pauses.
    start: Floats
    stop: Floats
    member: Ints
    turn: Ints
    failed: Flags

    def __len__(self) -> int:
        return len(self.start)

    def select(self, which: Any) -> "Stints":
        """Return some of the stints: a slice, places, or a mask."""
        return Stints(
            names=self.names,
            worker=self.worker[which],
            start=self.start[which],
            stop=self.stop[which],
            member=self.member[which],
            turn=self.turn[which],
            failed=self.failed[which],
        )


class Pause(NamedTuple):
    """A gap in which no worker trained: where it is left out, and how long it was in seconds."""

    at: float
    length: float


class Bar(NamedTuple):
    """What is drawn as one rectangle: one turn, or several that cannot be seen apart."""

    start: float
    stop: float
    bottom: float
    height: float
    turn: int
    failed: bool
    text: str


def stints_of(result: Result) -> tuple[Stints, list[Pause]]:
    """Return all stints of a run, and the pauses between them."""
    if result not in _read:
        _read[result] = _remove_pauses(_read_stints(result))
    return _read[result]


def first_wait_s(result: Result) -> float:
    """Return how long the pause before the first turn was; 0 if it was too short to be one."""
    stints = _read_stints(result)
    if not len(stints):
        return 0.0
    wait = float(stints.start[0]) - result.account.began
    return wait if wait > _least_pause(*spans(stints)) else 0.0


def _least_pause(starts: Floats, stops: Floats) -> float:
    """Return how long a gap must be to count as a pause, given when any turn trained."""
    return float(PAUSE * (stops - starts).sum())


def _read_stints(result: Result) -> Stints:
    """Return all stints, in seconds since the epoch."""
    attempts = result.account.attempts.columns()
    start = attempts.at - attempts.took_s
    # A turn that was given up is shown by its last attempt: no time is known of giving it up.
    known = ~np.isnan(start)
    stints = Stints(
        names=attempts.workers,
        worker=attempts.worker,
        start=start,
        stop=attempts.at,
        member=attempts.member,
        turn=attempts.turn,
        failed=attempts.failed,
    ).select(known)
    return stints.select(np.lexsort((stints.stop, stints.start)))


def spans(stints: Stints) -> tuple[Floats, Floats]:
    """Return when each stretch of time starts and stops in which at least one turn trains."""
    if not len(stints):
        return stints.start, stints.stop
    latest = np.maximum.accumulate(stints.stop)
    first = _first_of_spans(stints, latest)
    return stints.start[first], latest[np.append(first[1:], len(stints)) - 1]


def _first_of_spans(stints: Stints, latest: Floats) -> Ints:
    return np.flatnonzero(np.append(True, stints.start[1:] > latest[:-1]))


def by_worker(stints: Stints) -> dict[str, Stints]:
    """Return each worker's stints, in the order in which the workers joined the run."""
    numbers, first = np.unique(stints.worker, return_index=True)
    return {
        stints.names[number]: stints.select(stints.worker == number)
        for number in numbers[np.argsort(first)].tolist()
    }


def idle_s(stints: Stints) -> tuple[float, float]:
    """Return how long a worker was idle from its first turn to its last, and how long that is."""
    there = float(stints.stop.max() - stints.start[0])
    starts, stops = spans(stints)
    return there - float((stops - starts).sum()), there


def hidden_s(stints: Stints, least: float) -> float:
    """Return how long a worker was idle in pauses of less than ``least`` seconds."""
    gaps = _gaps(*spans(stints))
    return float(gaps[gaps < least].sum())


def _gaps(starts: Floats, stops: Floats) -> Floats:
    """Return how long it is from each stretch of time to the next."""
    return starts[1:] - stops[:-1]


def _remove_pauses(stints: Stints) -> tuple[Stints, list[Pause]]:
    """Return stints as if there had been no pauses, and the pauses."""
    if not len(stints):
        return stints, []
    starts, stops = spans(stints)
    gaps = _gaps(starts, stops)
    long = gaps > _least_pause(starts, stops)
    ends = starts[1:][long]
    # How far stints are moved: those before the first pause, those before the second, and so on.
    shifts = stints.start[0] + np.append(0.0, np.cumsum(gaps[long]))
    shift = shifts[np.searchsorted(ends, stints.start, side="right")]
    moved = {"start": stints.start - shift, "stop": stints.stop - shift}
    rest = {name: getattr(stints, name) for name in ("names", "worker", "member", "turn", "failed")}
    pauses = [
        Pause(*it) for it in zip((ends - shifts[1:]).tolist(), gaps[long].tolist(), strict=True)
    ]
    return Stints(**rest, **moved), pauses


def bars_of(stints: Stints, row: int, *, slack: float, least: float) -> Iterator[Bar]:
    """Yield a worker's turns as bars in its row.

    Turns that overlap by more than ``slack`` seconds lie above each other. Bars are joined where
    less than ``least`` seconds would have to be seen.
    """
    lanes = _lanes(stints, slack)
    bottom = row - HEIGHT / 2
    if len(lanes) > LANES:
        yield from _join(*_merge(stints), bottom, HEIGHT, least)
        return
    height = HEIGHT / len(lanes)
    for nth, places in enumerate(lanes):
        lane, single = stints.select(places), np.ones_like(places)
        yield from _join(lane, single, bottom + nth * height, height, least)


def _merge(stints: Stints) -> tuple[Stints, Ints]:
    """Return a stint for each time in which a worker trains any turn, and how many turns it is."""
    starts, stops = spans(stints)
    first = _first_of_spans(stints, np.maximum.accumulate(stints.stop))
    merged = Stints(
        names=stints.names,
        worker=stints.worker[first],
        start=starts,
        stop=stops,
        member=stints.member[first],
        turn=np.maximum.reduceat(stints.turn, first),
        failed=np.logical_and.reduceat(stints.failed, first),
    )
    return merged, np.diff(np.append(first, len(stints)))


def _join(lane: Stints, turns: Ints, bottom: float, height: float, least: float) -> Iterator[Bar]:
    """Yield the bars of a lane, of which each stint is as many turns as ``turns`` says.

    Stints that are too short to be seen apart are one bar.
    """
    for first, last in _blocks(lane, least):
        yield Bar(
            start=float(lane.start[first]),
            stop=float(lane.stop[first : last + 1].max()),
            bottom=bottom,
            height=height,
            turn=int(lane.turn[last]),
            failed=bool(lane.failed[first]),
            text=_text(lane, turns, first) if first == last else "",
        )


def _text(lane: Stints, turns: Ints, place: int) -> str:
    count = turns[place]
    return f"{count:,} turns" if count > 1 else f"{lane.member[place]}"


def _blocks(lane: Stints, least: float) -> Iterator[tuple[int, int]]:
    """Yield the first and the last place of stints to be drawn as one bar.

    A block has stints that all failed, or none of them.
    """
    most = BLOCK * least
    columns = lane.start.tolist(), lane.stop.tolist(), lane.failed.tolist()
    first, began, latest, failed_first = 0, -np.inf, -np.inf, False
    for place, (start, stop, failed) in enumerate(zip(*columns, strict=True)):
        if (
            start - latest < least
            and latest - began < most
            and stop - start < most
            and failed == failed_first
        ):
            latest = max(latest, stop)
            continue
        if place:
            yield first, place - 1
        first, began, latest, failed_first = place, start, stop, failed
    if len(lane):
        yield first, len(lane) - 1


def _lanes(stints: Stints, slack: float) -> list[Ints]:
    """Return the places of one worker's stints, in lanes in which they overlap by at most a slack.

    Of more lanes than are drawn, only some are found.
    """
    if (stints.start[1:] > stints.stop[:-1] - slack).all():
        return [np.arange(len(stints))]
    lanes: list[list[int]] = []
    stops: list[float] = []
    for place, (start, stop) in enumerate(
        zip(stints.start.tolist(), stints.stop.tolist(), strict=True)
    ):
        nth = next((n for n, before in enumerate(stops) if start > before - slack), len(stops))
        if nth == len(stops):
            if nth > LANES:
                break
            lanes.append([])
            stops.append(stop)
        lanes[nth].append(place)
        stops[nth] = stop
    return [np.array(places) for places in lanes]
