"""Progress: what is said about how far a run is, wherever it is shown."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from ramet import wording
from ramet.engine.displays import Display, Look, choose_displays
from ramet.population import Population
from ramet.visible import label
from ramet.wording import clock_time

# Until a round of turns has ended, the pace is unknown for this part of the time that the first
# turns took to end.
WARM_UP_PART = 0.5


class Watched(Protocol):
    """What is watched: a run."""

    @property
    def population(self) -> Population:
        """The population as it is known to be, with scores as they were reported."""
        ...


class Progress:
    """Shows steps, best score, copies, failures and the time left.

    Args:
        name: The name of the run.
        shown: Whether to show progress; with None, runs of a few seconds write no lines to a log.
        seconds: The clock to measure time by.
    """

    def __init__(
        self,
        name: str,
        *,
        shown: bool | None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._shown = label(name), shown
        self._displays: list[Display] = []
        self._seconds = seconds
        self._began = seconds()
        # When each display was last updated.
        self._looked: list[float] = []
        # What was there before this process began, which says nothing about its speed.
        self._before: _Mark | None = None
        # When the first turns had ended. Before that, workers started and programs were compiled.
        self._warm: _Mark | None = None
        self._run: Watched | None = None

    def __enter__(self) -> Self:
        self._displays = choose_displays(shown=self._shown)
        self._looked = [self._began] * len(self._displays)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        look = None
        if self._run and self._displays:
            look = self._look(self._run, self._seconds(), ended=True)
        for display in self._displays:
            display.end(look)

    def say(self, text: str) -> None:
        """Show a line about the run above the display, if there is one.

        Args:
            text: The line.
        """
        for display in self._displays:
            display.say(f"{self._name}  {text}")

    def __call__(self, run: Watched) -> None:
        """Take note of where a run is, if it is time to look.

        Args:
            run: The run.
        """
        if not self._displays:
            return
        now = self._seconds()
        self._run = run
        if self._warm is None:
            self._mark(run.population, now)
        for place, display in enumerate(self._displays):
            if now - self._looked[place] >= display.every_s:
                self._looked[place] = now
                display.show(self._look(run, now))

    def _look(self, run: Watched, now: float, *, ended: bool = False) -> Look:
        population, elapsed_s = run.population, now - self._began
        done = _count_steps(population)
        left_s = self._estimate_left_s(population, done, now)
        budget = population.steps * len(population)
        best = population.best
        parts = [
            wording.count(len(population), "member"),
            f"{describe_step(population)} ({done / budget:.0%})",
            f"best {best.score:.5g}" if best else population.why_no_best,
            wording.count(population.copies, "copy"),
            _describe_time(left_s, elapsed_s, is_done=done == budget, ended=ended),
        ]
        if population.failures:
            parts.insert(-1, wording.count(population.failures, "failure"))
        if failing := sum(member.failing > 0 for member in population):
            parts.insert(1, f"{failing} failing")
        fields: dict[str, Any] = {
            "run": self._name,
            "done": done / budget,
            "step": done // len(population),
            "best": best.score if best else None,
            "copies": population.copies,
            "failures": population.failures,
            "left_s": left_s,
        }
        return Look(
            name=self._name,
            text="  ".join(parts),
            done=done / budget,
            turns=population.turns,
            elapsed_s=elapsed_s,
            fields=fields,
        )

    def _mark(self, population: Population, now: float) -> None:
        """Note where the run is at first, and when the first turns have ended."""
        if self._before is None:
            self._before = _Mark.of(population, self._began)
        elif population.turns > self._before.turns:
            self._warm = _Mark.of(population, now)

    def _estimate_left_s(self, population: Population, done: int, now: float) -> float | None:
        """Return the seconds until the budget is spent at the pace so far, if it is known."""
        left = population.steps * len(population) - done
        if not left:
            return 0.0
        warm = self._warm
        if warm is None or done == warm.steps:
            return None
        took_s, turns = now - warm.at, population.turns - warm.turns
        # Several workers may end their turns at once, so a few ends say nothing about the pace:
        # there must be a round of them, or time in which the first turns could be trained again.
        is_round = turns >= len(population)
        if took_s <= 0 or not (is_round or took_s >= WARM_UP_PART * (warm.at - self._began)):
            return None
        return took_s * left / (done - warm.steps)


class _Mark(NamedTuple):
    """How far a run was at some time."""

    at: float
    steps: int
    turns: int

    @classmethod
    def of(cls, population: Population, at: float) -> "_Mark":
        return cls(at, _count_steps(population), population.turns)


def describe_step(population: Population) -> str:
    """Return how many of their steps members have trained on average."""
    return f"step {_count_steps(population) // len(population):,}/{population.steps:,}"


def _describe_time(left_s: float | None, elapsed_s: float, *, is_done: bool, ended: bool) -> str:
    if is_done:
        return f"took {clock_time(elapsed_s)}"
    if ended:
        return f"stopped after {clock_time(elapsed_s)}"
    return "time left unknown" if left_s is None else f"{clock_time(left_s)} left"


def _count_steps(population: Population) -> int:
    return sum(member.trained for member in population)
