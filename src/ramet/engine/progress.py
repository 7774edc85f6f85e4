"""Progress: what is said about how far a run is, wherever it is shown."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from ramet import wording
from ramet.engine.displays import Display, Look, choose_displays
from ramet.population import Population
from ramet.visible import label
from ramet.wording import clock_time


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
        # Steps that were there before this process began, which say nothing about its speed.
        self._before: int | None = None
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
        if self._before is None:
            self._before = _count_steps(run.population)
        self._run = run
        for place, display in enumerate(self._displays):
            if now - self._looked[place] >= display.every_s:
                self._looked[place] = now
                display.show(self._look(run, now))

    def _look(self, run: Watched, now: float, *, ended: bool = False) -> Look:
        population, elapsed_s = run.population, now - self._began
        done = _count_steps(population)
        budget = population.steps * len(population)
        step = done // len(population)
        best = population.best
        trained = done - (self._before or 0)
        parts = [
            wording.count(len(population), "member"),
            f"step {step:,}/{population.steps:,} ({done / budget:.0%})",
            f"best {best.score:.5g}" if best else population.why_no_best,
            wording.count(population.copies, "copy"),
            f"stopped after {clock_time(elapsed_s)}"
            if ended and done < budget
            else _time_left(trained, budget - done, elapsed_s),
        ]
        if population.failures:
            parts.insert(-1, wording.count(population.failures, "failure"))
        if failing := sum(member.failing > 0 for member in population):
            parts.insert(1, f"{failing} failing")
        fields: dict[str, Any] = {
            "run": self._name,
            "done": done / budget,
            "step": step,
            "best": best.score if best else None,
            "copies": population.copies,
            "failures": population.failures,
            "left_s": elapsed_s * (budget - done) / trained if trained else None,
        }
        return Look(
            name=self._name,
            text="  ".join(parts),
            done=done / budget,
            turns=population.turns,
            elapsed_s=elapsed_s,
            fields=fields,
        )


def _count_steps(population: Population) -> int:
    return sum(member.trained for member in population)


def _time_left(done: int, left: int, elapsed_s: float) -> str:
    if not left:
        return f"took {clock_time(elapsed_s)}"
    return f"{clock_time(elapsed_s * left / done)} left" if done else "time left unknown"
