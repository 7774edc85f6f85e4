"""The turns of a run: a few bytes each, because a long log has hundreds of thousands."""

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, ValuesView
from sys import intern
from typing import NamedTuple

from ramet.errors import CorruptLog
from ramet.population import Checkpoint, Point, final_score
from ramet.space import Hparams

# Of a turn: whose it was, and which of its turns.
Key = tuple[int, int]

# The place of the turn before one whose weights were fresh.
FRESH = -1


class Trained(NamedTuple):
    """A turn that ended: the steps that it added to its weights, and what with."""

    member: int
    number: int
    # Along the lineage, up to, not including, ``stop``.
    start: int
    stop: int
    # Steps of its budget that the member had used at the end.
    trained: int
    hparams: Hparams
    # As the run maximised them.
    points: tuple[Point, ...]
    # What it left.
    checkpoint: Checkpoint
    # What it went on from; None if its weights were fresh.
    origin: Checkpoint | None
    # How it came by that: "own", or the kind of the copy that brought it.
    edge: str

    @property
    def key(self) -> Key:
        return self.member, self.number

    @property
    def score(self) -> float | None:
        """What it ended with; None if that was not finite, or it was reported without a score."""
        # As final_score has it, without its calls: this is asked of each turn, again and again.
        points = self.points
        return points[-1][1] if points and points[-1][0] == self.stop else None


class Turns(Mapping[Key, Trained]):
    """Turns by their key, in the order in which they ended.

    They are kept in columns; a ``Trained`` is made when it is asked for. A turn's *place* is its
    number in that order, which columns are indexed by.
    """

    def __init__(self) -> None:
        self.members, self.numbers = array("q"), array("q")
        self.starts, self.stops, self.trained = array("q"), array("q"), array("q")
        # What each ended with; NaN if that was not finite, or there was no score.
        self.scores = array("d")
        self.hparams: list[Hparams] = []
        # The places of the turns that they went on from.
        self.origins = array("q")
        # The points of those that have others than their score.
        self._points: dict[int, tuple[Point, ...]] = {}
        # How they came by their first weights.
        self.edges: list[str] = []
        self._digests, self._digests_end = bytearray(), array("q")
        # Of each member: its turns' numbers, which rise, and their places.
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
                return self._found(member, number) is not None
        return False

    def __getitem__(self, key: Key) -> Trained:
        return self.at(self.place(key))

    def values(self) -> "Ended":
        """Return the turns themselves, each made as it comes up."""
        return Ended(self)

    def place(self, key: Key) -> int:
        """Return where a turn is."""
        place = self._found(*key)
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
        )

    def checkpoint(self, place: int) -> Checkpoint:
        """Return what the turn at a place left."""
        begin = self._digests_end[place - 1] if place else 0
        return Checkpoint(
            member=self.members[place],
            turn=self.numbers[place],
            step=self.stops[place],
            digest=self._digests[begin : self._digests_end[place]].decode(),
        )

    def points(self, place: int) -> tuple[Point, ...]:
        """Return the scores that the turn at a place reported."""
        if place in self._points:
            return self._points[place]
        return ((self.stops[place], self.score(place)),)

    def reported(self) -> Iterator[float | None]:
        """Yield all scores that turns reported."""
        for place, score in enumerate(self.scores):
            if place in self._points:
                yield from (reported for _, reported in self._points[place])
            else:
                yield None if math.isnan(score) else score

    def score(self, place: int) -> float | None:
        """Return what the turn at a place ended with, if that is a finite score."""
        score = self.scores[place]
        return None if math.isnan(score) else score

    def numbers_of(self, member: int) -> "array[int]":
        """Return which turns a member ended."""
        return self._of[member][0] if member in self._of else array("q")

    def last(self) -> list[Trained]:
        """Return each member's last turn, by when its first one ended."""
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
        digest: str,
        origin: int,
        edge: str,
    ) -> int:
        """Take in a turn that went on from the one at ``origin``; return its place."""
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
        self._digests += digest.encode()
        self._digests_end.append(len(self._digests))
        self.origins.append(origin)
        self.edges.append(intern(edge))
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

    def _found(self, member: int, number: int) -> int | None:
        if member not in self._of:
            return None
        numbers, places = self._of[member]
        nth = bisect_left(numbers, number)
        return places[nth] if nth < len(numbers) and numbers[nth] == number else None


class Ended(ValuesView[Trained]):
    """Turns in the order in which they ended, or in the opposite one."""

    def __init__(self, turns: Turns) -> None:
        super().__init__(turns)
        self._turns = turns

    def __iter__(self) -> Iterator[Trained]:
        return map(self._turns.at, range(len(self._turns)))

    def __reversed__(self) -> Iterator[Trained]:
        return map(self._turns.at, reversed(range(len(self._turns))))
