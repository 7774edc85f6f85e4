"""Where weights come from: the turns of a run, and the copies between them."""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property

from ramet import showing, wording
from ramet.domains import exact
from ramet.errors import CorruptLog, UnknownHyperparameter, UsageError
from ramet.events import (
    AnyEvent,
    Confirming,
    Copied,
    Explored,
    Rested,
    RunOpened,
    TurnEnded,
    TurnLost,
)
from ramet.history.records import CopyRecord, Effect
from ramet.history.turns import FRESH, Key, Trained, Turns, thin
from ramet.population import Checkpoint
from ramet.space import Hparams, same


class Lineage:
    """The family tree of a run's weights.

    Its scores are those of the events: as they were reported, with ``Result.events``.

    Args:
        events: A run's events, from the first one on.
    """

    def __init__(self, events: Iterable[AnyEvent]) -> None:
        # In the order in which they ended.
        self.turns = Turns()
        # In the order in which they were made.
        self.copies: list[CopyRecord] = []
        # The checkpoints that each member had, one after the other.
        self._stood: dict[int, _Stood] = {}
        self.opening = self._read(iter(events))

    def __repr__(self) -> str:
        return f"Lineage({self.opening.name!r}: {self._counts})"

    @property
    def _counts(self) -> str:
        founders = wording.count(len(self.founders()), "founder")
        turns, copies = len(self.turns), len(self.copies)
        counts = wording.count(turns, "turn"), wording.count(copies, "copy"), founders
        return ", ".join(counts)

    def _repr_html_(self) -> str:
        name = f"Lineage of {self.opening.name}"
        founders = [(f"member {id_}", f"{heirs:,}") for id_, heirs in self.founders().most_common()]
        columns = ["after steps", "copied by", "from", "why"]
        return showing.join(
            [
                showing.headline(name, self._counts),
                showing.table(["first weights of", "now in members"], founders),
                showing.table(columns, self.copies, show=_show_copy, left=4),
            ]
        )

    def behind(self, checkpoint: Checkpoint | None) -> list[Trained]:
        """Return the turns that made a checkpoint's weights, the first one first."""
        if checkpoint is None:
            return []
        return [self.turns.at(place) for place in self._path(checkpoint)]

    def weights(self, member: int, trained: int | None = None) -> Checkpoint | None:
        """Return the checkpoint that a member stood on; None if it had ended no turn.

        Args:
            member: The id of the member.
            trained: Steps of its budget that it had used by then; None is the end of the log.
        """
        if member not in self._stood:
            raise UsageError(
                f"a member must be one of the run's, 0 to {len(self._stood) - 1}, but got {member}"
            )
        return self._stood[member].at(trained)

    def ancestors(self, member: int, trained: int | None = None) -> list[Trained]:
        """Return the turns behind a member's weights, the first one first.

        Args:
            member: The id of the member.
            trained: Steps of its budget that it had used by then; None is the end of the log.
        """
        return self.behind(self.weights(member, trained))

    def common_ancestor(self, *members: int, trained: int | None = None) -> Trained | None:
        """Return the latest turn that is behind the weights of all these members, if there is one.

        Args:
            members: The ids of the members; without any, all members count.
            trained: Steps of their budget that they had used by then; None is the end of the log.
        """
        kept = [self.weights(member, trained) for member in members or self._stood]
        paths = [self._path(checkpoint) if checkpoint else array("q") for checkpoint in kept]
        common: int | None = None
        for places in zip(*paths, strict=False):
            if any(place != places[0] for place in places):
                break
            common = places[0]
        return None if common is None else self.turns.at(common)

    def founders(self, trained: int | None = None) -> Counter[int]:
        """Return which members' first weights survive, and in how many members.

        Args:
            trained: Steps of their budget that they had used by then; None is the end of the log.
        """
        return Counter(
            self.turns.members[self._path(kept)[0]]
            for member in self._stood
            if (kept := self.weights(member, trained)) is not None
        )

    def effects(self, name: str | None = None) -> Iterator[Effect]:
        """Yield each change of a hyperparameter along the lineage of the weights.

        A hyperparameter that is there only before or only after has not changed.

        Args:
            name: The hyperparameter; None is all of them.
        """
        names = self.opening.space["names"]
        if name is not None and name not in names:
            raise UnknownHyperparameter(f"the run's hyperparameters are {names}, but got {name!r}")
        turns = self.turns
        for place, origin in enumerate(turns.origins):
            if origin == FRESH:
                continue
            before, after = turns.hparams[origin], turns.hparams[place]
            if same(before, after):
                continue
            member, number, gain = turns.members[place], turns.numbers[place], self._gain(place)
            ahead = None if gain is None else self._ahead(number, gain)
            for changed in [name] if name else names:
                # One that came or went did so because of another, which is an effect itself.
                if changed not in before or changed not in after:
                    continue
                if exact(before[changed]) != exact(after[changed]):
                    values = before[changed], after[changed]
                    yield Effect(member, number, changed, *values, gain, ahead)

    def thin(self, keys: Collection[Key]) -> "Lineage":
        """Return a lineage of these turns alone, each of which spans those left out before it.

        Of the scores of a span, it keeps the lowest and the highest.
        """
        found = object.__new__(Lineage)
        found.turns, found.copies = thin(self.turns, keys), []
        found.opening, found._stood = self.opening, self._stood
        return found

    def _path(self, checkpoint: Checkpoint) -> "array[int]":
        """Return the places of the turns that made a checkpoint's weights, the first one first."""
        places, place = array("q"), self.turns.place((checkpoint.member, checkpoint.turn))
        while place != FRESH:
            places.append(place)
            place = self.turns.origins[place]
        places.reverse()
        return places

    def _ahead(self, number: int, gain: float) -> float | None:
        """Return a gain less the median of the other members' gains; None if there are none."""
        gains = self._gains[number]
        place = bisect_left(gains, gain)
        count = len(gains) - 1

        def other(nth: int) -> float:
            return gains[nth + (nth >= place)]

        if not count:
            return None
        return gain - (other((count - 1) // 2) + other(count // 2)) / 2

    @cached_property
    def _gains(self) -> "dict[int, array[float]]":
        """The gains of the turns of each number, sorted."""
        gains: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
        for place, number in enumerate(self.turns.numbers):
            if (gain := self._gain(place)) is not None:
                gains[number].append(gain)
        return {number: array("d", sorted(each)) for number, each in gains.items()}

    def _gain(self, place: int) -> float | None:
        """Return by how much the turn at a place improved the score."""
        origin, scores = self.turns.origins[place], self.turns.scores
        if origin == FRESH:
            return None
        # NaN if either score is missing.
        gain = scores[place] - scores[origin]
        if self.opening.better == "lower":
            gain = -gain
        return gain if math.isfinite(gain) else None

    def _read(self, events: Iterator[AnyEvent]) -> RunOpened:
        opening = next(events, None)
        if not isinstance(opening, RunOpened):
            begins = type(opening).__name__
            raise CorruptLog(f"a log must begin with RunOpened, but begins with {begins}")
        members = [_Reading(birth.hparams) for birth in opening.births]
        self._stood = {id_: _Stood(self.turns) for id_ in range(len(members))}
        for id_, birth in enumerate(opening.births):
            if birth.rests:
                members[id_].turn, members[id_].trained = 1, min(opening.turn_steps, opening.steps)
        for event in events:
            match event:
                case TurnEnded():
                    self._end_turn(event, members[event.member])
                case TurnLost() | Rested():
                    reading = members[event.member]
                    reading.turn, reading.trained = event.turn + 1, event.trained
                case Copied():
                    self._add_copy(event, members[event.member], members[event.source])
                case Explored():
                    members[event.member].hparams = event.hparams
                case Confirming():
                    self._check_candidates(event)
        return opening

    def _end_turn(self, event: TurnEnded, member: "_Reading") -> None:
        origin = member.origin
        place = self.turns.add(
            member=event.member,
            number=event.turn,
            start=0 if origin == FRESH else self.turns.stops[origin],
            stop=event.step,
            trained=event.trained,
            hparams=member.hparams,
            points=event.points,
            kept=event.checkpoint,
            origin=origin,
            edge=member.edge,
            renewed=event.renewed is True,
        )
        member.turn, member.trained = event.turn + 1, event.trained
        self._stands_on(event.member, member, place, "own")

    def _add_copy(self, event: Copied, member: "_Reading", source: "_Reading") -> None:
        place = self._find_source(event.weights.checkpoint) if event.weights else FRESH
        # Equal hyperparameters share one object, to save memory.
        hparams = event.hparams
        if hparams is not None and same(hparams, source.hparams):
            hparams = source.hparams
        made = CopyRecord(
            member=event.member,
            source=event.source,
            kind=event.kind,
            turn=member.turn,
            trained=member.trained,
            weights=self.turns.checkpoint(place) if event.weights else None,
            hparams=hparams,
        )
        self.copies.append(made)
        if event.weights:
            self._stands_on(event.member, member, place, event.kind)
        if hparams is not None:
            member.hparams = hparams

    def _find_source(self, checkpoint: Checkpoint) -> int:
        """Return the place of the turn that made a checkpoint, or refuse one that no turn made."""
        key = checkpoint.member, checkpoint.turn
        place = self.turns.place(key) if key in self.turns else FRESH
        if place == FRESH or self.turns.checkpoint(place) != checkpoint:
            raise CorruptLog(
                f"weights must be what a turn left, but none left checkpoint "
                f"{checkpoint.key} at step {checkpoint.step}"
            )
        return place

    def _check_candidates(self, event: Confirming) -> None:
        """Refuse candidates that no turn left, or with another score than theirs."""
        for candidate in event.candidates:
            score = self.turns.score(self._find_source(candidate.checkpoint))
            if score != candidate.score:
                raise CorruptLog(
                    f"a candidate must have the score that its turn ended with, {score}, but "
                    f"{candidate.checkpoint.key} has {candidate.score}"
                )

    def _stands_on(self, id_: int, member: "_Reading", place: int, edge: str) -> None:
        member.origin, member.edge = place, edge
        self._stood[id_].add(member.trained, place)


class _Stood:
    """Which checkpoint a member had, for each number of steps of its budget that it had used."""

    __slots__ = ("_on", "_trained", "_turns")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._trained, self._on = array("q", [0]), array("q", [FRESH])

    def add(self, trained: int, place: int) -> None:
        self._trained.append(trained)
        self._on.append(place)

    def at(self, trained: int | None) -> Checkpoint | None:
        """Return the checkpoint at some step of the budget; None is the end of the log."""
        nth = len(self._on) if trained is None else bisect_right(self._trained, trained)
        place = self._on[nth - 1] if nth else FRESH
        return None if place == FRESH else self._turns.checkpoint(place)


class _Reading:
    """The state of a member while the log is read."""

    __slots__ = ("edge", "hparams", "origin", "trained", "turn")

    def __init__(self, hparams: Hparams) -> None:
        self.hparams = hparams
        # The place of the turn that left its weights.
        self.origin = FRESH
        self.edge = "fresh"
        self.turn = 0
        self.trained = 0


def _show_copy(copy: CopyRecord) -> tuple[str, ...]:
    return f"{copy.trained:,}", f"member {copy.member}", f"member {copy.source}", copy.kind
