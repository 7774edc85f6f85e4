"""The schedule: pieces, one after the other, and what can be made from them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from ramet import showing, wording
from ramet.domains import Choice, Value
from ramet.errors import ScheduleError
from ramet.schedule import file, rates
from ramet.schedule.code import python_of
from ramet.schedule.pieces import (
    Piece,
    Source,
    check_legs,
    check_pieces,
    check_renewed,
    check_source,
    check_values,
    is_number,
    piece_at,
)
from ramet.schedule.segments import deviations, merge, segment
from ramet.space import Space
from ramet.visible import label


class Smoothed(NamedTuple):
    """A schedule of fewer pieces, and how much it differs from the original."""

    # The schedule of fewer pieces.
    schedule: "Schedule"
    # For numbers, the largest relative difference at any step. For other hyperparameters, the
    # fraction of the steps with another value.
    deviation: dict[str, float]


class Schedule(msgspec.Struct, frozen=True):
    """The hyperparameters of every step, in pieces that follow each other from step 0.

    >>> schedule = Schedule((
    ...     Piece(start=0, stop=10, hparams={"lr": 0.4}),
    ...     Piece(start=10, stop=30, hparams={"lr": 0.2}),
    ... ))
    >>> list(schedule)
    [(0, {'lr': 0.4}), (10, {'lr': 0.2})]
    >>> schedule(12)
    {'lr': 0.2}
    """

    # The pieces, in order.
    pieces: tuple[Piece, ...]
    # The description of the space that the values were drawn from; None if it is not known.
    space: dict[str, Any] | None = None
    # Where it was read from; None if it was written by hand.
    source: Source | None = None

    def __post_init__(self) -> None:
        check_pieces(self.pieces, conditional=self.space is not None and "when" in self.space)
        if self.source is not None:
            check_source(self.source)
            check_legs(self.source.legs, self.steps)
            check_renewed(self.source.renewed, self.steps)
        if self.space is not None:
            check_values(self.pieces, self.space)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Schedule":
        """Return the schedule in a file.

        Args:
            path: The file, which ``save`` wrote.
        """
        return cls(*file.read(path))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the schedule to a file, as JSON; docs/schedules.md describes it.

        Args:
            path: The file. It is replaced if it exists.
        """
        file.write(path, self.pieces, self.space, self.source)

    @property
    def steps(self) -> int:
        """How many steps it is made for. After them, the last values stay in force."""
        return self.pieces[-1].stop

    @property
    def names(self) -> list[str]:
        """The names of the hyperparameters. Some pieces may lack some of them."""
        there = dict.fromkeys(name for piece in self.pieces for name in piece.hparams)
        if self.space is None or len(there) == len(self.pieces[0].hparams):
            return list(there)
        return [name for name in self.space["names"] if name in there]

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return ((piece.start, dict(piece.hparams)) for piece in self.pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    def __repr__(self) -> str:
        pieces = showing.shorten(list(self.pieces), None)
        lines = ["..." if it is None else label(_describe(it)) for it in pieces]
        return "\n".join([f"Schedule({self._size})", *lines])

    @property
    def _size(self) -> str:
        return f"{wording.count(len(self), 'piece')}, {self.steps:,} steps"

    def _repr_html_(self) -> showing.Html:
        columns = ["hyperparameter", "from", "to", "over the steps"]
        shown = showing.table(columns, self.names, show=self._show_row)
        return showing.join([showing.headline("Schedule", self._size), shown])

    def _show_row(self, name: str) -> tuple[str, str, str, str]:
        """Return the first and last value of a hyperparameter, and a picture if it is a number."""
        first, last = (
            wording.value_of(piece.hparams, name) for piece in (self.pieces[0], self.pieces[-1])
        )
        values = [(it.start, it.stop, it.hparams.get(name)) for it in self.pieces]
        drawn = [(start, stop, float(it)) for start, stop, it in values if is_number(it)]
        return name, first, last, showing.draw_steps(drawn)

    def __str__(self) -> str:
        """Return a line for each piece.

        >>> print(Schedule((Piece(start=0, stop=10, hparams={"lr": 0.4, "kind": "flip"}),)))
        steps 0 to 10: lr=0.4 kind=flip
        """
        return "\n".join(map(_describe, self.pieces))

    def __call__(self, step: int) -> dict[str, Any]:
        """Return the values for update number ``step``, counted from 0.

        After the end of the schedule they are the last values.
        """
        return dict(piece_at(self.pieces, step).hparams)

    def stretch(self, steps: int) -> "Schedule":
        """Return the schedule for another number of steps, with all pieces scaled alike.

        Args:
            steps: How many steps the new schedule is made for.

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
        before = self.source.renewed if self.source else ()
        renewed = {round(step * steps / self.steps) for step in before} - {0, steps}
        return self._replace_pieces(
            (
                Piece(start=start, stop=stop, hparams=piece.hparams)
                for start, stop, piece in zip(starts, scaled, self.pieces, strict=True)
                if start < stop
            ),
            renewed=sorted(renewed),
        )

    def smooth(self, pieces: int) -> Smoothed:
        """Return the nearest schedule with fewer pieces, and how much it differs.

        Numbers are averaged over the steps of a piece, on a log scale if they are all above 0.
        Other hyperparameters get the value that most of its steps have. If some are there only when
        others have certain values, the most common of these decide which ones a piece has.

        Args:
            pieces: How many pieces it may have.
        """
        _check_count(pieces, "how many pieces the schedule may have")
        if pieces >= len(self):
            return Smoothed(self, dict.fromkeys(self.names, 0.0))
        numbers = self.names_to_average()
        space = None if self.space is None else Space.from_description(self.space)
        schedule = self._replace_pieces(segment(self.pieces, pieces, numbers, space))
        return Smoothed(schedule, deviations(self.pieces, schedule.pieces, numbers))

    def last_values(self) -> "Schedule":
        """Return a schedule that has the values of the last piece at every step."""
        last = self.pieces[-1]
        return self._replace_pieces([Piece(start=0, stop=last.stop, hparams=last.hparams)])

    def to_python(self) -> str:
        """Return Python code of a function of the step, which imports nothing."""
        return python_of(self.pieces, self.source)

    def as_torch_lambda(self, optimizer: Any, name: str) -> list[Callable[[int], float]]:
        """Return the factors of a ``torch.optim.lr_scheduler.LambdaLR``, one for each group.

        ``LambdaLR(optimizer, schedule.as_torch_lambda(optimizer, "lr"))`` sets the rate of every
        step. Call the ``step()`` of the ``LambdaLR`` after each training step.

        Args:
            optimizer: The optimiser, with its initial rates.
            name: The hyperparameter that is the rate.
        """
        return rates.factors(self._numbers(name), rates.initial(optimizer))

    def as_optax(self, name: str) -> Callable[[Any], Any]:
        """Return a schedule for optax: a function of the step, which JAX can trace.

        Args:
            name: The hyperparameter that is the rate.
        """
        return rates.as_arithmetic(self._numbers(name))

    def _numbers(self, name: str) -> rates.Numbers:
        if name not in self.names:
            raise ScheduleError(f"a schedule has {self.names}, but {name!r} was asked for")
        numbers = []
        for piece in self.pieces:
            value = piece.hparams.get(name)
            if name not in piece.hparams:
                raise ScheduleError(
                    f"a rate must be there at every step, but {name!r} is not there from step "
                    f"{piece.start:,} to {piece.stop:,}; call the schedule and choose a rate there"
                )
            if not is_number(value):
                raise ScheduleError(f"a rate must be a number, but {name!r} is {value!r}")
            numbers.append((piece.stop, float(value)))
        return numbers

    def names_to_average(self) -> set[str]:
        """Return the names of hyperparameters that can be averaged: numbers, but no choices."""
        domains = {} if self.space is None else Space.from_description(self.space)
        return {
            name
            for name in self.names
            if not isinstance(domains.get(name), Choice)
            and all(is_number(piece.hparams.get(name)) for piece in self.pieces)
        }

    def _replace_pieces(
        self, pieces: Iterable[Piece], renewed: Iterable[int] | None = None
    ) -> "Schedule":
        """Return a schedule of other pieces, which no weights were trained with.

        Weights are renewed at the same steps, unless others are given.
        """
        source = None
        if self.source is not None:
            at = self.source.renewed if renewed is None else tuple(renewed)
            source = replace(self.source, legs=(), renewed=at)
        return Schedule(merge(pieces), _without_code(self.space), source)


def _without_code(space: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a space without its ``where``, which averages need not fulfil."""
    return None if space is None else {key: part for key, part in space.items() if key != "where"}


def _check_count(value: object, meaning: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ScheduleError(f"{meaning} must be a whole number, at least 1, but got {value!r}")


def _describe(piece: Piece) -> str:
    values = " ".join(f"{name}={_show(value)}" for name, value in piece.hparams.items())
    return f"steps {piece.start:,} to {piece.stop:,}: {values}"


def _show(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
