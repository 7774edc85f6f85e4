"""Read FIRE's notes from a run's log: ratings of members, and evaluations with their outcomes."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from ramet.errors import CorruptLog
from ramet.events import Annotated, AnyEvent, TurnEnded
from ramet.strategies import Evaluation, Rating


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

    Args:
        events: The events of a run, such as ``Result.events``.
    """
    for note in notes(events):
        if isinstance(note.what, Evaluation) and note.what.outcome is not None:
            yield note.member, note.what


def _read_note(data: Any) -> Rating | Evaluation:
    try:
        return msgspec.convert(data, Rating | Evaluation)
    except msgspec.ValidationError as error:
        raise CorruptLog(
            f"a note of FIRE must be a rating or an evaluation, but {error}"
        ) from error
