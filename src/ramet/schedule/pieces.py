"""What a schedule is made of."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeGuard

import msgspec

from ramet.domains import Value
from ramet.errors import ScheduleError, SpaceError
from ramet.space import Hparams, Space, same


class Piece(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of steps trained with the same values: ``start`` up to, not including, ``stop``."""

    # Its first step.
    start: int
    # The step after its last.
    stop: int
    # The hyperparameters.
    hparams: Hparams


class Leg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A turn that the weights went through, and what its random draws were keyed by."""

    # Its first step.
    start: int
    # The step after its last.
    stop: int
    # The id of the member that trained it.
    member: int
    # Its number among the turns of that member.
    turn: int


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The weights that a schedule was read from, and their run."""

    # The run's name.
    run: str
    # The run's seed.
    seed: int
    # Whether high scores are good, or low ones.
    mode: Literal["max", "min"]
    # The score of the weights, as it was reported.
    score: float | None
    # Steps in a turn. Files call them "ready".
    turn_steps: int = msgspec.field(name="ready")
    # Steps between two scores; None is one score a turn.
    evaluate_every: int | None = None
    # All turns behind the weights. There are none if the schedule was changed after it was read.
    legs: tuple[Leg, ...] = ()
    # The steps before which weights were renewed.
    renewed: tuple[int, ...] = ()


def piece_at(pieces: Sequence[Piece], step: int) -> Piece:
    """Return the piece that a step is in, which is the last one for all later steps.

    Args:
        pieces: The pieces, in order.
        step: The step, counted from 0.
    """
    nth = bisect_right(pieces, step, key=lambda piece: piece.stop)
    return pieces[min(nth, len(pieces) - 1)]


def same_pieces(one: Sequence[Piece], other: Sequence[Piece]) -> bool:
    """Say whether two schedules train alike. 1, 1.0 and True are three values."""
    return one == other and all(map(same, (p.hparams for p in one), (p.hparams for p in other)))


def check_pieces(pieces: Sequence[Piece], *, conditional: bool = False) -> None:
    """Refuse pieces that do not have hyperparameters for every step.

    Pieces of a conditional space need not have the same ones.
    """
    if not pieces:
        raise ScheduleError("a schedule must have at least one piece, but got none")
    names = list(pieces[0].hparams)
    if not names:
        raise ScheduleError("a schedule must have at least one hyperparameter, but got none")
    for nth, piece in enumerate(pieces):
        where = f"piece {nth} of a schedule, steps {piece.start} to {piece.stop},"
        if piece.start >= piece.stop:
            raise ScheduleError(f"{where} must have at least one step")
        if not conditional and sorted(piece.hparams) != sorted(names):
            raise ScheduleError(
                f"{where} must have the hyperparameters of the first, {names}, but has "
                f"{list(piece.hparams)}; if some are there only when others have certain values, "
                f"the schedule needs the space that says so"
            )
        for name, value in piece.hparams.items():
            if not _is_plain(value):
                raise ScheduleError(
                    f"{where} must have finite numbers, text, booleans or None, but {name!r} is "
                    f"{value!r}"
                )
    _check_cover([(piece.start, piece.stop) for piece in pieces], "piece")


def check_legs(legs: Sequence[Leg], steps: int) -> None:
    """Refuse turns that do not follow each other up to the end."""
    if not legs:
        return
    for nth, leg in enumerate(legs):
        if leg.start >= leg.stop or leg.member < 0 or leg.turn < 0:
            raise ScheduleError(
                f"leg {nth} of a schedule must have at least one step, and a member and a turn "
                f"from 0 on, but got {leg}"
            )
    _check_cover([(leg.start, leg.stop) for leg in legs], "leg")
    if legs[-1].stop != steps:
        raise ScheduleError(
            f"the legs of a schedule must end where its pieces do, at step {steps}, but end at "
            f"{legs[-1].stop}; set them to [], which rules out only an exact replay"
        )


def check_renewed(renewed: Sequence[int], steps: int) -> None:
    """Refuse renewals that are not in order, or of weights that are fresh or trained."""
    if any(later <= earlier for earlier, later in pairwise((0, *renewed, steps))):
        raise ScheduleError(
            f"weights must be renewed before steps of the schedule in ascending order, after step "
            f"0 and before step {steps}, but got renewed={list(renewed)}"
        )


def check_source(source: Source) -> None:
    """Refuse numbers that no run has."""
    every = 1 if source.evaluate_every is None else source.evaluate_every
    if source.seed < 0 or source.turn_steps < 1 or every < 1 or source.turn_steps % every:
        raise ScheduleError(
            f"the source of a schedule must have a seed from 0 on, and turns of some steps that "
            f"evaluations divide, but got (seed={source.seed}, turn_steps={source.turn_steps}, "
            f"evaluate_every={source.evaluate_every})"
        )


def check_values(pieces: Sequence[Piece], description: Mapping[str, Any]) -> None:
    """Refuse values that are not in the space."""
    try:
        space = Space.from_description(description)
    except (LookupError, TypeError, ValueError, AttributeError, SpaceError) as error:
        raise ScheduleError(
            f"the space of a schedule must be described as ramet does, but {error!r} is wrong with "
            f"it; set it to null to derive a space from the values"
        ) from error
    for nth, piece in enumerate(pieces):
        if problem := space.problem(piece.hparams):
            raise ScheduleError(f"piece {nth} of a schedule must lie in its space: {problem}")


def is_number(value: Value) -> TypeGuard[int | float]:
    """Say whether a value is a number, which a truth value is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_cover(stretches: Sequence[tuple[int, int]], what: str) -> None:
    start = stretches[0][0]
    if start != 0:
        raise ScheduleError(f"the first {what} of a schedule must start at step 0, but got {start}")
    for nth, ((_, stop), (start, _)) in enumerate(pairwise(stretches), 1):
        if start != stop:
            raise ScheduleError(
                f"{what} {nth} of a schedule must start where the one before it stops, at step "
                f"{stop}, but starts at {start}"
            )


def _is_plain(value: Value) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
