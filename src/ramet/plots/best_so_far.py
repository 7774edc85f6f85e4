"""The best score so far, over several runs."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ramet import wording
from ramet.errors import UsageError
from ramet.events import Copied, Rested, TurnEnded, TurnLost
from ramet.history import Result
from ramet.history.reported import sign_of
from ramet.plots import drawing
from ramet.plots.scales import Floats, drawable, elsewhere, scale_of_scores
from ramet.points import final_score

# The quantiles of the runs that the band lies between.
BAND = (0.25, 0.75)


class Reached(NamedTuple):
    """The best score of a run by steps that members have trained, as it was reported."""

    steps: Floats
    scores: Floats
    # 1 if higher ones are better, else -1.
    sign: int

    def at(self, steps: Floats) -> Floats:
        """Return the best by each of some steps, of which none is before the first."""
        return self.scores[np.searchsorted(self.steps, steps, side="right") - 1]


def best_so_far(
    results: Sequence[Result] | Mapping[str, Sequence[Result]], ax: Axes | None = None
) -> Axes:
    """Draw the best score so far over the steps that each member has trained.

    A line is the median over runs, in a band from the first to the third quartile. A mapping gives
    a line for each label. The best of a FIRE run is that of P1 (FIRE paper, figures 4b and 5).

    Args:
        results: The runs, all with the same mode; or lists of runs by their labels.
        ax: The axes to draw on; without them, those of a new figure.
    """
    labelled = _label(results)
    axes = drawing.axes_for(ax)
    axes.set(xlabel="steps trained", ylabel="best score so far")
    many = any(len(runs) > 1 for runs in labelled.values())
    said = "best score so far: the runs' median, and half of them" if many else "best score so far"
    axes.set_title(said, loc="left", fontsize="medium")
    curves = {label: [read_best(run) for run in runs] for label, runs in labelled.items()}
    found = [curve for each in curves.values() for curve in each if curve]
    if not found:
        return drawing.say(axes, "no turn has ended with a finite score yet")
    scores = [score for curve in found for score in curve.scores.tolist()]
    every = np.array([drawable(score) for score in scores])
    colours = itertools.cycle([*drawing.COLOURS[1:], *drawing.OTHERS])
    handles = [
        line
        for (label, its), colour in zip(curves.items(), colours, strict=False)
        for line in _draw(axes, label, its, colour)
    ]
    scale_of_scores(every, found[0].sign).set_up(axes, every.min(), every.max())
    sense = "higher" if found[0].sign > 0 else "lower"
    axes.set_ylabel(f"best score so far ({sense} is better)")
    drawing.legend(axes, [*handles, *elsewhere(scores, "scores")])
    return axes


def read_best(result: Result) -> Reached | None:
    """Return the best so far of a run; None if it has none yet."""
    found = sorted(_offers(result))
    if not found:
        return None
    steps, offered = zip(*found, strict=True)
    sign = sign_of(result.opening.mode)
    best = itertools.accumulate(offered, max if sign > 0 else min)
    return Reached(np.array(steps, float), np.array(list(best), float), sign)


def _offers(result: Result) -> Iterator[tuple[int, float]]:
    """Yield scores that count for the best, and what their members had trained."""
    births = result.opening.births
    trained = [0] * len(births)
    for event in result.events:
        match event:
            case TurnEnded(member=member, points=points, step=step):
                trained[member] = event.trained
            case Copied(member=member, source=source, weights=weights) if weights is not None:
                # Weights that evaluators pass on count as well.
                points = () if births[source].ranked else weights.points
                step = weights.checkpoint.step
            case TurnLost(member=member) | Rested(member=member):
                trained[member] = event.trained
                continue
            case _:
                continue
        score = final_score(points, step)
        if births[member].ranked and score is not None:
            yield trained[member], score


def _draw(axes: Axes, label: str, runs: Sequence[Reached | None], colour: str) -> list[Line2D]:
    curves = [curve for curve in runs if curve]
    if not curves:
        return []
    first, last = max(c.steps[0] for c in curves), min(c.steps[-1] for c in curves)
    grid = np.unique(np.concatenate([c.steps for c in curves]))
    grid = grid[(grid >= first) & (grid <= max(first, last))]
    scores = np.array([[drawable(score) for score in curve.at(grid).tolist()] for curve in curves])
    low, high = np.quantile(scores, BAND, axis=0)
    if len(curves) > 1:
        axes.fill_between(grid, low, high, step="post", color=colour, alpha=0.2, linewidth=0)
    return axes.plot(
        grid,
        np.median(scores, axis=0),
        drawstyle="steps-post",
        color=colour,
        linewidth=2,
        label=drawing.literal(_count_runs(label, len(curves), len(runs))),
    )


def _count_runs(label: str, shown: int, runs: int) -> str:
    """Say how many runs a line is of."""
    count = wording.count(runs, "run")
    of = count if shown == runs else f"{shown:,} of {count}, others have no score"
    # Matplotlib has no use for labels that begin with one of these.
    safe = f" {label}" if label.startswith("_") else label
    return f"{safe} ({of})" if label else of


def _label(
    results: Sequence[Result] | Mapping[str, Sequence[Result]],
) -> dict[str, list[Result]]:
    """Return runs by their labels, or say what they should be."""
    if isinstance(results, Result):
        raise UsageError("results must be several runs, but got one; for one write [result]")
    by_label = results if isinstance(results, Mapping) else {"": results}
    labelled = {str(label): list(runs) for label, runs in by_label.items()}
    every = [run for runs in labelled.values() for run in runs]
    for run in every:
        drawing.check(run)
    modes = sorted({run.opening.mode for run in every})
    if len(modes) > 1:
        raise UsageError(
            f"results must all be of one mode, because one axis shows them, but got {modes}"
        )
    return labelled
