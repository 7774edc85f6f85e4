"""The README's picture: a population's learning rates, and what its schedule is worth."""

from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

import ramet
from ramet.plots.drawing import save

# Names on the picture, from its top.
NAMES = {
    "population": "the population's best",
    "replay": "new networks,\nits schedule",
    "last values": "new networks,\nits last value",
    "random search": "random search,\nas many steps",
}


class Page(NamedTuple):
    """The colours of what is drawn, for a page that is light or dark."""

    text: str
    member: str
    best: str


PAGES = {
    "light": Page(text="#1f2328", member="#8fa3b8", best="#c2410c"),
    "dark": Page(text="#e6edf3", member="#9fb3c8", best="#ff9d5c"),
}


def draw(
    turns: list[dict[str, Any]],
    schedule: ramet.Schedule,
    losses: dict[str, list[float]],
    folder: Path,
) -> None:
    """Draw the picture for both kinds of pages, without a background of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        drawn = Figure(figsize=(9.6, 3.4), layout="constrained")
        drawn.patch.set_alpha(0.0)
        left, right = drawn.subplots(1, 2, width_ratios=(1.2, 1))
        draw_rates(left, turns, schedule, page)
        draw_losses(right, losses, page)
        for axes in (left, right):
            dress(axes, page)
        save(drawn, folder / f"readme-{name}.svg")


def draw_rates(
    axes: Axes, turns: list[dict[str, Any]], schedule: ramet.Schedule, page: Page
) -> None:
    """Draw the learning rate of every member's turns, and those behind the best weights."""
    for member in {turn["member"] for turn in turns}:
        own = [turn for turn in turns if turn["member"] == member]
        edges = [own[0]["start"], *(turn["stop"] for turn in own)]
        rates = [turn["hparams.lr"] for turn in own]
        axes.stairs(rates, edges, baseline=None, color=page.member, linewidth=1.2, alpha=0.7)
    edges = [0, *(piece.stop for piece in schedule.pieces)]
    rates = [piece.hparams["lr"] for piece in schedule.pieces]
    axes.stairs(rates, edges, baseline=None, color=page.best, linewidth=3)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_title("Learning rates of 8 networks, and the schedule found")


def draw_losses(axes: Axes, losses: dict[str, list[float]], page: Page) -> None:
    """Draw the losses of each method's seeds, and their means."""
    for place, method in enumerate(reversed(NAMES)):
        found = losses[method]
        colour = page.best if method in {"population", "replay"} else page.member
        axes.plot(found, [place] * len(found), "o", color=colour, alpha=0.65, markersize=6)
        axes.plot([fmean(found)], [place], "|", color=page.text, markersize=20, markeredgewidth=2)
    axes.set_yticks(range(len(NAMES)), list(reversed(NAMES.values())))
    axes.set_ylim(-0.6, len(NAMES) - 0.4)
    axes.set_xlabel("test loss of five seeds, and their mean")
    axes.set_title("What the schedule is worth")


def dress(axes: Axes, page: Page) -> None:
    """Give axes the colours of a page."""
    axes.patch.set_alpha(0.0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(page.text)
    axes.tick_params(which="both", colors=page.text)
    axes.xaxis.label.set_color(page.text)
    axes.title.set(color=page.text, fontsize=11)
