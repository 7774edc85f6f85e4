"""What can happen in a run, and ``fold(events) -> Population``.

A run *is* its log of events; everything else is computed from it. An event carries results, never
instructions to compute them again, so that any reader at any time arrives at the same population.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from ramet import nesting
from ramet.errors import CorruptLog, EventTooLarge, UnknownSchema
from ramet.laws import (
    Count,
    Digest,
    Positive,
    Seed,
    check_hparams,
    check_moment,
    check_name,
    check_place,
    check_points,
    check_space,
    check_trained,
    check_turn,
)
from ramet.population import (
    Best,
    Checkpoint,
    Curve,
    Member,
    Point,
    Population,
    Ties,
    final_score,
)
from ramet.replica import Replica
from ramet.series import Series
from ramet.space import Hparams

# Raised whenever an event loses or redefines a field, or gains one that has no default.
SCHEMA = 1

# Of an event's JSON. The largest honest ones open runs: 10,000 members with 30 hyperparameters each
# are 10 MB. Read, JSON that was made to be large takes 20 times as much memory.
MOST_BYTES = 16 * 2**20
# Honest ones are ten deep.
MOST_DEPTH = 100
# Bytes of a damaged event that its error shows.
EXCERPT = 100

Mode: TypeAlias = Literal["max", "min"]
# Which checkpoints a run keeps; docs/architecture.md says what each promises.
Keep: TypeAlias = Literal["best", "live", "lineage", "all"]


class Birth(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a member starts with."""

    hparams: Hparams
    group: int = 0
    # Whether its scores count for the best of the run.
    ranked: bool = True
    # Whether it rests through the first round; it then must be given weights to train.
    rests: bool = False
    data: Any = None


class Weights(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Weights that a copy brings, and the curve they come with."""

    checkpoint: Checkpoint
    points: tuple[Point, ...]

    def check(self, replica: Replica) -> None:
        """Refuse weights of a turn that has not ended, and scores of another step than theirs."""
        taken = self.checkpoint
        ended = replica.members[taken.member].turn
        if taken.turn >= ended:
            raise CorruptLog(
                f"its weights must be of a turn that has ended, but turn {taken.turn} of member "
                f"{taken.member} has not"
            )
        check_points(self.points, 0, taken.step)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", gc=False):
    """Something that happened. ``v`` is the schema it was written by."""

    v: int = SCHEMA

    def check(self, replica: Replica) -> None:
        """Refuse what cannot come next in a log.

        Only readers ask: a worker may write of a turn that others gave up, which its store refuses.
        """

    def apply(self, replica: Replica) -> None:
        """Write on a replica what the event changes."""
        raise NotImplementedError


class RunOpened(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A run began. The settings are data for people and for comparing, not for running code."""

    name: str
    seed: Seed
    mode: Mode
    # The budget of each member.
    steps: Positive
    # Whether members wait for each other and decide together.
    synchronous: bool
    # Steps in a turn. Logs name them as the first version did.
    turn_steps: Positive = msgspec.field(name="ready")
    keep: Keep
    space: dict[str, Any]
    strategy: dict[str, Any]
    births: tuple[Birth, ...]
    # Logs from before this was a setting have "first", and pruning has kept that checkpoint.
    ties: Ties = "first"

    def __post_init__(self) -> None:
        """Read the strategy of an older log, which names its ``turn_steps`` "ready"."""
        if "ready" in self.strategy and "turn_steps" not in self.strategy:
            renamed = {
                "turn_steps" if name == "ready" else name: value
                for name, value in self.strategy.items()
            }
            msgspec.structs.force_setattr(self, "strategy", renamed)

    def apply(self, replica: Replica) -> None:
        if not replica.empty:
            raise CorruptLog("a run must be opened once, but this opens it again")
        if not self.births:
            raise CorruptLog("a run must have a member, but this opens one without births")
        space = check_space(self.space)
        for id_, birth in enumerate(self.births):
            check_hparams(space, birth.hparams, id_)
        members = tuple(
            Member(
                id=id_,
                hparams=birth.hparams,
                group=birth.group,
                ranked=birth.ranked,
                data=birth.data,
                turn=int(birth.rests),
                trained=min(self.turn_steps, self.steps) if birth.rests else 0,
            )
            for id_, birth in enumerate(self.births)
        )
        arrived = sum(birth.rests for birth in self.births)
        replica.become(
            Population(
                space=space, steps=self.steps, members=members, arrived=arrived, ties=self.ties
            )
        )


class TurnEnded(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member trained for a turn, was scored and checkpointed."""

    member: Count
    turn: Count
    # As they stand after it.
    trained: Count
    step: Count
    # The last is that of ``step``, unless the turn was reported without a score.
    points: tuple[Point, ...]
    # What the checkpoint's bytes are stored under.
    digest: Digest
    # What the loop logged beside the score. No decision reads it, and no population holds it.
    metrics: tuple[Series, ...] = ()

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(member=self.member, turn=self.turn, step=self.step, digest=self.digest)

    def check(self, replica: Replica) -> None:
        before = replica.member(self.member)
        check_turn(self.member, self.turn, before.turn)
        check_trained(before.trained, self.trained, replica.get("steps"))
        if self.step <= before.step:
            raise CorruptLog(f"it must end behind step {before.step}, but ends at {self.step}")
        check_points(self.points, before.step, self.step)

    def apply(self, replica: Replica) -> None:
        before, checkpoint = replica.members[self.member], self.checkpoint
        replica.change(
            self.member,
            turn=self.turn + 1,
            trained=self.trained,
            step=self.step,
            curve=before.curve.extended(self.points),
            untried=False,
            checkpoint=checkpoint,
            attempts=0,
            failing=0,
            lost=False,
        )
        replica.add("turns")
        replica.add("arrived")
        if before.ranked:
            _offer(replica, self.points, checkpoint)


class AttemptFailed(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member's code raised. It goes on from its last checkpoint, as if the turn had not begun."""

    member: Count
    turn: Count
    error: str
    traceback: str
    # The file and line of the user's code that raised; "" in logs older than this field.
    where: str = ""

    def check(self, replica: Replica) -> None:
        check_turn(self.member, self.turn, replica.member(self.member).turn)

    def apply(self, replica: Replica) -> None:
        replica.change(self.member, attempts=replica.members[self.member].attempts + 1)
        replica.add("failures")


class TurnLost(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A turn was given up: its steps are spent, and its member has no score."""

    member: Count
    turn: Count
    # "failed" too often, "straggler" in a round, or "fatal" to the workers that trained it.
    why: str
    # As it stands after it.
    trained: Count

    def check(self, replica: Replica) -> None:
        before = replica.member(self.member)
        check_turn(self.member, self.turn, before.turn)
        check_trained(before.trained, self.trained, replica.get("steps"))

    def apply(self, replica: Replica) -> None:
        failing = replica.members[self.member].failing + 1
        replica.change(
            self.member,
            turn=self.turn + 1,
            trained=self.trained,
            attempts=0,
            failing=failing,
            lost=True,
        )
        replica.add("arrived")


class Copied(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member took another's weights, hyperparameters or both, as they stood when it decided."""

    member: Count
    source: Count
    # What kind of lineage edge this is: "exploit" is PBT's; "fallback", to what it left earlier,
    # and "rebirth", from another's, are of members whose checkpoint cannot be read.
    kind: str
    weights: Weights | None
    hparams: Hparams | None

    def apply(self, replica: Replica) -> None:
        member, source = replica.members[self.member], replica.members[self.source]
        if self.weights is not None:
            self.weights.check(replica)
            replica.add("undone", max(member.step - self.weights.checkpoint.step, 0))
            if member.ranked and not source.ranked:
                _offer(replica, self.weights.points, self.weights.checkpoint)
            replica.change(
                self.member,
                checkpoint=self.weights.checkpoint,
                step=self.weights.checkpoint.step,
                curve=Curve().extended(self.weights.points),
                inherited=len(self.weights.points),
                untried=True,
                lost=False,
                reborn=member.trained if self.kind == "rebirth" else member.reborn,
            )
        if self.hparams is not None:
            check_hparams(replica.get("space"), self.hparams, self.member)
            replica.change(self.member, hparams=self.hparams)
        replica.add("copies")


def _offer(replica: Replica, points: Sequence[Point], checkpoint: Checkpoint) -> None:
    """Take the score that a turn ended with for the best if it is better."""
    score = final_score(points, checkpoint.step)
    if score is not None:
        replica.offer(Best(score=score, checkpoint=checkpoint))


class Rested(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member does not train in the round that begins: its steps are spent."""

    member: Count
    turn: Count
    # As it stands after it.
    trained: Count

    def check(self, replica: Replica) -> None:
        before = replica.member(self.member)
        check_turn(self.member, self.turn, before.turn)
        check_trained(before.trained, self.trained, replica.get("steps"))

    def apply(self, replica: Replica) -> None:
        replica.change(self.member, turn=self.turn + 1, trained=self.trained)
        replica.add("arrived")


class Explored(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member's hyperparameters changed."""

    member: Count
    hparams: Hparams

    def apply(self, replica: Replica) -> None:
        check_hparams(replica.get("space"), self.hparams, self.member)
        replica.change(self.member, hparams=self.hparams)


class Annotated(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A strategy noted something of its own, about a member or, with None, the population."""

    member: Count | None
    data: Any

    def apply(self, replica: Replica) -> None:
        if self.member is None:
            replica.put(data=self.data)
        else:
            replica.change(self.member, data=self.data)


class LeftUnread(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Some loop went through a whole turn without reading this hyperparameter; said once."""

    name: str

    def apply(self, replica: Replica) -> None:
        unread, space = replica.get("unread"), replica.get("space")
        if self.name not in space:
            raise CorruptLog(f"it must be of one of {list(space)}, but is of {self.name!r}")
        if self.name not in unread:
            replica.put(unread=(*unread, self.name))


class RoundEnded(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Every member arrived, and the strategy has decided for all of them."""

    round: Count

    def apply(self, replica: Replica) -> None:
        if self.round != replica.get("round"):
            raise CorruptLog(f"round {replica.get('round')} must end, but round {self.round} does")
        replica.put(round=self.round + 1)
        replica.put(arrived=0)


class CheckpointLost(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """What a member was to go on from could not be read; what it goes on from instead follows."""

    member: Count
    # What the checkpoint's bytes were stored under.
    key: str
    error: str

    def apply(self, replica: Replica) -> None:
        """Change nothing but for what follows: the copy does."""
        replica.member(self.member)


class Extended(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The budget of each member was raised."""

    steps: Positive

    def apply(self, replica: Replica) -> None:
        before = replica.get("steps")
        if self.steps < before:
            raise CorruptLog(f"the budget of {before} steps must grow, but becomes {self.steps}")
        replica.put(steps=self.steps)


class TargetSet(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """From here on the run ends once a turn ends with this score or a better one; None is never."""

    # As scores are maximised.
    target: float | None

    def apply(self, replica: Replica) -> None:
        replica.put(target=self.target)


class StopAsked(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member's loop asked for the run to stop, which it does once the round is over."""

    member: Count
    turn: Count

    def apply(self, replica: Replica) -> None:
        replica.member(self.member)
        replica.put(stop_asked=True)


class Stopped(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The run's workers are to stop; those at work end their turns."""

    # Who asked: "asked" is somebody outside, "loop" a member's loop, "target" the target reached.
    why: str = "asked"

    def apply(self, replica: Replica) -> None:
        replica.put(stopped=True, why_stopped=self.why, stop_asked=False)


class Resumed(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A stopped run goes on."""

    def apply(self, replica: Replica) -> None:
        replica.put(stopped=False, why_stopped=None)


class Mapped(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many members are mapped at once."""

    chunk: Positive
    # Of how many members it was measured to be the fastest; None if it was asked for.
    of: Positive | None = None
    # Whether the mapped steps are compiled; None if that is not decided yet.
    compiled: bool | None = None


class Conditions(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """What sums of floats depend on beside the settings. The run keeps to it when it goes on.

    Each is recorded once, when it is first known. A field that this event does not set is None.
    """

    # Threads that numerical libraries have in each process.
    threads: Positive | None = None
    mapped: Mapped | None = None

    def apply(self, replica: Replica) -> None:
        if replica.threads is None:
            replica.threads = self.threads
        if self.mapped is not None and self.mapped not in replica.mapped:
            replica.mapped = (*replica.mapped, self.mapped)


AnyEvent: TypeAlias = (
    RunOpened
    | TurnEnded
    | AttemptFailed
    | TurnLost
    | Rested
    | Copied
    | Explored
    | Annotated
    | LeftUnread
    | RoundEnded
    | CheckpointLost
    | Extended
    | TargetSet
    | StopAsked
    | Stopped
    | Resumed
    | Conditions
)


# What one member's turn writes by itself, in the order in which members happen to arrive.
Arrival: TypeAlias = TurnEnded | AttemptFailed | TurnLost | LeftUnread


class Logged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event in its place in the log. When and where belong here; they change no decision."""

    # Counted from 0 without gaps.
    number: int
    # Seconds since the epoch, by the clock of whoever wrote it.
    at: float
    worker: str
    # Seconds since the lease was given that it was written under; None if under none.
    took_s: float | None = None
    event: AnyEvent


def fold(events: Iterable[AnyEvent], start: Population | None = None) -> Population:
    """Return the population that events lead to, from nothing or from an earlier population."""
    replica = Replica(start)
    for event in events:
        _write(event, replica)
    return replica.population


def follow(log: Iterable[Logged], replica: Replica, run: str) -> None:
    """Write a run's log, or what is new of it, on a replica; an error says which event is wrong."""
    for logged in log:
        try:
            check_place(logged.number, replica.last + 1)
            check_moment(logged.at, logged.took_s)
            if isinstance(logged.event, RunOpened):
                check_name(logged.event.name, run)
            if not replica.empty:
                logged.event.check(replica)
            _write(logged.event, replica)
        except CorruptLog as error:
            raise CorruptLog(
                f"run {run!r} must have a log that a run can have written, but event "
                f"{logged.number!r} is not: {error}. Put back a copy of the store that is whole"
            ) from error
        replica.last = logged.number


def _write(event: AnyEvent, replica: Replica) -> None:
    if replica.empty and not isinstance(event, RunOpened):
        begins = type(event).__name__
        raise CorruptLog(f"a log must begin with RunOpened, but begins with {begins}")
    replica.apply(event)


def encode(event: AnyEvent) -> bytes:
    """Return an event as JSON, or raise EventTooLarge if no reader would take it."""
    try:
        data = _encoder.encode(event)
    except RecursionError:
        raise _too_deep(event) from None
    if len(data) > MOST_BYTES:
        raise EventTooLarge(
            f"an event must take at most {MOST_BYTES:,} bytes of the log, but "
            f"{type(event).__name__} takes {len(data):,}. Nothing was written; report fewer "
            f"scores and metrics in a turn, note less, or begin with fewer members"
        )
    if nesting.deeper_than(data, MOST_DEPTH):
        raise _too_deep(event)
    return data


def decode(data: bytes) -> AnyEvent:
    """Read an event back, or say which version of the schema wrote it."""
    try:
        event = _decoder.decode(data)
    except _NOT_JSON as error:
        _check_schema(data)
        raise CorruptLog(f"an event must be as schema {SCHEMA} has it, but {error}") from error
    if event.v != SCHEMA:
        raise _unknown_schema(event.v)
    if nesting.deeper_than(data, MOST_DEPTH):
        raise CorruptLog(f"an event must be nested at most {MOST_DEPTH} deep, but is deeper")
    return event


def canonical(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """Return a synchronous run's log with arrival taken out: each round's turns in member order.

    Nor does it matter when the run was stopped and went on, and under which conditions. Two logs
    that are equal so tell of the same run, whatever the workers' number and speed.
    """
    ordered: list[AnyEvent] = []
    arrivals: list[Arrival] = []
    for event in events:
        if isinstance(event, TargetSet | StopAsked | Stopped | Resumed | Conditions):
            continue
        if isinstance(event, Arrival):
            arrivals.append(event)
        else:
            ordered += [*sorted(arrivals, key=_place), event]
            arrivals.clear()
    return ordered + sorted(arrivals, key=_place)


def _check_schema(data: bytes) -> None:
    """Refuse what is no event at all, or one of another schema."""
    try:
        version = _versions.decode(data).v
    except _NOT_JSON as error:
        # An excerpt: what is damaged may be large.
        raise CorruptLog(
            f"an event must be JSON with its schema, but {error}: {data[:EXCERPT]!r}"
        ) from error
    if version != SCHEMA:
        raise _unknown_schema(version)


def _unknown_schema(version: int) -> UnknownSchema:
    return UnknownSchema(
        f"events of schema {SCHEMA} can be read, but this one is of schema {version}; "
        f"open the run with the version of ramet that wrote it"
    )


def _too_deep(event: AnyEvent) -> EventTooLarge:
    return EventTooLarge(
        f"an event must be nested at most {MOST_DEPTH} deep, but {type(event).__name__} is deeper. "
        f"Nothing was written; keep flatter data in it"
    )


def _place(event: Arrival) -> tuple[int, int, str]:
    return (1, 0, event.name) if isinstance(event, LeftUnread) else (0, event.member, "")


class _Versioned(msgspec.Struct):
    v: int


# msgspec goes into nested JSON by recursion.
_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_encoder = msgspec.json.Encoder()
_versions = msgspec.json.Decoder(_Versioned)
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
