"""Check a run's record against the promises that docs/stores.md numbers."""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from ramet.blobs.base import Blobs
from ramet.errors import CheckpointMissing, CorruptLog, StoreError
from ramet.events import (
    AnyEvent,
    AttemptFailed,
    Confirming,
    Copied,
    Explored,
    Logged,
    Rested,
    RoundEnded,
    TurnEnded,
    TurnLost,
    fold,
    follow,
)
from ramet.history.keeping import find_needed
from ramet.history.states import find_damage
from ramet.points import final_score
from ramet.population import Checkpoint, Population
from ramet.replica import Replica
from ramet.store.base import Seat, Store, standing
from ramet.store.summary import Summary, summarize

# The checkpoints that turns left, with the scores that they ended with.
Scores: TypeAlias = dict[Checkpoint, float | None]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A broken promise."""

    # The number of the promise, such as "I4".
    promise: str
    # A sentence that says what is wrong.
    what: str
    # The checkpoint that is concerned, if one is.
    key: str | None = None


def examine(store: Store, blobs: Blobs, run: str) -> list[Finding]:
    """Return all that is wrong with a run."""
    return [*log_findings(store, run), *checkpoint_findings(store, blobs, run)]


def log_findings(store: Store, run: str) -> list[Finding]:
    """Return where the log has gaps, is impossible, or differs from how members stand."""
    try:
        # Read first, so that the log has all events that it sums up.
        summary = store.summary(run)
        seats, log = _at_rest(store, run)
        # Each check relies on what the one before it has found to be in order.
        findings = list(_numbering(log)) or list(_story(run, log))
        findings = findings or list(_standings(_fold(log), seats))
        return findings or list(_check_summary(run, summary, log))
    except StoreError as error:
        return [Finding(promise="I4", what=f"the record cannot be read: {error}")]


def checkpoint_findings(store: Store, blobs: Blobs, run: str) -> list[Finding]:
    """Return the needed checkpoints that are missing or damaged."""
    try:
        population = _fold(store.events(run))
        keep = store.opening(run).keep
    except StoreError:
        return []
    needed = sorted(find_needed(population, keep), key=lambda kept: (kept.member, kept.turn))
    findings = [
        _unreadable(checkpoint, error)
        for checkpoint in needed
        if (error := find_damage(blobs, run, checkpoint)) is not None
    ]
    # Those that a run at work has pruned meanwhile are no longer needed.
    still = {kept.key for kept in find_needed(_fold(store.events(run)), keep)}
    return [finding for finding in findings if finding.key in still]


def _at_rest(store: Store, run: str) -> tuple[list[Seat], list[Logged]]:
    """Return how members stand, and the log that led there, although the run may go on."""
    log = store.events(run)
    while True:
        seats = store.seats(run)
        news = store.events(run, log[-1].number if log else -1)
        if not news:
            return seats, log
        log += news


def _fold(log: list[Logged]) -> Population:
    return fold(logged.event for logged in log)


def _numbering(log: list[Logged]) -> Iterator[Finding]:
    for place, logged in enumerate(log):
        if logged.number != place:
            what = f"event {place} should come next, but it is number {logged.number}"
            yield Finding(promise="I8", what=what)
            return


def _story(run: str, log: list[Logged]) -> Iterator[Finding]:
    """Yield the events that no run can have written, up to the first that cannot be applied."""
    replica = Replica()
    made: Scores = {}
    for logged in log:
        try:
            found = list(_event(logged.event, replica, made, f"event {logged.number}"))
        except LookupError:
            found = []  # Applying the event says what is missing.
        yield from found
        try:
            follow([logged], replica, run)
        except CorruptLog as error:
            if not found:
                yield Finding(promise="I4", what=str(error))
            return
        if isinstance(logged.event, TurnEnded):
            ended = logged.event
            made[ended.checkpoint] = final_score(ended.points, ended.step)


def _event(event: AnyEvent, replica: Replica, made: Scores, where: str) -> Iterator[Finding]:
    match event:
        case TurnEnded() | TurnLost() | AttemptFailed() | Rested():
            turn = replica.members[event.member].turn
            if event.turn != turn:
                what = f"{where} is of member {event.member}'s turn {event.turn}, not {turn}"
                yield Finding(promise="I2", what=what)
        case Copied(weights=weights) if weights is not None and weights.checkpoint not in made:
            what = f"{where} copies checkpoint {weights.checkpoint.key}, which no turn left"
            yield Finding(promise="I3", what=what)
        case Confirming():
            yield from _candidates(event, made, where)
        case Explored():
            space, hparams = replica.space, event.hparams
            outside = [
                name
                for name, domain in space.domains
                if not (name in hparams or name in space.conditions)
                or (name in hparams and not domain.contains(hparams[name]))
            ]
            if outside:
                what = f"{where} gives member {event.member} values outside {outside}"
                yield Finding(promise="I4", what=what)
            elif misfit := space.misfit(hparams):
                what = f"{where} gives member {event.member} values that do not fit: {misfit}"
                yield Finding(promise="I4", what=what)
        case RoundEnded():
            late = [member.id for member in replica.members if member.turn <= event.round]
            if late:
                what = f"{where} ends round {event.round}, but members {late} had not arrived"
                yield Finding(promise="I4", what=what)
        case _:
            pass


def _candidates(event: Confirming, made: Scores, where: str) -> Iterator[Finding]:
    for candidate in event.candidates:
        if candidate.checkpoint not in made:
            what = f"{where} evaluates {candidate.checkpoint.key} again, which no turn left"
            yield Finding(promise="I3", what=what)
        elif candidate.score != (score := made[candidate.checkpoint]):
            what = f"{where} has {candidate.score} for a turn that ended with a score of {score}"
            yield Finding(promise="I4", what=what)


def _standings(population: Population, seats: list[Seat]) -> Iterator[Finding]:
    if len(seats) != len(population):
        what = f"the store has rows of {len(seats)} members, but the log has {len(population)}"
        yield Finding(promise="I4", what=what)
        return
    there = {seat.standing.member: seat.standing for seat in seats}
    for member in population:
        found = there.get(member.id)
        if found != standing(member):
            what = f"member {member.id} stands at {found}, but the log leads to {standing(member)}"
            yield Finding(promise="I4", what=what)


def _check_summary(run: str, summary: Summary | None, log: list[Logged]) -> Iterator[Finding]:
    if summary is not None and summary != summarize(log[: summary.last + 1], run):
        what = f"the summary of events 0 to {summary.last} is not what these lead to"
        yield Finding(promise="I4", what=what)


def _unreadable(checkpoint: Checkpoint, error: StoreError) -> Finding:
    promise = "I7" if isinstance(error, CheckpointMissing) else "I3"
    return Finding(promise=promise, what=str(error), key=checkpoint.key)
