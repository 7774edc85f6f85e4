"""Checks of a log while it is read, against what no run can have written.

The types here check each event by itself, when it is decoded. The functions check an event against
the events before it, when a reader folds it. So a reader gets a run that is possible, or
``CorruptLog`` if the log is damaged or forged.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec

from ramet.errors import CorruptLog, SpaceError
from ramet.space import Hparams, Space

# The largest number that a store's columns hold.
LARGEST = 2**63 - 1
# Seconds since the epoch at which the year 10000 begins: Python has no dates after it.
END_OF_TIME_S = 253_402_300_800
# Candidates of a confirmation, and evaluations of each. A log with more would take too long to
# read, because each fresh score is written among all of them.
MOST_CANDIDATES = 1_000
MOST_TIMES = 10_000

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
Times: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MOST_TIMES)]
# Of any size: generators are keyed by all of it.
Seed: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
# A plain name that is no path, because checkpoints are files.
Digest: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z-]{1,64}\Z")]
# What a file of a run is stored under: a member, a turn, and the digest of its bytes.
Key: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,18}-[0-9]{1,18}-[0-9a-f]{32}\Z")]


def check_place(number: object, due: int) -> None:
    """Refuse an event that is not the next one."""
    if number != due:
        raise CorruptLog(f"event {due} must come here")


def check_moment(at: object, took_s: object) -> None:
    """Refuse times that are not dates, and durations that no clock measures."""
    if not _is_time(at):
        raise CorruptLog(f"it must be of a time from 1970 to 9999, in seconds, but is of {at!r}")
    if took_s is not None and not _is_time(took_s):
        raise CorruptLog(f"it must have taken seconds, 0 or more, but took {took_s!r}")


def check_name(name: str, run: str) -> None:
    """Refuse the opening of another run."""
    if name != run:
        raise CorruptLog(f"it must open a run of that name, but opens {name!r}")


def check_space(description: Mapping[str, Any]) -> Space:
    """Return the space that a run was opened with, or refuse an invalid description."""
    try:
        space = Space.from_description(description)
        names = description["names"]
        where = [text for text, _ in description.get("where", ())]
    except (LookupError, TypeError, ValueError, AttributeError, SpaceError) as error:
        raise CorruptLog(f"its space must be as ramet describes one, but {error!r}") from error
    if list(space) != names or not all(isinstance(text, str) for text in where):
        raise CorruptLog(f"its space must have names, each once, but has {names!r}")
    return space


def check_hparams(space: Space, hparams: Hparams, member: int) -> None:
    """Refuse values that are not in the space, one for each name that must be there."""
    there = 0
    for name, domain in space.domains:
        if name not in hparams:
            continue
        if not domain.contains(hparams[name]):
            raise CorruptLog(
                f"member {member} must have {name!r} in {domain}, but has {hparams[name]!r}"
            )
        there += 1
    # What is missing because of its condition is checked below.
    if len(hparams) != there or not _has_all(space, hparams):
        raise CorruptLog(
            f"member {member} must have the hyperparameters {list(space)}, but has {list(hparams)}"
        )
    if misfit := space.misfit(hparams):
        raise CorruptLog(f"member {member} must have values that fit together: {misfit}")


def _has_all(space: Space, hparams: Hparams) -> bool:
    """Say whether all hyperparameters are there that have no condition."""
    if len(hparams) == len(space.domains):
        return True
    return all(name in hparams or name in space.conditions for name, _ in space.domains)


def check_turn(member: int, turn: int, due: int) -> None:
    """Refuse a turn that is not the member's next one."""
    if turn != due:
        raise CorruptLog(f"it must be of member {member}'s turn {due}, but is of turn {turn}")


def check_trained(before: int, after: int, budget: int) -> None:
    """Refuse steps that are not within the budget, or that go back."""
    if not before <= after <= budget:
        raise CorruptLog(
            f"its member must have used {before} to {budget} steps of its budget, but has {after}"
        )


def check_points(points: Sequence[tuple[int, Any]], start: int, stop: int) -> None:
    """Refuse scores that are not in the order of their steps, or not of the turn."""
    last = start - 1
    for step, _ in points:
        if not last < step <= stop:
            raise CorruptLog(
                f"its scores must be of steps {start} to {stop}, each behind the last, but one is "
                f"of step {step}"
            )
        last = step


def check_row(row: object, stack: object) -> None:
    """Refuse a row of no stack."""
    if row and stack is None:
        raise CorruptLog(f"a state is in a row of a stack, but it is in row {row!r} of none")


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < END_OF_TIME_S
