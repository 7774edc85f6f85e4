"""Results as notebooks show them, and their plots and reports, imported when they are needed."""

import html
import importlib
import math
from os import PathLike
from typing import Any

from ramet import files, showing, wording
from ramet.errors import UsageError
from ramet.events import AttemptFailed, Logged, RunOpened
from ramet.history.lineage import Lineage
from ramet.history.snapshot import Snapshot
from ramet.population import Population
from ramet.schedule import Schedule
from ramet.showing import Html

# The height of a report below a notebook's cell, in pixels.
REPORT_HEIGHT = 600


class Report:
    """A report of a run: a notebook shows it, and ``write`` writes it as a file.

    Args:
        page: The report as HTML, a whole page.
    """

    def __init__(self, page: str) -> None:
        self.page = page

    def write(self, path: str | PathLike[str]) -> int:
        """Write the report as one HTML file, and return its size in bytes.

        Args:
            path: The file to write; it is replaced if it exists.
        """
        return files.write(path, self.page.encode(errors="replace"))

    def __repr__(self) -> str:
        size = wording.size(len(self.page.encode(errors="replace")))
        return f"Report({size}; a notebook shows it, and report.write('report.html') writes it)"

    def _repr_html_(self) -> str:
        # In a frame of its own, which can reach nothing of the notebook.
        inner = html.escape(self.page.encode(errors="replace").decode())
        look = f"width:100%;height:{REPORT_HEIGHT}px;border:1px solid rgba(128,128,128,.4)"
        return f'<iframe sandbox="allow-scripts" style="{look}" srcdoc="{inner}"></iframe>'


def draw(result: object, kind: str, settings: dict[str, Any]) -> Any:
    """Draw a plot of a result with ramet.plots.

    Args:
        result: The result.
        kind: The name of the plot.
        settings: What else the plot takes.
    """
    plots = importlib.import_module("ramet.plots")
    kinds = [name for name in plots.__all__ if name not in {"save", "best_so_far"}]
    if kind not in kinds:
        raise UsageError(f"the plot of a run must be one of {kinds}, but got {kind!r}")
    return getattr(plots, kind)(result, **settings)


def report(result: object) -> Report:
    """Return the report of a result, which ramet.report makes.

    Args:
        result: The result.
    """
    return Report(importlib.import_module("ramet.report").page(result))


def describe_run(opening: RunOpened, population: Population) -> str:
    """Say how far a run is, and how large it is.

    Args:
        opening: Its settings.
        population: Its members.
    """
    trained = sum(member.trained for member in population)
    share = trained / (population.steps * len(population))
    state = "done" if population.done else "stopped" if population.stopped else "not over"
    facts = [
        f"{state}, {share:.0%} of {population.steps:,} steps each",
        wording.count(len(population), "member"),
        wording.count(population.turns, "turn"),
        wording.count(population.copies, "copy"),
        *([wording.count(population.failures, "failure")] if population.failures else []),
        f"seed {opening.seed}",
    ]
    return ", ".join(facts)


def show_result(
    opening: RunOpened,
    population: Population,
    lineage: Lineage,
    *,
    best: tuple[Snapshot, Schedule] | None,
    wrong: list[Logged],
) -> Html:
    """Return a result as HTML: how far it is, the scores behind the best, its schedule.

    Args:
        opening: The settings of the run.
        population: Its members.
        lineage: Its turns.
        best: The best and its schedule; None if there is none.
        wrong: What went wrong.
    """
    parts: list[object] = [showing.headline(opening.name, describe_run(opening, population))]
    if best is None:
        parts.append(population.why_no_best)
    else:
        snapshot, schedule = best
        parts += [*_show_scores(snapshot, lineage), schedule._repr_html_()]
    failures = [it.event for it in wrong if isinstance(it.event, AttemptFailed)]
    if failures and not population.done:
        last = failures[-1]
        parts += [f"The last failure, of member {last.member}:", showing.quote(last.traceback)]
    return showing.join(parts)


def _show_scores(best: Snapshot, lineage: Lineage) -> list[object]:
    """Return the scores from the beginning to the best, in words and as a line."""
    points = [point for turn in lineage.behind(best.checkpoint) for point in turn.points]
    scores = [(float(step), score) for step, score in points if score is not None]
    if not scores:
        return []
    (step, first), said = scores[0], f"best score {_number(best.score)} at step {best.step:,}"
    began = f"of member {best.member}; its weights began with {_number(first)} at step {step:,.0f}"
    line = showing.draw_line(scores)
    return [f"{said}, {began}", line]


def _number(score: float) -> str:
    return wording.number(score) if math.isfinite(score) else "not finite"
