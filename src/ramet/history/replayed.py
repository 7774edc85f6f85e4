"""The scores of a replay, beside those of its original."""

import contextlib
import math
import statistics
from dataclasses import dataclass

from ramet import showing, wording
from ramet.errors import StoreError, UsageError
from ramet.events.opening import is_replay
from ramet.history.result import Result
from ramet.schedule import Schedule
from ramet.store.base import Store
from ramet.strategies import Replay, from_description


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The result of training fresh networks on a schedule.

    Args:
        schedule: The schedule that they were trained with.
        result: The run that trained them.
    """

    schedule: Schedule
    result: Result

    @property
    def scores(self) -> list[float]:
        """The last score of each member, in the order of the seeds.

        It is NaN if it was not finite, or there is none yet.
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
            # The sum is too large for a float; this is slower, and adds fractions.
            return statistics.mean(scores)

    @property
    def sd(self) -> float:
        """The standard deviation of the finite scores; NaN if there are fewer than two."""
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
        """How many networks there are, how many have no finite score, and how far they are."""
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

    def __repr__(self) -> str:
        return f"Replayed({self})"

    def _repr_html_(self) -> str:
        seeds = self.result.opening.strategy.get("seeds") or range(len(self.scores))
        scores = zip(seeds, self.scores, strict=False)
        rows = [(f"{seed}", wording.number(score)) for seed, score in scores]
        return showing.join(
            [
                showing.headline("Replay", str(self).removeprefix("replayed: ")),
                showing.table(["seed", "score"], rows),
                self.schedule._repr_html_(),
            ]
        )

    def __str__(self) -> str:
        original = "" if self.original is None else f", the original {self.original:.6g}"
        of = self.seeds if math.isnan(self.sd) else f"mean ± sd, {self.seeds}"
        return f"replayed: {self.summary} ({of}){original}"

    @property
    def summary(self) -> str:
        """The mean, with the standard deviation if there are several scores."""
        return wording.mean_and_spread(self.mean, self.sd)


def replays(result: Result) -> list[Replayed]:
    """Return the readable replays of a run's schedules in its store."""
    store, found = result.store, []
    for name in find_replays(store, result.opening.name):
        # As there, of what is read only now.
        with contextlib.suppress(StoreError, UsageError):
            found.append(_read(Result(store=store, blobs=result.blobs, name=name)))
    return found


def find_replays(store: Store, run: str) -> list[str]:
    """Return the names of the runs in a store that are replays of a run.

    Args:
        store: The store.
        run: The name of the run that they are replays of.
    """
    found, of = [], store.opening(run)
    of_began = _find_beginning(store, run)
    for name in store.runs():
        # A damaged run, or one of another version of ramet, must not hide the others.
        with contextlib.suppress(StoreError, UsageError):
            opening, began = store.opening(name), _find_beginning(store, name)
            if is_replay(opening, began=began, of=of, of_began=of_began):
                found.append(name)
    return found


def _find_beginning(store: Store, run: str) -> float:
    (first,) = store.events(run, most=1)
    return first.at


def _read(result: Result) -> Replayed:
    strategy = from_description(result.opening.strategy)
    assert isinstance(strategy, Replay)  # noqa: S101 - by its type, which was just looked at
    return Replayed(schedule=Schedule(tuple(strategy.pieces), result.opening.space), result=result)
