"""The progress display: one line on a terminal, nothing anywhere else."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from ramet.population import Population
from ramet.visible import label
from ramet.wording import clock_time

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

# Seconds between two looks of the display.
REFRESH_S = 0.1


class Watched(Protocol):
    """What is watched: a run."""

    @property
    def population(self) -> Population:
        """The population as it is known to be, with scores as they were reported."""
        ...


class Progress:
    """Shows members, steps, best score, copies and the time left."""

    def __init__(
        self,
        name: str,
        *,
        shown: bool | None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._live: Live | None = None
        self._seconds = seconds
        self._began = self._looked = seconds()
        # Steps that were there before this process began, which say nothing about its speed.
        self._before: int | None = None
        self._run: Watched | None = None

    def __enter__(self) -> Self:
        if self._shown:
            # A tenth of a second's import that only a terminal needs.
            from rich.console import Console  # noqa: PLC0415 - as said
            from rich.live import Live  # noqa: PLC0415 - as said

            # What goes to a file does not disturb the line, and must not end up beside it.
            self._live = Live(
                console=Console(stderr=True),
                auto_refresh=False,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            if self._run is not None:
                self._show(self._live, self._run, self._seconds())
            self._live.stop()
            if not self._live.console.is_terminal:
                self._live.console.line()

    def say(self, text: str) -> None:
        """Show a line about the run above the display, if there is one."""
        if self._live is not None:
            self._live.console.print(f"{label(self._name)}  {text}", markup=False, highlight=False)

    def __call__(self, run: Watched) -> None:
        """Take note of where a run is, if it is time to look."""
        if self._live is None:
            return
        now = self._seconds()
        if self._before is None:
            self._before = _count_steps(run.population)
        self._run = run
        if now - self._looked >= REFRESH_S:
            self._looked = now
            self._show(self._live, run, now)

    def _show(self, live: "Live", run: Watched, now: float) -> None:
        live.update(self._line(run.population, now - self._began), refresh=True)

    def _line(self, population: Population, elapsed_s: float) -> "Text":
        from rich.text import Text  # noqa: PLC0415 - as in __enter__

        done = _count_steps(population)
        budget = population.steps * len(population)
        step = done // len(population)
        best = population.best
        parts = [
            f"{len(population)} members",
            f"step {step:,}/{population.steps:,} ({done / budget:.0%})",
            f"best {best.score:.5g}" if best else population.why_no_best,
            f"{population.copies:,} copies",
            _time_left(done - (self._before or 0), budget - done, elapsed_s),
        ]
        if failing := sum(member.failing > 0 for member in population):
            parts.insert(1, f"{failing} failing")
        return Text.assemble(
            (label(self._name), "bold"), "  ", "  ".join(parts), no_wrap=True, overflow="ellipsis"
        )


def _count_steps(population: Population) -> int:
    return sum(member.trained for member in population)


def _time_left(done: int, left: int, elapsed_s: float) -> str:
    if not left:
        return f"took {clock_time(elapsed_s)}"
    return f"{clock_time(elapsed_s * left / done)} left" if done else "time left unknown"
