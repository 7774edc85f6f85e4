"""Summaries of a run's population, which save reading the whole of a long log."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from ramet.errors import CorruptLog, RametError, UnknownSchema
from ramet.events import Logged, RunOpened, follow
from ramet.goals import metrics_of
from ramet.laws import check_hparams, check_space
from ramet.points import Curve
from ramet.population import (
    Best,
    Checkpoint,
    Member,
    Population,
)
from ramet.replica import Replica
from ramet.space import Space

# The number of events between two summaries: the larger of the first, and the second for each
# member.
EVERY, EVERY_PER_MEMBER = 1_000, 4
# Incremented when the contents change. Summaries of other versions are not used.
VERSION = 3


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The population after the events up to ``last``, without curves, past turns and notes.

    Values of hyperparameters that are not there are left out as well. It is computed from the log
    alone. Without a summary, a run only takes longer to read.
    """

    # The version that it was written in.
    v: int
    # The name of the run.
    run: str
    # The number of the last event that it includes.
    last: int
    population: Population


def interval(members: int) -> int:
    """Return the number of events between two summaries of a run with this many members."""
    return max(EVERY, EVERY_PER_MEMBER * members)


def sum_up(population: Population, *, last: int, run: str) -> Summary:
    """Return the summary of a population, without what grows with the log.

    Args:
        population: The population.
        last: The number of the last event that led to it.
        run: The name of the run.
    """
    members = tuple(map(_trim, population.members))
    bare = replace(population, members=members, data=None)
    return Summary(v=VERSION, run=run, last=last, population=bare)


class Tally:
    """Continues a summary with later events. Its memory does not grow with the log."""

    def __init__(self, run: str, summary: Summary | None = None) -> None:
        self._run = run
        self._replica = Replica()
        if summary is not None:
            self._replica.become(summary.population)
            self._replica.last = summary.last

    @property
    def last(self) -> int:
        """The number of the last event that was read; -1 before the first."""
        return self._replica.last

    @property
    def population(self) -> Population:
        """The population. Curves, past turns and strategies' notes lack what was read earlier."""
        return self._replica.population

    def read(self, news: Sequence[Logged]) -> None:
        """Read the events behind the last."""
        # After an interrupt, no part may be read twice.
        with self._replica.attempt() as attempt:
            follow(news, self._replica, self._run)
            attempt.keep()
        if not self._replica.empty:
            self._replica.become(self.summary().population)

    def summary(self) -> Summary:
        """Return the summary of the events that were read."""
        return sum_up(self.population, last=self.last, run=self._run)


def summarize(log: Sequence[Logged], run: str) -> Summary:
    """Return the summary of a log from its beginning."""
    tally = Tally(run)
    for first in range(0, len(log), EVERY):
        tally.read(log[first : first + EVERY])
    return tally.summary()


def encode(summary: Summary) -> bytes:
    """Return a summary as bytes."""
    return _encoder.encode(summary)


def rename(summary: Summary, run: str) -> Summary:
    """Return a summary of the same run under another name.

    Args:
        summary: The summary.
        run: The new name of the run.
    """
    return replace(summary, run=run)


def find_last(data: bytes) -> int:
    """Return the last event of an encoded summary; -1 if that is not one of this version."""
    try:
        found = _versions.decode(data)
    except _NO_SUMMARY:
        return -1
    return found.last if found.v == VERSION else -1


def decode(data: bytes) -> Summary:
    """Read a summary back, or raise CorruptLog, or UnknownSchema if it has another version."""
    try:
        version = _versions.decode(data).v
        summary = _decoder.decode(data) if version == VERSION else None
    except _NO_SUMMARY as error:
        raise CorruptLog(f"a summary must be as it was written, but {error!r}") from error
    if summary is None:
        raise UnknownSchema(f"a summary must have version {VERSION}, but has {version}")
    return summary


def check(summary: Summary, opening: RunOpened, *, head: int, steps: int) -> None:
    """Raise CorruptLog for a summary that is impossible in this run.

    ``steps`` is the present budget of each member. A summary that passes may still be wrong.
    """
    try:
        laws = _laws(summary, opening, head, steps)
        broken = next((law for law, holds in laws if not holds), None)
        for member in summary.population:
            check_hparams(summary.population.space, member.hparams, member.id)
    except _NO_SUMMARY as error:
        raise CorruptLog(f"a summary must be one of its run, but {error!r}") from error
    if broken is not None:
        raise CorruptLog(f"a summary must have {broken}")


def _laws(
    summary: Summary, opening: RunOpened, head: int, steps: int
) -> Iterator[tuple[str, bool]]:
    """Yield each law, the more basic first, and whether it holds."""
    whole, births, last = summary.population, opening.births, summary.last
    yield f"the name {opening.name!r}", summary.run == opening.name
    yield f"a last event from 0 to {head}", 0 <= last <= head
    yield "the members of the run", [it.id for it in whole] == list(range(len(births)))
    yield "the space of the run", whole.space == check_space(opening.space)
    # It may be from before the budget was raised.
    yield f"a budget of {opening.steps} to {steps}", opening.steps <= whole.steps <= steps
    yield "the run's way with equal scores", whole.ties == opening.ties
    yield "as long a memory as the run", whole.remember == opening.remember
    yield "the goals of the run", whole.goals == opening.goals_of_scores
    yield "a front that turns left", all(_is_left(it.checkpoint, whole) for it in whole.front)
    yield "a front of finite values", all(_is_finite(it, whole) for it in whole.front)
    events = (whole.round, whole.turns, whole.failures, whole.copies)
    yield "no more of anything than events", all(0 <= count <= last for count in events)
    yield "counts of 0 or more", min(whole.arrived, whole.undone) >= 0
    yield "as many copies as its members", sum(it.copies for it in whole) == whole.copies
    yield "a best that a turn left", whole.best is None or _is_best(whole)
    yield "evaluations of turns that ended", _is_confirmation(whole)
    yield "names of the space", set(whole.unread) <= set(whole.space)
    yield "no strategy's notes", whole.data is None
    for member, birth in zip(whole, births, strict=True):
        place = (member.group, member.ranked)
        yield f"member {member.id} in its place", place == (birth.group, birth.ranked)
        yield f"member {member.id} as a run leaves it", _is_member(member, whole)


def _is_best(whole: Population) -> bool:
    best = whole.best
    return best is not None and math.isfinite(best.score) and _is_left(best.checkpoint, whole)


def _is_confirmation(whole: Population) -> bool:
    found = whole.confirmation
    return found is None or all(
        _is_left(it.checkpoint, whole)
        and len(it.fresh) <= found.times
        and all(math.isfinite(score) for score in (it.score, *it.fresh) if score is not None)
        for it in found.candidates
    )


def _is_finite(found: Best, whole: Population) -> bool:
    has_all = found.metrics.keys() == set(metrics_of(whole.goals))
    return has_all and all(map(math.isfinite, (found.score, *found.metrics.values())))


def _is_member(member: Member, whole: Population) -> bool:
    counts = (
        member.step,
        member.turn,
        member.attempts,
        member.failing,
        member.copies,
        member.reborn or 0,
    )
    bare = member == _trim(member)
    left = member.checkpoint is None or _is_left(member.checkpoint, whole)
    return bare and left and min(counts) >= 0 and 0 <= member.trained <= whole.steps


def _is_left(checkpoint: Checkpoint, whole: Population) -> bool:
    """Say whether a checkpoint is of a turn that has ended."""
    return checkpoint.turn < whole.members[checkpoint.member].turn


def _trim(member: Member) -> Member:
    """Return a member without what grows with the log."""
    if not (member.curve.steps or member.inherited or member.past) and (
        member.data is None and member.absent is None
    ):
        return member
    return replace(member, curve=Curve(), inherited=0, data=None, past=(), absent=None)


def _describe(what: Any) -> Any:
    if isinstance(what, Space):
        return what.describe()
    raise NotImplementedError(f"a summary holds no {type(what).__name__}")


def _read_back(kind: type, what: Any) -> Any:
    if kind is Space:
        return Space.from_description(what)
    raise NotImplementedError(f"a summary holds no {kind.__name__}")


class _Versioned(msgspec.Struct):
    # The first summaries did not say it.
    v: int = 0
    last: int = -1


# Everything that reading an invalid summary can raise.
_NO_SUMMARY = (
    RametError,
    msgspec.MsgspecError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    ArithmeticError,
    RecursionError,
)
_versions = msgspec.json.Decoder(_Versioned)
_encoder = msgspec.json.Encoder(enc_hook=_describe)
_decoder: msgspec.json.Decoder[Summary] = msgspec.json.Decoder(Summary, dec_hook=_read_back)
