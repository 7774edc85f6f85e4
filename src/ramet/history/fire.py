"""Read FIRE's notes from a run's log: ratings of members, and evaluations with their outcomes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from ramet.errors import CorruptLog
from ramet.events import Annotated, AnyEvent, TurnEnded
from ramet.strategies import Evaluation, Rating
from ramet.strategies.fire_turn_notes import Success, TurnRating


class Note(NamedTuple):
    """A note about a member, and the step of the run at which it was made."""

    step: int
    member: int
    what: Rating | Evaluation


def notes(events: Iterable[AnyEvent]) -> Iterator[Note]:
    """Yield FIRE's notes, in order.

    FIRE notes an evaluation when it begins and again, with its outcome, when it ends. It notes a
    rating whenever that changes.
    """
    step = 0
    for event in events:
        match event:
            case TurnEnded(trained=trained):
                step = max(step, trained)
            case Annotated(member=int(member), data={"type": "Rating" | "Evaluation"} as data):
                yield Note(step, member, _read_note(data))


def evaluations(events: Iterable[AnyEvent]) -> Iterator[tuple[int, Evaluation]]:
    """Yield the evaluations that ended, as pairs of the evaluator's id and the evaluation.

    In a run without rounds, a success is on record when the reference takes the weights. The
    evaluator notes it later, and not at all if it has used its budget.

    Args:
        events: The events of a run, such as ``Result.events``.
    """
    ongoing: dict[int, Evaluation] = {}
    succeeded: set[tuple[int, int]] = set()
    for note in notes(events):
        match note.what:
            case Evaluation(outcome=None) as begun:
                ongoing[note.member] = begun
            case Evaluation() as ended if (note.member, ended.since) not in succeeded:
                yield note.member, ended
            case TurnRating(successes=successes):
                for success in successes:
                    key = success.evaluator, success.since
                    evaluation = ongoing.get(success.evaluator)
                    if evaluation and evaluation.since == success.since and key not in succeeded:
                        succeeded.add(key)
                        yield success.evaluator, _end(evaluation, success)


def _end(evaluation: Evaluation, success: Success) -> Evaluation:
    return replace(
        evaluation, until=success.until, outcome="success", lead=success.lead, p=success.p
    )


def _read_note(data: Mapping[str, Any]) -> Rating | Evaluation:
    rating = TurnRating if "successes" in data else Rating
    try:
        return msgspec.convert(data, rating | Evaluation)
    except msgspec.ValidationError as error:
        raise CorruptLog(
            f"a note of FIRE must be a rating or an evaluation, but {error}"
        ) from error
