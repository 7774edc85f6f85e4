"""What a replay came to, beside what it is a replay of."""

import contextlib
import math
import statistics
from dataclasses import dataclass

from ramet import wording
from ramet.errors import StoreError, UsageError
from ramet.history.result import Result
from ramet.schedule import Schedule
from ramet.strategies import Replay, from_description


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Fresh networks trained on a schedule, and how they fared."""

    schedule: Schedule
    result: Result

    @property
    def scores(self) -> list[float]:
        """The last score of each member as it was reported, in the order of the seeds.

        It is NaN where it was not finite, or where there is none yet.
        """
        last = (member.score for member in self.result.population)
        return [math.nan if score is None else score for score in last]

    @property
    def mean(self) -> float:
        """The mean of the finite scores."""
        scores = self._finite
        try:
            return statistics.fmean(scores) if scores else math.nan
        except OverflowError:
            # The sum is too large for a float; this one adds fractions, which takes longer.
            return statistics.mean(scores)

    @property
    def sd(self) -> float:
        """The standard deviation of the finite scores, which takes two of them at least."""
        try:
            return statistics.stdev(self._finite) if len(self._finite) > 1 else math.nan
        except OverflowError:
            return math.inf

    @property
    def done(self) -> bool:
        """Whether every network was trained to the end."""
        return self.result.population.done

    @property
    def seeds(self) -> str:
        """How many networks there are, and what the scores are not yet, or not of."""
        population, finite = self.result.population, len(self._finite)
        said = wording.count(len(population), "seed")
        if finite < len(population):
            said += f", {len(population) - finite} without a finite score"
        if not self.done:
            least = min(member.trained for member in population)
            said += f", not over: {least:,} of {population.steps:,} steps"
        return said

    @property
    def _finite(self) -> list[float]:
        return [score for score in self.scores if math.isfinite(score)]

    @property
    def original(self) -> float | None:
        """The score of the weights that the schedule was read from."""
        source = self.schedule.source
        return None if source is None else source.score

    def __str__(self) -> str:
        original = "" if self.original is None else f", the original {self.original:.6g}"
        return f"replayed: {self.told} ({self.seeds}){original}"

    @property
    def told(self) -> str:
        """The mean, and how far scores spread if there are several."""
        spread = f" ± {self.sd:.2g}" if len(self._finite) > 1 else ""
        return f"{self.mean:.6g}{spread}"


def replays(result: Result) -> list[Replayed]:
    """Return the replays of a run's schedules that are in its store, and can be read."""
    run, store = result.opening.name, result.store
    found = []
    for name in store.runs():
        # One that is damaged, or that another version of ramet wrote, must not hide the others.
        with contextlib.suppress(StoreError, UsageError):
            strategy = store.opening(name).strategy
            if strategy.get("type") == Replay.__name__ and strategy.get("of") == run:
                found.append(_read(Result(store=store, blobs=result.blobs, name=name)))
    return found


def _read(result: Result) -> Replayed:
    strategy = from_description(result.opening.strategy)
    assert isinstance(strategy, Replay)  # noqa: S101 - by its type, which was just looked at
    return Replayed(schedule=Schedule(tuple(strategy.pieces), result.opening.space), result=result)
