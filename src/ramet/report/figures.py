"""The page's pictures: plots, each with what a pointer on it is told."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ramet import plots, wording
from ramet.history import Trained
from ramet.history.metrics import metric
from ramet.history.turns import Key
from ramet.plots import shifts
from ramet.plots.branches import count_descendants, tree_of
from ramet.plots.drawing import figure_of
from ramet.plots.hyperparameter import SPREAD
from ramet.plots.scales import moving, scale_of
from ramet.plots.story import behind_best, score_of, start_of
from ramet.plots.thinning import drawn_of
from ramet.report.html import Markup, data, joined, tag
from ramet.report.picture import canvas, drawn, placed
from ramet.report.subject import Subject

# Turns that a pointer is told of; of more, those behind the best and some of the others.
MOST = 4_000

# Where something is, in data coordinates.
Point = tuple[float, float]


class Said(NamedTuple):
    """What is told of places on a picture: turns of the page's table, or lines of text."""

    points: Sequence[Point]
    turns: list[int] | None = None
    lines: list[list[str]] | None = None
    # Whether only the distance to the right or left counts.
    across: bool = False
    # How far each reaches to its right and left, and all of them up and down, in data coordinates.
    wide: Sequence[float] | None = None
    tall: float = 0.0


class Figures:
    """Draws plots of a run for its page."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._result = subject, subject.result
        self._count = 0
        # What the tree draws.
        self._drawn = drawn_of(self._result)
        every = subject.lineage.turns
        behind = [turn.key for turn in behind_best(self._result, self._drawn)]
        told = {*_some(behind, MOST // 2)}
        told |= {*_some(list(self._drawn.turns), MOST - len(told))}
        self._turns = [every[key] for key in self._drawn.turns if key in told]
        self._nth = {turn.key: nth for nth, turn in enumerate(self._turns)}
        # What is said of them, where some are left out.
        part = f"{len(self._turns):,} of {len(every):,} turns"
        self._part = part if len(self._turns) < len(every) else None

    def table(self) -> Markup:
        """Return the turns that pointers are told of, for the page's script."""
        rows = [self._row(turn) for turn in self._turns]
        told = {"names": self._subject.names, "part": self._part, "turns": rows}
        return data(told, id="turns")

    def scores(self) -> Markup:
        """Draw the scores of all members."""
        axes = plots.scores(self._result, canvas())
        scored = [turn for turn in self._turns if turn.score is not None]
        sign = self._subject.sign
        points = [(float(turn.trained), score_of(turn, sign)) for turn in scored]
        turns = [self._nth[turn.key] for turn in scored]
        caption = "Scores of all members over steps, and who copied whom."
        return self._figure(axes, "Scores", caption, Said(points, turns))

    def lineage(self) -> Markup:
        """Draw the schedule, and who trained it."""
        names = len(moving(self._result))
        axes = plots.lineage(self._result, canvas(min(1.2 + 0.75 * (names + 1.5), 12.0)))
        behind = [turn for turn in self._subject.behind if turn.key in self._nth]
        middle = sum(axes.get_ylim()) / 2
        said = Said(
            [((turn.start + turn.stop) / 2, middle) for turn in behind],
            [self._nth[turn.key] for turn in behind],
            across=True,
        )
        caption = "The schedule, the members that trained it, and its score."
        return self._figure(axes, "The schedule", caption, said)

    def hyperparameter(self, name: str) -> Markup:
        """Draw the values of one hyperparameter."""
        axes = plots.hyperparameter(self._result, name, canvas(3.6))
        scale, members = scale_of(self._result, name), len(self._subject.population)
        spread = SPREAD if scale.options else 0.0
        points = [
            (
                (start_of(turn) + turn.trained) / 2,
                scale.place(turn.hparams[name]) + spread * ((turn.member + 0.5) / members - 0.5),
            )
            for turn in self._turns
        ]
        caption = joined([tag("code", name), " over steps."])
        said = self._all(points)._replace(
            wide=[(turn.stop - turn.start) / 2 for turn in self._turns]
        )
        return self._figure(axes, f"Values of {name}", caption, said)

    def metric(self, name: str) -> Markup:
        """Draw a metric of all members, told of where each turn ends."""
        axes = plots.metric(self._result, name, canvas(3.6))
        logged = metric(self._result.account.measured, name)
        told = [turn for turn in self._turns if turn.key in logged]
        points = [(float(turn.trained), float(logged[turn.key][1][-1])) for turn in told]
        turns = [self._nth[turn.key] for turn in told]
        caption = joined([tag("code", name), " of all members over steps."])
        return self._figure(axes, f"Metric {name}", caption, Said(points, turns))

    def tree(self) -> Markup:
        """Draw where all weights came from."""
        axes = plots.tree(self._result, ax=canvas(5.6))
        paths = tree_of(self._drawn, count_descendants(self._drawn))
        points = [paths[turn.key][-1] for turn in self._turns]
        caption = "Each turn leads to the right; copies are branches."
        return self._figure(axes, "Family tree of the weights", caption, self._all(points))

    def parallel(self) -> Markup:
        """Draw all members at once, through all hyperparameters."""
        axes = plots.parallel(self._result, canvas(4.6))
        last = self._subject.lineage.turns.last()
        scored = [turn for turn in last if turn.score is not None]
        scored.sort(key=lambda turn: (turn.score, -turn.member))
        paths = [it for it in axes.collections if isinstance(it, LineCollection)][-1:]
        lines = paths[0].get_segments() if paths else []
        points, said = [], []
        for turn, line in zip(scored, lines, strict=True):
            points += [(float(x), float(y)) for x, y in line]
            said += [self._lines(turn)] * len(line)
        caption = "Members as they stand: a line each, through its values to its score."
        return self._figure(axes, "All members at once", caption, Said(points, lines=said))

    def workers(self) -> Markup:
        """Draw who trained what when."""
        by_worker = shifts.by_worker(self._subject.stints)
        axes = plots.workers(self._result, canvas(min(max(1.9 + 0.34 * len(by_worker), 2.6), 9.0)))
        every = slice(None, None, max(1, -(-len(self._subject.stints) // MOST)))
        points: list[Point] = []
        lines: list[list[str]] = []
        wide: list[float] = []
        for row, (worker, its) in enumerate(by_worker.items()):
            some = its.select(every)
            points += [(middle, float(row)) for middle in ((some.start + some.stop) / 2).tolist()]
            lines += _stints(worker, some)
            wide += ((some.stop - some.start) / 2).tolist()
        said = Said(points, lines=lines, wide=wide, tall=shifts.HEIGHT / 2)
        return self._figure(axes, "Workers", "Who trained which member when.", said)

    def _all(self, points: Sequence[Point]) -> Said:
        return Said(points, list(range(len(points))))

    def _row(self, turn: Trained) -> list[Any]:
        """Return a turn as the script has it."""
        values = [wording.value(turn.hparams[name]) for name in self._subject.names]
        edge = "" if turn.edge == "own" else turn.edge
        source = turn.origin.member if turn.origin and edge else None
        score = wording.number(self._subject.reported(turn.score))
        return [turn.member, turn.number, turn.start, turn.stop, edge, source, score, *values]

    def _lines(self, turn: Trained) -> list[str]:
        score = wording.number(self._subject.reported(turn.score))
        values = [f"{name} {wording.value(it)}" for name, it in turn.hparams.items()]
        return [f"member {turn.member}", f"score {score} at step {turn.stop:,}", *values]

    def _figure(self, axes: Axes, title: str, caption: object, said: Said) -> Markup:
        self._count += 1
        prefix = f"f{self._count}"
        svg = drawn(axes, prefix)
        # Not before it is drawn: that is what lays it out.
        where = placed(axes, said.points)
        # It is in cycles, and so would stay in memory until the collector looks at it.
        figure_of(axes).clear()
        told = {
            "x": where.x,
            "y": None if said.across else where.y,
            "turns": said.turns,
            "lines": said.lines,
            "box": where.box,
            "wide": said.wide and [round(half * where.x_unit, 1) for half in said.wide],
            "tall": round(said.tall * where.y_unit, 1),
        }
        return tag(
            "figure",
            tag("div", svg, class_="canvas", role="img", aria_label=title),
            tag("figcaption", caption),
            data(told) if said.points else None,
            class_="plot",
        )


def _some(keys: Sequence[Key], most: int) -> Sequence[Key]:
    """Return at most so many keys, evenly spaced."""
    return keys[:: max(1, -(-len(keys) // max(1, most)))]


def _stints(worker: str, stints: shifts.Stints) -> list[list[str]]:
    """Return what to show of each of a worker's stints."""
    took_s = (stints.stop - stints.start).tolist()
    columns = stints.member.tolist(), stints.turn.tolist(), stints.failed.tolist(), took_s
    return [
        [
            f"member {member}, turn {turn}{', which failed' if failed else ''}",
            wording.duration(took),
            worker,
        ]
        for member, turn, failed, took in zip(*columns, strict=True)
    ]
