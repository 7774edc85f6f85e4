"""The turns of a run, in a few bytes each, because a long log has hundreds of thousands."""

import math
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence, ValuesView
from sys import intern
from typing import NamedTuple

from ramet.errors import CorruptLog
from ramet.points import Point, final_score
from ramet.population import Checkpoint
from ramet.space import Hparams

# A turn: the id of its member, and its number.
Key = tuple[int, int]

# Stands for the place of the turn before, where there is none because weights were fresh.
FRESH = -1


class Trained(NamedTuple):
    """A turn that ended.

    Args:
        member: The id of the member that trained it.
        number: Its number among the turns of the member.
        start: The steps behind its weights, along their lineage, when it began.
        stop: The steps behind its weights when it ended.
        trained: Steps of its budget that the member had used at the end.
        hparams: The hyperparameters that it was trained with.
        points: The scores that it reported, as (step, score).
        checkpoint: The checkpoint that it made.
        origin: The checkpoint that it continued from; None if its weights were fresh.
        edge: How it got that checkpoint: "own", the kind of the copy, or "fresh" if it has none.
        renewed: Whether it began with renewed weights, which were not all of that checkpoint.
    """

    member: int
    number: int
    start: int
    stop: int
    trained: int
    hparams: Hparams
    points: tuple[Point, ...]
    checkpoint: Checkpoint
    origin: Checkpoint | None
    edge: str
    renewed: bool

    @property
    def key(self) -> Key:
        """The id of the member and the number of the turn."""
        return self.member, self.number

    @property
    def score(self) -> float | None:
        """The score that it ended with; None if it had none, or it was not finite."""
        # The same as final_score, without calls: it is needed for each turn, many times.
        points = self.points
        return points[-1][1] if points and points[-1][0] == self.stop else None


class Turns(Mapping[Key, Trained]):
    """Turns by their key, in the order in which they ended.

    They are kept in columns, and a ``Trained`` is made when it is read. The *place* of a turn is
    its index in the columns.
    """

    def __init__(self) -> None:
        self.members, self.numbers = array("q"), array("q")
        self.starts, self.stops, self.trained = array("q"), array("q"), array("q")
        # The scores that they ended with; NaN if there was none, or it was not finite.
        self.scores = array("d")
        self.hparams: list[Hparams] = []
        # The places of the turns that they continued from.
        self.origins = array("q")
        # The points of turns that have more points than their score.
        self._points: dict[int, tuple[Point, ...]] = {}
        # How they got the weights that they began with.
        self.edges: list[str] = []
        # The places of the turns that began with renewed weights.
        self.renewed: set[int] = set()
        self._digests, self._digests_end = bytearray(), array("q")
        # The stacks that they were written in, each text once, and their rows there.
        self._stacks: list[str | None] = []
        self._rows = array("q")
        # For each member, the numbers of its turns, in order, and their places.
        self._of: dict[int, tuple[array[int], array[int]]] = {}

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Key]:
        return zip(self.members, self.numbers, strict=True)

    def __reversed__(self) -> Iterator[Key]:
        return zip(reversed(self.members), reversed(self.numbers), strict=True)

    def __contains__(self, key: object) -> bool:
        match key:
            case (int(member), int(number)):
                return self._find(member, number) is not None
        return False

    def __getitem__(self, key: Key) -> Trained:
        return self.at(self.place(key))

    def values(self) -> "TurnsView":
        """Return the turns, each made when it is reached."""
        return TurnsView(self)

    def place(self, key: Key) -> int:
        """Return the place of a turn."""
        place = self._find(*key)
        if place is None:
            raise KeyError(key)
        return place

    def at(self, place: int) -> Trained:
        """Return the turn at a place."""
        origin = self.origins[place]
        return Trained(
            member=self.members[place],
            number=self.numbers[place],
            start=self.starts[place],
            stop=self.stops[place],
            trained=self.trained[place],
            hparams=self.hparams[place],
            points=self.points(place),
            checkpoint=self.checkpoint(place),
            origin=None if origin == FRESH else self.checkpoint(origin),
            edge=self.edges[place],
            renewed=place in self.renewed,
        )

    def checkpoint(self, place: int) -> Checkpoint:
        """Return the checkpoint that the turn at a place made."""
        begin = self._digests_end[place - 1] if place else 0
        return Checkpoint(
            member=self.members[place],
            turn=self.numbers[place],
            step=self.stops[place],
            digest=self._digests[begin : self._digests_end[place]].decode(),
            stack=self._stacks[place],
            row=self._rows[place],
        )

    def points(self, place: int) -> tuple[Point, ...]:
        """Return the scores that the turn at a place reported."""
        if place in self._points:
            return self._points[place]
        return ((self.stops[place], self.score(place)),)

    def each_score(self) -> Iterator[float | None]:
        """Yield all scores that turns reported."""
        for place, score in enumerate(self.scores):
            if place in self._points:
                yield from (reported for _, reported in self._points[place])
            else:
                yield None if math.isnan(score) else score

    def each_score_within(self) -> Iterator[tuple[int, float]]:
        """Yield each member and finite score that a turn reported before it ended."""
        for place, points in self._points.items():
            for step, score in points:
                if step != self.stops[place] and score is not None:
                    yield self.members[place], score

    def score(self, place: int) -> float | None:
        """Return the score that the turn at a place ended with, if it is finite."""
        score = self.scores[place]
        return None if math.isnan(score) else score

    def numbers_of(self, member: int) -> "array[int]":
        """Return the numbers of the turns that a member ended."""
        return self._of[member][0] if member in self._of else array("q")

    def last(self) -> list[Trained]:
        """Return the last turn of each member, in the order in which their first ones ended."""
        return [self.at(places[-1]) for _, places in self._of.values()]

    def add(
        self,
        *,
        member: int,
        number: int,
        start: int,
        stop: int,
        trained: int,
        hparams: Hparams,
        points: tuple[Point, ...],
        kept: Checkpoint,
        origin: int,
        edge: str,
        renewed: bool = False,
    ) -> int:
        """Add a turn that continued from the one at ``origin``; return its place."""
        place = len(self.members)
        self._append(member, number, place)
        self.starts.append(start)
        self.stops.append(stop)
        self.trained.append(trained)
        self.hparams.append(hparams)
        score = final_score(points, stop)
        self.scores.append(math.nan if score is None else score)
        if len(points) != 1 or points[0][0] != stop:
            self._points[place] = points
        self._digests += kept.digest.encode()
        self._digests_end.append(len(self._digests))
        # All turns of a stack end one after the other.
        before = self._stacks[-1] if self._stacks else None
        self._stacks.append(before if before == kept.stack else kept.stack)
        self._rows.append(kept.row)
        self.origins.append(origin)
        self.edges.append(intern(edge))
        if renewed:
            self.renewed.add(place)
        return place

    def _append(self, member: int, number: int, place: int) -> None:
        numbers, places = self._of.setdefault(member, (array("q"), array("q")))
        if numbers and number <= numbers[-1]:
            raise CorruptLog(
                f"a member's turns must end in order, but turn {number} of member {member} comes "
                f"behind turn {numbers[-1]}"
            )
        numbers.append(number)
        places.append(place)
        self.members.append(member)
        self.numbers.append(number)

    def _find(self, member: int, number: int) -> int | None:
        if member not in self._of:
            return None
        numbers, places = self._of[member]
        nth = bisect_left(numbers, number)
        return places[nth] if nth < len(numbers) and numbers[nth] == number else None


class TurnsView(ValuesView[Trained]):
    """Turns in the order in which they ended, or reversed."""

    def __init__(self, turns: Turns) -> None:
        super().__init__(turns)
        self._turns = turns

    def __iter__(self) -> Iterator[Trained]:
        return map(self._turns.at, range(len(self._turns)))

    def __reversed__(self) -> Iterator[Trained]:
        return map(self._turns.at, reversed(range(len(self._turns))))


def thin(turns: Turns, keys: Collection[Key]) -> Turns:
    """Return these turns alone, each with the lowest and the highest score of its span."""
    found = Turns()
    # For each turn, the place of the last kept one on its lineage; and where that is in the result.
    kept, places = array("q"), {FRESH: FRESH}
    for place, (key, origin) in enumerate(zip(turns, turns.origins, strict=True)):
        before = FRESH if origin == FRESH else kept[origin]
        if key in keys:
            places[place] = _add(found, turns, place, before, places[before])
        kept.append(place if key in keys else before)
    return found


def _add(found: Turns, turns: Turns, place: int, before: int, origin: int) -> int:
    """Add a turn that spans all turns since an earlier one on its lineage; return its place."""
    points, edge, passed = [turns.points(place)], turns.edges[place], place
    renewed = place in turns.renewed
    while turns.origins[passed] != before:
        passed = turns.origins[passed]
        points.append(turns.points(passed))
        renewed = renewed or passed in turns.renewed
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
        kept=turns.checkpoint(place),
        origin=origin,
        edge=edge,
        renewed=renewed,
    )


def _outermost(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the lowest, the highest and the last of some points, in their order."""
    finite = [(score, place) for place, (_, score) in enumerate(points) if score is not None]
    places = {len(points) - 1} if points else set()
    if finite:
        places |= {min(finite)[1], max(finite)[1]}
    return tuple(points[place] for place in sorted(places))
