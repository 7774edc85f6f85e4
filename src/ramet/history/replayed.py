"""What a replay came to, beside what it is a replay of."""

import math
import statistics
from dataclasses import dataclass

from ramet.history.frames import sign_of
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
        sign = sign_of(self.result.opening)
        last = (member.score for member in self.result.population)
        return [math.nan if score is None else sign * score for score in last]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def sd(self) -> float:
        """The standard deviation of the scores, which takes two of them at least."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else math.nan

    @property
    def original(self) -> float | None:
        """The score of the weights that the schedule was read from."""
        source = self.schedule.source
        return None if source is None else source.score

    def __str__(self) -> str:
        count = len(self.scores)
        spread = f" ± {self.sd:.2g}" if count > 1 else ""
        seeds = f"{count} seeds" if count > 1 else "1 seed"
        original = "" if self.original is None else f", the original {self.original:.6g}"
        return f"replayed: {self.mean:.6g}{spread} ({seeds}){original}"


def replays(result: Result) -> list[Replayed]:
    """Return the replays of a run's schedules that are in its store.

    They are those that are named after it, as ``ramet.replay`` does: ``NAME-replay``.
    """
    run, store = result.opening.name, result.store
    named = [name for name in store.runs() if name.startswith(f"{run}-replay")]
    found = [Result(store=store, blobs=result.blobs, name=name) for name in named]
    return [_read(one) for one in found if one.opening.strategy.get("type") == Replay.__name__]


def _read(result: Result) -> Replayed:
    strategy = from_description(result.opening.strategy)
    assert isinstance(strategy, Replay)  # noqa: S101 - by its type, which was just looked at
    return Replayed(schedule=Schedule(tuple(strategy.pieces), result.opening.space), result=result)
