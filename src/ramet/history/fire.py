"""What FIRE noted in a run's log: who was rated how, who was evaluated, and how that ended."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from ramet.errors import CorruptLog
from ramet.events import Annotated, AnyEvent, TurnEnded
from ramet.strategies import Evaluation, Rating


class Note(NamedTuple):
    """A note on a member, and the step of the run at which it was made."""

    step: int
    member: int
    what: Rating | Evaluation


def notes(events: Iterable[AnyEvent]) -> Iterator[Note]:
    """Yield what FIRE noted, in order.

    An evaluation is noted when it begins and, with its outcome, when it ends; a rating whenever it
    changes.
    """
    step = 0
    for event in events:
        match event:
            case TurnEnded(trained=trained):
                step = max(step, trained)
            case Annotated(member=int(member), data={"type": "Rating" | "Evaluation"} as data):
                yield Note(step, member, _read_note(data))


def evaluations(events: Iterable[AnyEvent]) -> Iterator[tuple[int, Evaluation]]:
    """Yield the evaluations that ended, each behind its evaluator, in the order of their ends."""
    for note in notes(events):
        if isinstance(note.what, Evaluation) and note.what.outcome is not None:
            yield note.member, note.what


def _read_note(data: Any) -> Rating | Evaluation:
    try:
        return msgspec.convert(data, Rating | Evaluation)
    except msgspec.ValidationError as error:
        raise CorruptLog(
            f"a note of FIRE's must be a rating or an evaluation, but {error}"
        ) from error
