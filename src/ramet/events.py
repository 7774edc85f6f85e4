"""What can happen in a run, and ``fold(events) -> Population``.

A run *is* its log of events; everything else is computed from it. An event carries results, never
instructions to compute them again, so that any reader at any time arrives at the same population.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from ramet.errors import CorruptLog, UnknownSchema
from ramet.population import Best, Checkpoint, Curve, Member, Point, Population
from ramet.space import Hparams, Space

# Raised whenever an event gains, loses or redefines a field.
SCHEMA = 1

Mode: TypeAlias = Literal["max", "min"]


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """What a member starts with."""

    hparams: Hparams
    group: int = 0
    data: Any = None


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """Weights that a copy brings, and the curve they come with."""

    checkpoint: Checkpoint
    points: tuple[Point, ...]


class Draft:
    """A population being folded: events write on it, and nothing else does."""

    def __init__(self, population: Population | None) -> None:
        self.population = population
        self.members = list(population.members) if population else []
        self.fields: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        return self.fields[name] if name in self.fields else getattr(self.population, name)

    def add(self, name: str, count: int = 1) -> None:
        self.fields[name] = self.get(name) + count

    def change(self, member: int, **changes: Any) -> Member:
        changed = replace(self.members[member], **changes)
        self.members[member] = changed
        return changed

    def offer(self, found: Best) -> None:
        best = self.get("best")
        if best is None or found.rank > best.rank:
            self.fields["best"] = found

    def finish(self) -> Population:
        if self.population is None:
            raise CorruptLog("a log must begin with RunOpened, but it is empty")
        return replace(self.population, members=tuple(self.members), **self.fields)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Something that happened. ``v`` is the schema it was written by."""

    v: int = SCHEMA

    def apply(self, draft: Draft) -> None:
        """Write on a draft what the event changes."""
        raise NotImplementedError


class RunOpened(Event, frozen=True, kw_only=True, tag=True):
    """A run began. The settings are data for people and for comparing, not for running code."""

    name: str
    seed: int
    mode: Mode
    # The budget of each member.
    steps: int
    space: dict[str, Any]
    strategy: dict[str, Any]
    births: tuple[Birth, ...]

    def apply(self, draft: Draft) -> None:
        draft.members = [
            Member(id=id_, hparams=birth.hparams, group=birth.group, data=birth.data)
            for id_, birth in enumerate(self.births)
        ]
        draft.population = Population(
            space=Space.from_description(self.space), steps=self.steps, members=()
        )


class TurnEnded(Event, frozen=True, kw_only=True, tag=True):
    """A member trained for a turn, was scored and checkpointed."""

    member: int
    turn: int
    # As they stand after it.
    trained: int
    step: int
    points: tuple[Point, ...]
    # What the checkpoint's bytes are stored under.
    digest: str

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(member=self.member, turn=self.turn, step=self.step, digest=self.digest)

    def apply(self, draft: Draft) -> None:
        before, checkpoint = draft.members[self.member], self.checkpoint
        draft.change(
            self.member,
            turn=self.turn + 1,
            trained=self.trained,
            step=self.step,
            curve=before.curve.extended(self.points),
            checkpoint=checkpoint,
            attempts=0,
            failing=0,
            lost=False,
        )
        draft.add("turns")
        draft.add("arrived")
        if (score := self.points[-1][1]) is not None:
            draft.offer(Best(score=score, hparams=before.hparams, checkpoint=checkpoint))


class AttemptFailed(Event, frozen=True, kw_only=True, tag=True):
    """A member's code raised. It goes on from its last checkpoint, as if the turn had not begun."""

    member: int
    turn: int
    error: str
    traceback: str

    def apply(self, draft: Draft) -> None:
        draft.change(self.member, attempts=draft.members[self.member].attempts + 1)
        draft.add("failures")


class TurnLost(Event, frozen=True, kw_only=True, tag=True):
    """A turn was given up after too many attempts: its steps are spent, its member has no score."""

    member: int
    turn: int
    # As it stands after it.
    trained: int

    def apply(self, draft: Draft) -> None:
        failing = draft.members[self.member].failing + 1
        draft.change(
            self.member,
            turn=self.turn + 1,
            trained=self.trained,
            attempts=0,
            failing=failing,
            lost=True,
        )
        draft.add("arrived")


class Copied(Event, frozen=True, kw_only=True, tag=True):
    """A member took another's weights, hyperparameters or both, as they stood when it decided."""

    member: int
    source: int
    # What kind of lineage edge this is: "exploit" is PBT's.
    kind: str
    weights: Weights | None
    hparams: Hparams | None

    def apply(self, draft: Draft) -> None:
        if self.weights is not None:
            draft.change(
                self.member,
                checkpoint=self.weights.checkpoint,
                step=self.weights.checkpoint.step,
                curve=Curve().extended(self.weights.points),
                lost=False,
            )
        if self.hparams is not None:
            draft.change(self.member, hparams=self.hparams)
        draft.add("copies")


class Explored(Event, frozen=True, kw_only=True, tag=True):
    """A member's hyperparameters changed."""

    member: int
    hparams: Hparams

    def apply(self, draft: Draft) -> None:
        draft.change(self.member, hparams=self.hparams)


class Annotated(Event, frozen=True, kw_only=True, tag=True):
    """A strategy noted something of its own, about a member or, with None, the population."""

    member: int | None
    data: Any

    def apply(self, draft: Draft) -> None:
        if self.member is None:
            draft.fields["data"] = self.data
        else:
            draft.change(self.member, data=self.data)


class LeftUnread(Event, frozen=True, kw_only=True, tag=True):
    """Some loop went through a whole turn without reading this hyperparameter; said once."""

    name: str

    def apply(self, draft: Draft) -> None:
        unread = draft.get("unread")
        if self.name not in unread:
            draft.fields["unread"] = (*unread, self.name)


class RoundEnded(Event, frozen=True, kw_only=True, tag=True):
    """Every member arrived, and the strategy has decided for all of them."""

    round: int

    def apply(self, draft: Draft) -> None:
        draft.fields["round"] = self.round + 1
        draft.fields["arrived"] = 0


AnyEvent: TypeAlias = (
    RunOpened
    | TurnEnded
    | AttemptFailed
    | TurnLost
    | Copied
    | Explored
    | Annotated
    | LeftUnread
    | RoundEnded
)


# What one member's turn writes by itself, in the order in which members happen to arrive.
Arrival: TypeAlias = TurnEnded | AttemptFailed | TurnLost | LeftUnread


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """An event in its place in the log. When and where belong here; they change no decision."""

    # Counted from 0 without gaps.
    number: int
    # Seconds since the epoch, by the clock of whoever wrote it.
    at: float
    worker: str
    event: AnyEvent


def fold(events: Iterable[AnyEvent], start: Population | None = None) -> Population:
    """Return the population that events lead to, from nothing or from an earlier population."""
    draft = Draft(start)
    for event in events:
        if draft.population is None and not isinstance(event, RunOpened):
            raise CorruptLog(f"a log must begin with RunOpened, but begins with {event}")
        event.apply(draft)
    return draft.finish()


def encode(event: AnyEvent) -> bytes:
    """Return an event as JSON."""
    return _encoder.encode(event)


def decode(data: bytes) -> AnyEvent:
    """Read an event back, or say which version of the schema wrote it."""
    try:
        version = _versions.decode(data).v
    except msgspec.MsgspecError as error:
        raise CorruptLog(f"an event must be JSON with its schema, but {error}: {data!r}") from error
    if version != SCHEMA:
        raise UnknownSchema(
            f"events of schema {SCHEMA} can be read, but this one is of schema {version}; "
            f"open the run with the version of ramet that wrote it"
        )
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise CorruptLog(f"an event must be as schema {SCHEMA} has it, but {error}") from error


def canonical(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """Return a synchronous run's log with arrival taken out: each round's turns in member order.

    Two logs that are equal so tell of the same run, whatever the workers' number and speed.
    """
    ordered: list[AnyEvent] = []
    arrivals: list[Arrival] = []
    for event in events:
        if isinstance(event, Arrival):
            arrivals.append(event)
        else:
            ordered += [*sorted(arrivals, key=_place), event]
            arrivals.clear()
    return ordered + sorted(arrivals, key=_place)


def _place(event: Arrival) -> tuple[int, int, str]:
    return (1, 0, event.name) if isinstance(event, LeftUnread) else (0, event.member, "")


class _Versioned(msgspec.Struct):
    v: int


_encoder = msgspec.json.Encoder()
_versions = msgspec.json.Decoder(_Versioned)
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
