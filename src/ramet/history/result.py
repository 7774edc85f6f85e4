"""What a run has come to, read from its log."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ramet.blobs.base import Blobs
from ramet.errors import CorruptLog, NoBest
from ramet.events import AnyEvent, Logged, RunOpened, fold
from ramet.history.lineage import stretches_behind
from ramet.history.schedule import Schedule, schedule_behind
from ramet.population import Checkpoint, Population
from ramet.state.codec import decode
from ramet.state.tree import Tree, thaw
from ramet.store.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The best score that a turn ended with, as it was reported, and all that belongs to it."""

    score: float
    hparams: dict[str, Any]
    checkpoint: Checkpoint
    _run: str = field(repr=False, compare=False)
    _blobs: Blobs = field(repr=False, compare=False)

    @property
    def member(self) -> int:
        return self.checkpoint.member

    @property
    def step(self) -> int:
        return self.checkpoint.step

    def load(self) -> Tree:
        """Return the state, weights and all, that reached the score."""
        return thaw(decode(self._blobs.get(self._run, self.checkpoint.key)))

    def __repr__(self) -> str:
        return (
            f"Winner(score={self.score}, member={self.member}, step={self.step}, "
            f"hparams={self.hparams})"
        )


class Result:
    """A run as its log tells it, at the moment this was made.

    ``population`` and ``events`` hold scores as the run maximised them; ``best.score`` is as
    reported, which differs by its sign with ``mode="min"``.
    """

    def __init__(self, *, store: Store, blobs: Blobs, name: str) -> None:
        self.log: list[Logged] = store.events(name)
        self._blobs = blobs

    def __repr__(self) -> str:
        population = self.population
        best = f"best {self.best.score:.6g}" if population.best else "no score yet"
        return (
            f"Result({self.opening.name!r}: {len(population)} members, {population.turns} turns, "
            f"{population.copies} copies, {best}, seed {self.seed})"
        )

    @property
    def opening(self) -> RunOpened:
        """The run's name, seed and settings."""
        opening = self.events[0]
        if not isinstance(opening, RunOpened):
            raise CorruptLog("a log must begin with RunOpened")
        return opening

    @property
    def seed(self) -> int:
        return self.opening.seed

    @cached_property
    def events(self) -> list[AnyEvent]:
        return [logged.event for logged in self.log]

    @cached_property
    def population(self) -> Population:
        return fold(self.events)

    @property
    def best(self) -> Winner:
        best = self.population.best
        if best is None:
            raise NoBest(
                f"a best takes a turn that ended with a finite score, but none of "
                f"{self.population.turns} did"
            )
        last_turn = next(stretches_behind(best.checkpoint, self.events))
        return Winner(
            score=best.score if self.opening.mode == "max" else -best.score,
            hparams=dict(last_turn.hparams),
            checkpoint=best.checkpoint,
            _run=self.opening.name,
            _blobs=self._blobs,
        )

    def schedule(self) -> Schedule:
        """Return the values that the best weights were trained with, from their first step."""
        return schedule_behind(self.best.checkpoint, self.events)
