"""What tasks whose members are mapped over have in common, whichever framework maps them."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ramet.domains import Choice, Constant, Domain, Integer, Value
from ramet.errors import UsageError
from ramet.events import Mapped
from ramet.space import Space
from ramet.strategies.base import check_count
from ramet.wording import count

logger = logging.getLogger("ramet")

# How many members are mapped at once; "auto" measures what is fastest.
Chunk: TypeAlias = int | Literal["auto"]

# Given how many members to map at once: what trains so many a little, all of them at once.
Trial: TypeAlias = Callable[[int], Callable[[], object]]

# Each candidate for how many members to map at once is so many times smaller than the last.
FEWER = 4
# So many times as many members as were measured with are measured anew.
MORE = 1.5
# Steps that candidates are timed by.
MEASURED = 10
# How often a candidate is timed, beside a first time that may compile; the quickest counts.
TIMES = 2
# A candidate so many times slower than the best is the last one; less may be chance.
SLOWER = 2.0

# Called with what a run is to keep to; returns all that is on record, where others may come first.
Record: TypeAlias = Callable[[Mapped], Sequence[Mapped]]

WHOLE = np.iinfo(np.int32)


class SpaceArrays:
    """The values of a space as arrays of one number, each always of the same kind.

    >>> from ramet import Space, Uniform
    >>> numbers = SpaceArrays(Space(lr=Uniform(0.0, 1.0), layers=Choice([1, 2])))
    >>> numbers.of({"lr": 0.5, "layers": 2})
    {'lr': array(0.5, dtype=float32), 'layers': array(2, dtype=int32)}
    """

    def __init__(self, space: Space) -> None:
        self.kinds = {name: _kind(name, domain) for name, domain in space.domains}

    def of(self, hparams: Mapping[str, Value]) -> dict[str, NDArray[Any]]:
        """Return these values."""
        return {name: np.asarray(value, self.kinds[name]) for name, value in hparams.items()}


def _kind(name: str, domain: Domain) -> type[np.generic]:
    """Return what holds every value of a domain."""
    values = _extremes(domain)
    for value in values:
        if not isinstance(value, bool | int | float):
            raise UsageError(
                f"hyperparameters of a vectorised task must be numbers, but {name!r} may be "
                f"{value!r}; let it be the number of a choice, as in Choice([0, 1, 2])"
            )
        if isinstance(value, int) and not WHOLE.min <= value <= WHOLE.max:
            raise UsageError(
                f"whole numbers of a vectorised task must fit 32 bits, {WHOLE.min} to {WHOLE.max}, "
                f"but {name!r} may be {value}; count in larger units, or use Uniform"
            )
    kinds = {type(value) for value in values}
    if float in kinds:
        return np.float32
    return np.bool_ if kinds == {bool} else np.int32


def _extremes(domain: Domain) -> tuple[Value, ...]:
    """Return values that those of a domain are all like."""
    match domain:
        case Choice():
            return tuple(domain.options)
        case Constant():
            return (domain.value,)
        case Integer():
            return domain.low, domain.high
        case _:
            return (0.0,)


class Chunks:
    """How many members are mapped at once, where that is to be measured, and measured anew."""

    def __init__(self, chunk: Chunk, is_full: Callable[[Exception], bool]) -> None:
        self._forced = None if chunk == "auto" else chunk
        self._is_full = is_full
        # What was fastest, of how many members.
        self._measured: tuple[int, int] | None = None
        self._record: Record = lambda mapped: [mapped]
        # Whether the run's steps are compiled; None if that is not decided yet.
        self.compiled: bool | None = None

    def keep_to(self, run: str, recorded: Sequence[Mapped], record: Record) -> None:
        """Map as many as a run has on record, and record what is not: sums depend on it."""
        self._record = record
        self.compiled = _first_compiled(recorded)
        if self._forced is None:
            self._recall(recorded)
        elif not recorded:
            record(Mapped(chunk=self._forced))
        elif recorded[0].chunk != self._forced:
            _say_other(run, recorded[0], self._forced)

    def _recall(self, recorded: Sequence[Mapped]) -> None:
        """Go on from what is on record."""
        for mapped in recorded:
            if mapped.of is None:
                self._forced = mapped.chunk
            else:
                self._measured = mapped.chunk, mapped.of

    def keep_compiled(self, *, asked: bool) -> None:
        """Compile steps or not, as the user asks, and record it if nothing is on record."""
        if self.compiled is None:
            self.record_compiled(compiled=asked)
        elif self.compiled != asked:
            fields = {"recorded": self.compiled, "compile": asked}
            logger.warning(
                "the run has been trained with compile=%(recorded)s and goes on with "
                "compile=%(compile)s, so that sums may be rounded differently; compile='auto' "
                "keeps to it",
                fields,
                extra=fields,
            )
            self.compiled = asked

    def record_compiled(self, *, compiled: bool) -> None:
        """Record whether steps are compiled, and keep to what is on record first."""
        chunk, of = (self._forced, None) if self._forced else self._measured or (1, None)
        self.compiled = _first_compiled(self._record(Mapped(chunk=chunk, of=of, compiled=compiled)))

    def of(self, count: int, trial: Trial) -> int:
        """Return how many of so many members to map at once.

        Chunks are as even as can be, so that little is trained to fill the last one up.
        """
        chunk = self._forced
        if chunk is None:
            if self._measured is None or count > MORE * self._measured[1]:
                found = fastest(count, lambda few: self._in_all(few, count, trial))
                self._measured = found or 1, count
                if found is not None:
                    self._recall(self._record(Mapped(chunk=found, of=count)))
            chunk, of = self._measured
            # All at once of fewer is all at once of a few more.
            chunk = count if chunk == of else chunk
        return -(-count // -(-count // chunk))

    def explained(self, error: Exception, chunk: int, trial: Trial) -> Exception:
        """Return an error that says how many would fit, if so many at once do not but fewer do."""
        fewer = chunk // 2 if self._is_full(error) else 0
        while fewer and self._seconds(fewer, trial) is None:
            fewer //= 2
        if not fewer:
            return error
        return UsageError(
            f"the members mapped at once must fit the device, but {chunk} do not, and {fewer} "
            f"would; in a new run let chunk='auto' find what is fastest of what fits, or lower it, "
            f"as with chunk={fewer}: {error}"
        )

    def _in_all(self, chunk: int, count: int, trial: Trial) -> float | None:
        """Return the seconds that so many members take, some of them at once."""
        seconds = self._seconds(chunk, trial)
        return None if seconds is None else seconds * count / chunk

    def _seconds(self, chunk: int, trial: Trial) -> float | None:
        """Return the seconds that a trial takes once it is compiled; None if it does not fit."""
        taken_s = []
        try:
            train = trial(chunk)
            for _ in range(1 + TIMES):
                began = time.perf_counter()
                train()
                taken_s.append(time.perf_counter() - began)
        except Exception as error:
            if not self._is_full(error):
                raise
            return None
        return min(taken_s[1:])


def _first_compiled(recorded: Sequence[Mapped]) -> bool | None:
    return next((each.compiled for each in recorded if each.compiled is not None), None)


def fastest(most: int, seconds: Callable[[int], float | None]) -> int | None:
    """Return how many members to map at once: of all, a fourth, and so on down to one by one.

    ``seconds`` says how long all take, or None if so many do not fit. None is that not even one
    does.
    """
    taken_s: dict[int, float] = {}
    chunk = most
    while chunk:
        took = seconds(chunk)
        if took is not None:
            if taken_s and took > SLOWER * min(taken_s.values()):
                break  # With fewer still it would take longer still.
            taken_s[chunk] = took
        chunk = chunk // FEWER or int(chunk > 1)
    if not taken_s:
        return None
    best = min(taken_s, key=lambda chunk: taken_s[chunk])
    fields = {"chunk": best, "seconds": taken_s}
    logger.info("%(chunk)d members are mapped at once", fields, extra=fields)
    return best


def _say_other(run: str, recorded: Mapped, chunk: int) -> None:
    before = count(recorded.chunk, "member")
    fields = {"run": run, "recorded": recorded.chunk, "chunk": chunk}
    logger.warning(
        "run %(run)r has been trained with %(before)s mapped at once and goes on with "
        "chunk=%(chunk)d, so that sums may be rounded differently; chunk='auto' keeps to it",
        {**fields, "before": before},
        extra=fields,
    )


def too_large(count: int, size: int) -> UsageError:
    """Return the error for a population whose states, of so many bytes each, leave no room."""
    return UsageError(
        f"a population must fit its device, but not even one member at a time can be trained "
        f"beside the states of all {count}, {size:,} bytes each, of which there are several copies "
        f"while members copy one another and train; have fewer members, spread them over more "
        f"devices, or train in worker processes"
    )


def step_changed(difference: str) -> UsageError:
    """Return the error for a step that makes another kind of state of the one it was given."""
    return UsageError(
        f"a task's step must leave a state as init makes it, the same names, shapes and kinds of "
        f"numbers, but {difference}; make it so in init, or cast it back in step"
    )


def check_task(functions: object, protocol: type, methods: str, chunk: object) -> None:
    """Refuse what no task can be made of."""
    if isinstance(functions, type) or not isinstance(functions, protocol):
        raise UsageError(
            f"a task must be made of an object with the methods {methods}, but got {functions!r}"
        )
    if chunk != "auto":
        check_count("chunk", chunk, "how many members are mapped at once; or let it be 'auto'")
