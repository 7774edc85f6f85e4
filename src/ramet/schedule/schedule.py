"""The schedule: pieces, one behind the other, and what can be made of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from ramet.domains import Choice, Value
from ramet.errors import ScheduleError
from ramet.schedule import file, rates
from ramet.schedule.code import python_of
from ramet.schedule.pieces import (
    Piece,
    Source,
    check_legs,
    check_pieces,
    check_source,
    check_values,
    is_number,
    piece_at,
)
from ramet.schedule.segments import deviations, merge, segment
from ramet.space import Space


class Smoothed(NamedTuple):
    """A schedule of fewer pieces, and how far it is from the one it was made of."""

    schedule: "Schedule"
    # Of each number, the largest difference at any step as a part of the value there; of anything
    # else, the part of the steps at which it is another.
    deviation: dict[str, float]


class Schedule(msgspec.Struct, frozen=True):
    """Pieces, one behind the other, from step 0.

    >>> schedule = Schedule((
    ...     Piece(start=0, stop=10, hparams={"lr": 0.4}),
    ...     Piece(start=10, stop=30, hparams={"lr": 0.2}),
    ... ))
    >>> list(schedule)
    [(0, {'lr': 0.4}), (10, {'lr': 0.2})]
    >>> schedule(12)
    {'lr': 0.2}
    """

    pieces: tuple[Piece, ...]
    # What the values were drawn from, described; None if nobody knows.
    space: dict[str, Any] | None = None
    # None if somebody wrote it.
    source: Source | None = None

    def __post_init__(self) -> None:
        check_pieces(self.pieces)
        if self.source is not None:
            check_source(self.source)
            check_legs(self.source.legs, self.steps)
        if self.space is not None:
            check_values(self.pieces, self.space)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Schedule":
        """Return the schedule in a file."""
        return cls(*file.read(path))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the schedule to a file, as JSON; docs/schedules.md describes it."""
        file.write(path, self.pieces, self.space, self.source)

    @property
    def steps(self) -> int:
        """How many steps it is made for; at later ones the last values hold."""
        return self.pieces[-1].stop

    @property
    def names(self) -> list[str]:
        """The hyperparameters."""
        return list(self.pieces[0].hparams)

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return ((piece.start, dict(piece.hparams)) for piece in self.pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    def __str__(self) -> str:
        """Return a line for each piece.

        >>> print(Schedule((Piece(start=0, stop=10, hparams={"lr": 0.4, "kind": "flip"}),)))
        steps 0 to 10: lr=0.4 kind=flip
        """
        return "\n".join(
            f"steps {piece.start:,} to {piece.stop:,}: "
            + " ".join(f"{name}={_show(value)}" for name, value in piece.hparams.items())
            for piece in self.pieces
        )

    def __call__(self, step: int) -> dict[str, Any]:
        """Return the values that the update number ``step``, counted from 0, is made with.

        Behind its end the last ones hold.
        """
        return dict(piece_at(self.pieces, step).hparams)

    def stretch(self, steps: int) -> "Schedule":
        """Return the same schedule for another number of steps, each piece as much longer.

        >>> schedule = Schedule((
        ...     Piece(start=0, stop=10, hparams={"lr": 0.4}),
        ...     Piece(start=10, stop=30, hparams={"lr": 0.2}),
        ... ))
        >>> print(schedule.stretch(90))
        steps 0 to 30: lr=0.4
        steps 30 to 90: lr=0.2
        """
        _check_count(steps, "how many steps the schedule is made for")
        scaled = [round(piece.stop * steps / self.steps) for piece in self.pieces]
        starts = [0, *scaled[:-1]]
        return self._replace_pieces(
            Piece(start=start, stop=stop, hparams=piece.hparams)
            for start, stop, piece in zip(starts, scaled, self.pieces, strict=True)
            if start < stop
        )

    def smooth(self, pieces: int) -> Smoothed:
        """Return the schedule of at most so many pieces that is nearest, and how near it is.

        Numbers are averaged over the steps of a piece, those above 0 on a log scale; anything else
        is what it was at most of them.
        """
        _check_count(pieces, "how many pieces the schedule may have")
        if pieces >= len(self):
            return Smoothed(self, dict.fromkeys(self.names, 0.0))
        numbers = self.names_to_average()
        schedule = self._replace_pieces(segment(self.pieces, pieces, numbers))
        return Smoothed(schedule, deviations(self.pieces, schedule.pieces, numbers))

    def last_values(self) -> "Schedule":
        """Return the values of the last piece as constants, as those do who report a point."""
        last = self.pieces[-1]
        return self._replace_pieces([Piece(start=0, stop=last.stop, hparams=last.hparams)])

    def to_python(self) -> str:
        """Return a function of the step as Python code, which depends on nothing."""
        return python_of(self.pieces, self.source)

    def as_torch_lambda(self, optimizer: Any, name: str) -> list[Callable[[int], float]]:
        """Return what ``torch.optim.lr_scheduler.LambdaLR`` multiplies each group's rate by.

        ``LambdaLR(optimizer, schedule.as_torch_lambda(optimizer, "lr"))`` has the rate of every
        step, if it is stepped after each of them.
        """
        return rates.factors(self._numbers(name), rates.initial(optimizer))

    def as_optax(self, name: str) -> Callable[[Any], Any]:
        """Return a schedule for optax: a function of the step, which may be traced."""
        return rates.as_arithmetic(self._numbers(name))

    def _numbers(self, name: str) -> rates.Numbers:
        if name not in self.names:
            raise ScheduleError(f"a schedule has {self.names}, but {name!r} was asked for")
        numbers = []
        for piece in self.pieces:
            value = piece.hparams[name]
            if not is_number(value):
                raise ScheduleError(f"a rate must be a number, but {name!r} is {value!r}")
            numbers.append((piece.stop, float(value)))
        return numbers

    def names_to_average(self) -> set[str]:
        """Return the hyperparameters that have an average: numbers, but none that are chosen."""
        domains = {} if self.space is None else Space.from_description(self.space)
        return {
            name
            for name in self.names
            if not isinstance(domains.get(name), Choice)
            and all(is_number(piece.hparams[name]) for piece in self.pieces)
        }

    def _replace_pieces(self, pieces: Iterable[Piece]) -> "Schedule":
        """Return another schedule of the same source, whose weights were not trained with it."""
        source = replace(self.source, legs=()) if self.source else None
        return Schedule(merge(pieces), _without_code(self.space), source)


def _without_code(space: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a space without what averages need not fulfil."""
    return None if space is None else {key: part for key, part in space.items() if key != "where"}


def _check_count(value: object, meaning: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ScheduleError(f"{meaning} must be a whole number, at least 1, but got {value!r}")


def _show(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
