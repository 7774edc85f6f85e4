"""Where weights come from: the turns of a run, and the copies between them."""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from ramet.domains import Value, exact
from ramet.errors import CorruptLog, UnknownHyperparameter, UsageError
from ramet.events import AnyEvent, Copied, Explored, Rested, RunOpened, TurnEnded, TurnLost
from ramet.population import Checkpoint, Point
from ramet.space import Hparams, same

# Of a turn: whose it was, and which of its turns.
Key = tuple[int, int]


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


class Copy(NamedTuple):
    """A copy: who took what of whom, before which of its turns."""

    member: int
    source: int
    kind: str
    # The member's next turn.
    turn: int
    # Steps of its budget that the member had used.
    trained: int
    # What it took of each; None if it took no weights, or no hyperparameters.
    weights: Checkpoint | None
    hparams: Hparams | None


class Effect(NamedTuple):
    """A value other than the weights were trained with before, and what the score then did."""

    member: int
    # The turn that was trained with it.
    turn: int
    name: str
    before: Value
    after: Value
    # What the turn added to the score; None where either score was not finite, or there was none,
    # or where they are further apart than a float can be.
    gain: float | None
    # The same, less what the others' turns of that number added at the median.
    ahead: float | None


class Lineage:
    """The family tree of a run's weights. Scores are as the run maximised them."""

    def __init__(self, events: Iterable[AnyEvent]) -> None:
        # In the order in which they ended.
        self.turns: dict[Key, Trained] = {}
        # In the order in which they were made.
        self.copies: list[Copy] = []
        # What each member stood on.
        self._stood: dict[int, _Stood] = {}
        # Members' steps are the same numbers over and over; each is one object.
        numbers: dict[int, int] = {}
        self._one: Callable[[int, int], int] = numbers.setdefault
        self.opening = self._read(iter(events))
        del self._one

    def behind(self, checkpoint: Checkpoint | None) -> list[Trained]:
        """Return the turns that made a checkpoint's weights, the first one first."""
        turns = []
        while checkpoint is not None:
            turn = self.turns[checkpoint.member, checkpoint.turn]
            turns.append(turn)
            checkpoint = turn.origin
        return turns[::-1]

    def weights(self, member: int, trained: int | None = None) -> Checkpoint | None:
        """Return what a member stood on when it had used so many steps of its budget; None is now.

        Nothing comes back for weights that no turn has ended with yet.
        """
        if member not in self._stood:
            raise UsageError(
                f"a member must be one of the run's, 0 to {len(self._stood) - 1}, but got {member}"
            )
        stood = self._stood[member]
        if trained is None:
            return stood.on[-1]
        place = bisect_right(stood.trained, trained)
        return stood.on[place - 1] if place else None

    def ancestors(self, member: int, trained: int | None = None) -> list[Trained]:
        """Return the turns behind a member's weights, now or at some step of its budget."""
        return self.behind(self.weights(member, trained))

    def common_ancestor(self, *members: int, trained: int | None = None) -> Trained | None:
        """Return the latest turn that is behind the weights of all these members, if there is one.

        Without members, of all.
        """
        paths = [self.ancestors(member, trained) for member in members or self._stood]
        common: Trained | None = None
        for turns in zip(*paths, strict=False):
            if any(turn.key != turns[0].key for turn in turns):
                break
            common = turns[0]
        return common

    def founders(self, trained: int | None = None) -> Counter[int]:
        """Return how many members go back to each of those first weights that survive."""
        return Counter(
            self.behind(kept)[0].member
            for member in self._stood
            if (kept := self.weights(member, trained)) is not None
        )

    def effects(self, name: str | None = None) -> Iterator[Effect]:
        """Yield each change of a hyperparameter, or of one, along the weights that it was of."""
        names = self.opening.space["names"]
        if name is not None and name not in names:
            raise UnknownHyperparameter(f"the run's hyperparameters are {names}, but got {name!r}")
        for turn in self.turns.values():
            if turn.origin is None:
                continue
            before = self.turns[turn.origin.member, turn.origin.turn].hparams
            if same(before, turn.hparams):
                continue
            gain = self._gain(turn)
            ahead = None if gain is None else self._ahead(turn, gain)
            for changed in [name] if name else names:
                if exact(before[changed]) != exact(turn.hparams[changed]):
                    values = before[changed], turn.hparams[changed]
                    yield Effect(turn.member, turn.number, changed, *values, gain, ahead)

    def thinned(self, keys: Collection[Key]) -> "Lineage":
        """Return the lineage of some turns, each of which spans those left out in front of it.

        Of the scores in between, it has the lowest and the highest of each turn's span.
        """
        found = object.__new__(Lineage)
        found.turns, found.copies = {}, []
        found.opening, found._stood = self.opening, self._stood
        # Of each turn, the last one on its lineage that is kept.
        kept: dict[Key, Trained | None] = {}
        for key, turn in self.turns.items():
            before = kept[turn.origin.member, turn.origin.turn] if turn.origin else None
            kept[key] = before
            if key in keys:
                kept[key] = found.turns[key] = self._spanning(turn, before)
        return found

    def _spanning(self, turn: Trained, before: Trained | None) -> Trained:
        """Return a turn that goes on from an earlier one on its lineage; None is fresh weights."""
        points, edge, passed = [turn.points], turn.edge, turn
        while passed.origin is not None and not (before and passed.origin == before.checkpoint):
            passed = self.turns[passed.origin.member, passed.origin.turn]
            points.append(passed.points)
            edge = passed.edge if edge == "own" else edge
        if passed is turn:
            return turn
        between = [point for its in reversed(points) for point in its]
        return turn._replace(
            start=passed.start,
            points=_outermost(between),
            origin=before.checkpoint if before else None,
            edge=edge,
        )

    @property
    def ends(self) -> Mapping[Key, int]:
        """How many steps of its budget its member had used when each turn ended."""
        return _Ends(self.turns)

    def _ahead(self, turn: Trained, gain: float) -> float | None:
        """Return how far a gain is ahead of the others' at the median; None if there are none."""
        gains = self._gains[turn.number]
        place = bisect_left(gains, gain)
        count = len(gains) - 1

        def other(nth: int) -> float:
            return gains[nth + (nth >= place)]

        if not count:
            return None
        return gain - (other((count - 1) // 2) + other(count // 2)) / 2

    @cached_property
    def _gains(self) -> "dict[int, array[float]]":
        """What the turns of each number added to scores, in order."""
        gains: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
        for turn in self.turns.values():
            if (gain := self._gain(turn)) is not None:
                gains[turn.number].append(gain)
        return {number: array("d", sorted(each)) for number, each in gains.items()}

    def _gain(self, turn: Trained) -> float | None:
        if turn.origin is None:
            return None
        before = self.turns[turn.origin.member, turn.origin.turn].score
        score = turn.score
        if before is None or score is None:
            return None
        gain = score - before
        return gain if math.isfinite(gain) else None

    def _read(self, events: Iterator[AnyEvent]) -> RunOpened:
        opening = next(events, None)
        if not isinstance(opening, RunOpened):
            begins = type(opening).__name__
            raise CorruptLog(f"a log must begin with RunOpened, but begins with {begins}")
        members = [_Reading(birth.hparams) for birth in opening.births]
        self._stood = {id_: _Stood() for id_ in range(len(members))}
        for id_, birth in enumerate(opening.births):
            if birth.rests:
                members[id_].turn, members[id_].trained = 1, min(opening.turn_steps, opening.steps)
        for event in events:
            match event:
                case TurnEnded():
                    self._ended(event, members[event.member])
                case TurnLost() | Rested():
                    reading = members[event.member]
                    reading.turn, reading.trained = event.turn + 1, event.trained
                case Copied():
                    self._copied(event, members[event.member])
                case Explored():
                    members[event.member].hparams = event.hparams
        return opening

    def _ended(self, event: TurnEnded, member: "_Reading") -> None:
        one = self._one
        number, stop = one(event.turn, event.turn), one(event.step, event.step)
        trained = one(event.trained, event.trained)
        checkpoint = Checkpoint(member=event.member, turn=number, step=stop, digest=event.digest)
        points = event.points
        if len(points) == 1 and points[0][0] == stop:
            points = ((stop, points[0][1]),)
        self.turns[event.member, number] = Trained(
            member=event.member,
            number=number,
            start=member.origin.step if member.origin else 0,
            stop=stop,
            trained=trained,
            hparams=member.hparams,
            points=points,
            checkpoint=checkpoint,
            origin=member.origin,
            edge=member.edge,
        )
        member.turn, member.trained = number + 1, trained
        self._stands_on(event.member, member, checkpoint, "own")

    def _copied(self, event: Copied, member: "_Reading") -> None:
        weights = event.weights.checkpoint if event.weights else None
        if weights is not None:
            weights = self._left(weights)
        made = Copy(
            member=event.member,
            source=event.source,
            kind=event.kind,
            turn=member.turn,
            trained=member.trained,
            weights=weights,
            hparams=event.hparams,
        )
        self.copies.append(made)
        if weights is not None:
            self._stands_on(event.member, member, weights, event.kind)
        if event.hparams is not None:
            member.hparams = event.hparams

    def _left(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return the checkpoint as its turn left it, or refuse one that no turn left.

        Each line must lead back to first weights.
        """
        left = self.turns.get((checkpoint.member, checkpoint.turn))
        if left is None or left.checkpoint != checkpoint:
            raise CorruptLog(
                f"copied weights must be what a turn left, but none left checkpoint "
                f"{checkpoint.key} at step {checkpoint.step}"
            )
        return left.checkpoint

    def _stands_on(self, id_: int, member: "_Reading", on: Checkpoint, edge: str) -> None:
        member.origin, member.edge = on, edge
        self._stood[id_].add(member.trained, on)


def _outermost(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the lowest, the highest and the last of some points, in their order."""
    finite = [(score, place) for place, (_, score) in enumerate(points) if score is not None]
    places = {len(points) - 1} if points else set()
    if finite:
        places |= {min(finite)[1], max(finite)[1]}
    return tuple(points[place] for place in sorted(places))


class _Ends(Mapping[Key, int]):
    """Where turns ended, read from them: a long log's turns are too many for a second table."""

    __slots__ = ("_turns",)

    def __init__(self, turns: Mapping[Key, Trained]) -> None:
        self._turns = turns

    def __getitem__(self, key: Key) -> int:
        return self._turns[key].trained

    def __iter__(self) -> Iterator[Key]:
        return iter(self._turns)

    def __len__(self) -> int:
        return len(self._turns)


class _Stood:
    """What a member stood on, from which step of its budget on; None is fresh weights."""

    __slots__ = ("on", "trained")

    def __init__(self) -> None:
        self.trained = [0]
        self.on: list[Checkpoint | None] = [None]

    def add(self, trained: int, on: Checkpoint) -> None:
        self.trained.append(trained)
        self.on.append(on)


class _Reading:
    """How a member stands while its run's log is read."""

    __slots__ = ("edge", "hparams", "origin", "trained", "turn")

    def __init__(self, hparams: Hparams) -> None:
        self.hparams = hparams
        self.origin: Checkpoint | None = None
        self.edge = "fresh"
        self.turn = 0
        self.trained = 0
