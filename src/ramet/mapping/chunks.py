"""Chunks: how many members of a population are trained at once."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from ramet.errors import UsageError
from ramet.events import Mapped
from ramet.wording import count

logger = logging.getLogger("ramet")

# How many members are trained at once; "auto" measures what is fastest.
Chunk: TypeAlias = int | Literal["auto"]

# Takes a number of members; returns a function that trains them at once for a few steps.
Trial: TypeAlias = Callable[[int], Callable[[], object]]

# Each chunk that is tried is this many times smaller than the one before.
SHRINK_FACTOR = 4
# Chunks are measured again for this many times as many members.
REMEASURE_FACTOR = 1.5
# How many steps a trial has at most.
TRIAL_STEPS = 10
# How often a chunk is timed, after a first run that may compile. The fastest counts.
TRIALS = 2
# A chunk this many times slower than the best ends the search; less may be chance.
GIVE_UP_FACTOR = 2.0

# Records a chunk for a run; returns all recorded ones, of which others may have been earlier.
Record: TypeAlias = Callable[[Mapped], Sequence[Mapped]]


class Chunks:
    """How many members are trained at once: as set, as recorded, or as measured."""

    def __init__(self, chunk: Chunk, is_full: Callable[[Exception], bool]) -> None:
        self._forced = None if chunk == "auto" else chunk
        self._is_full = is_full
        # The fastest chunk, and how many members it was measured with.
        self._measured: tuple[int, int] | None = None
        self._record: Record = lambda mapped: [mapped]
        # Whether the run's steps are compiled; None if that is not decided yet.
        self.compiled: bool | None = None

    def keep_to(self, run: str, recorded: Sequence[Mapped], record: Record) -> None:
        """Use the recorded chunk of a run, or record the one that was set: sums depend on it.

        Args:
            run: The name of the run.
            recorded: What is on record for it.
            record: What records a chunk.
        """
        self._record = record
        self.compiled = _first_compiled(recorded)
        if self._forced is None:
            self._recall(recorded)
        elif not recorded:
            record(Mapped(chunk=self._forced))
        elif recorded[0].chunk != self._forced:
            _say_other(run, recorded[0], self._forced)

    def _recall(self, recorded: Sequence[Mapped]) -> None:
        """Use what is on record."""
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
        """Return how many of ``count`` members to train at once.

        Chunks are as even as possible, so that few copies are trained to fill the last one.
        """
        if self.known(count) is None:
            found = fastest(count, lambda chunk: self._estimate_s(chunk, count, trial))
            self._measured = found or 1, count
            if found is not None:
                self._recall(self._record(Mapped(chunk=found, of=count)))
        return self._even(count)

    def known(self, count: int) -> int | None:
        """Return how many of ``count`` members to train at once; None if it must be measured.

        Args:
            count: The number of all members.
        """
        if self._forced is None and (
            self._measured is None or count > REMEASURE_FACTOR * self._measured[1]
        ):
            return None
        return self._even(count)

    def _even(self, count: int) -> int:
        chunk = self._forced
        if chunk is None:
            chunk, of = self._measured or (1, count)
            # If all of fewer members were fastest at once, so are all of a few more.
            chunk = count if chunk == of else chunk
        return -(-count // -(-count // chunk))

    def explain(self, error: Exception, chunk: int, trial: Trial) -> Exception:
        """Return an error that says how many would fit, if ``chunk`` do not and fewer do."""
        fewer = chunk // 2 if self._is_full(error) else 0
        while fewer and self._measure_s(fewer, trial) is None:
            fewer //= 2
        if not fewer:
            return error
        return UsageError(
            f"the members trained at once must fit the device, but {chunk} do not, and {fewer} "
            f"would; in a new run let chunk='auto' find the fastest that fits, or lower it, as "
            f"with chunk={fewer}: {error}"
        )

    def _estimate_s(self, chunk: int, count: int, trial: Trial) -> float | None:
        """Return the seconds that ``count`` members take in such chunks."""
        seconds = self._measure_s(chunk, trial)
        return None if seconds is None else seconds * count / chunk

    def _measure_s(self, chunk: int, trial: Trial) -> float | None:
        """Return the seconds of a trial, compiling excluded; None if it does not fit."""
        taken_s = []
        try:
            train = trial(chunk)
            for _ in range(1 + TRIALS):
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
    """Return the fastest chunk: all members, a fourth of them, and so on down to one.

    Args:
        most: The number of all members.
        seconds: Returns how long all members take with a chunk; None if it does not fit.

    Returns:
        The chunk, or None if not even one member fits.
    """
    taken_s: dict[int, float] = {}
    chunk = most
    while chunk:
        took = seconds(chunk)
        if took is not None:
            if taken_s and took > GIVE_UP_FACTOR * min(taken_s.values()):
                break  # Even smaller chunks would take even longer.
            taken_s[chunk] = took
        chunk = chunk // SHRINK_FACTOR or int(chunk > 1)
    if not taken_s:
        return None
    best = min(taken_s, key=lambda chunk: taken_s[chunk])
    fields = {"chunk": best, "seconds": taken_s}
    logger.info("%(chunk)d members are trained at once", fields, extra=fields)
    return best


def _say_other(run: str, recorded: Mapped, chunk: int) -> None:
    before = count(recorded.chunk, "member")
    fields = {"run": run, "recorded": recorded.chunk, "chunk": chunk}
    logger.warning(
        "run %(run)r was trained with %(before)s at once until now and goes on with "
        "chunk=%(chunk)d, so sums may be rounded differently; chunk='auto' keeps the number",
        {**fields, "before": before},
        extra=fields,
    )
