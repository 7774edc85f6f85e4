"""The page's pictures: plots, each with labels that a pointer on it shows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ramet import plots, wording
from ramet.goals import SCORE
from ramet.history import Trained
from ramet.history.front import find_ends
from ramet.history.metrics import metric
from ramet.history.turns import Key
from ramet.plots import shifts
from ramet.plots.branches import count_descendants, tree_of
from ramet.plots.drawing import figure_of
from ramet.plots.front import pick_sides
from ramet.plots.hyperparameter import SPREAD
from ramet.plots.importance import ASIDE, REST, ROW, ROWS, measure_once
from ramet.plots.scales import drawable, moving, scale_of
from ramet.plots.story import behind_best, score_of, start_of
from ramet.plots.thinning import thin
from ramet.report.html import Markup, data, join, tag
from ramet.report.picture import canvas, draw, locate
from ramet.report.subject import Subject

# Turns that have a label; if there are more, those behind the best and some of the others have one.
LABELLED_TURNS = 4_000

# Hyperparameters of the small picture of the schedule; its width in inches; and its text, which is
# as large as other text of the page on the screen of a phone.
GLANCED, SMALL_WIDTH = 4, 5.4
SMALL_LOOK: dict[Any, Any] = {"font.size": 14.6}

# Where something is, in data coordinates.
Point = tuple[float, float]


class Labels(NamedTuple):
    """Labels of places on a picture: turns of the page's table, or lines of text."""

    points: Sequence[Point]
    turns: list[int] | None = None
    lines: list[list[str]] | None = None
    # Whether only the horizontal distance to the pointer counts.
    across: bool = False
    # Half the width of each place, and half the height of all, in data coordinates.
    wide: Sequence[float] | None = None
    tall: float = 0.0


class Figures:
    """Draws plots of a run for its page."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._result = subject, subject.result
        self._count = 0
        # The turns that the tree draws.
        self._drawn = thin(self._result)
        every = subject.lineage.turns
        behind = [turn.key for turn in behind_best(self._result, self._drawn)]
        chosen = {*_sample(behind, LABELLED_TURNS // 2)}
        chosen |= {*_sample(list(self._drawn.turns), LABELLED_TURNS - len(chosen))}
        self._turns = [every[key] for key in self._drawn.turns if key in chosen]
        self._nth = {turn.key: nth for nth, turn in enumerate(self._turns)}
        # How many turns are labelled, if some are left out.
        part = f"{len(self._turns):,} of {len(every):,} turns"
        self._part = part if len(self._turns) < len(every) else None

    def table(self) -> Markup:
        """Return the turns that have labels, for the page's script."""
        rows = [self._row(turn) for turn in self._turns]
        turns = {"names": self._subject.names, "part": self._part, "turns": rows}
        return data(turns, id="turns")

    def scores(self) -> Markup:
        """Draw the scores of all members."""
        axes = plots.scores(self._result, canvas())
        scored = [turn for turn in self._turns if turn.score is not None]
        points = [(float(turn.trained), score_of(turn)) for turn in scored]
        turns = [self._nth[turn.key] for turn in scored]
        caption = "Scores of all members over steps, and who copied whom."
        return self._figure(axes, "Scores", caption, Labels(points, turns))

    def lineage(self) -> Markup:
        """Draw the schedule, and which members trained it."""
        names = len(moving(self._result))
        axes = plots.lineage(self._result, canvas(min(1.2 + 0.75 * (names + 1.5), 12.0)))
        caption = "The schedule, the members that trained with it, and the score."
        return self._figure(axes, "The schedule", caption, self._across(axes))

    def glance(self) -> Markup:
        """Draw the schedule small, with the hyperparameters that mattered most."""
        order = [one.name for one in measure_once(self._result)]
        most = set(list(dict.fromkeys(order))[:GLANCED])
        every = [scale.name for scale in moving(self._result)]
        names = [name for name in every if name in most]
        with mpl.rc_context(SMALL_LOOK):
            small = canvas(1.7 + 0.7 * (len(names) + 1), width=SMALL_WIDTH)
            axes = plots.lineage(self._result, small, names=names)
        more = len(every) - len(names)
        rest = f" {wording.count(more, 'other hyperparameter')}: below." if more else ""
        caption = f"The schedule of the best weights, and the score along it.{rest}"
        return self._figure(axes, "The schedule", caption, self._across(axes), "plot glance")

    def importance(self) -> Markup:
        """Draw how much each hyperparameter mattered."""
        rows = min(len(moving(self._result)), ROWS)
        height = REST + ROW * max(2, rows)
        axes = plots.importance(self._result, canvas(height))
        measured = measure_once(self._result)
        order = list(dict.fromkeys(one.name for one in measured))
        shown = [one for one in measured if one.found != "too few lines"]
        aside = {"first values": -ASIDE, "changes": ASIDE}
        points = [(one.part, order.index(one.name) + aside[one.of]) for one in shown]
        lines = [
            [
                f"{one.name}, {one.of}",
                f"{one.part:.1%}, between {one.low:.1%} and {one.high:.1%}",
                f"influence: {one.found}, by {one.lines:,} lines",
            ]
            for one in shown
        ]
        caption = "How much of the differences in later rank goes with each hyperparameter."
        return self._figure(axes, "Importance", caption, Labels(points, lines=lines))

    def hyperparameter(self, name: str) -> Markup:
        """Draw the values of one hyperparameter."""
        axes = plots.hyperparameter(self._result, name, canvas(3.6))
        scale, members = scale_of(self._result, name), len(self._subject.population)
        spread = SPREAD if scale.options else 0.0
        turns = [turn for turn in self._turns if name in turn.hparams]
        points = [
            (
                (start_of(turn) + turn.trained) / 2,
                scale.place(turn.hparams[name]) + spread * ((turn.member + 0.5) / members - 0.5),
            )
            for turn in turns
        ]
        caption = join([tag("code", name), " over steps."])
        labels = Labels(
            points,
            [self._nth[turn.key] for turn in turns],
            wide=[(turn.stop - turn.start) / 2 for turn in turns],
        )
        return self._figure(axes, f"Values of {name}", caption, labels)

    def metric(self, name: str) -> Markup:
        """Draw a metric of all members; each label stands where its turn ends."""
        axes = plots.metric(self._result, name, canvas(3.6))
        logged = metric(self._result.account.measured, name)
        measured = [turn for turn in self._turns if turn.key in logged]
        points = [(float(turn.trained), float(logged[turn.key][1][-1])) for turn in measured]
        turns = [self._nth[turn.key] for turn in measured]
        caption = join([tag("code", name), " of all members over steps."])
        return self._figure(axes, f"Metric {name}", caption, Labels(points, turns))

    def front(self) -> Markup:
        """Draw how turns ended by two objectives; each label stands where its turn is."""
        axes = plots.front(self._result, canvas())
        goals = self._result.opening.goals
        across, up = pick_sides(goals)
        logged = self._result.account.measured
        ends = {end.key: end for end in find_ends(self._turns, logged, goals)}
        measured = [turn for turn in self._turns if turn.key in ends]
        values = [{SCORE: ends[it.key].score, **ends[it.key].metrics} for it in measured]
        points = [(drawable(each[across]), drawable(each[up])) for each in values]
        turns = [self._nth[turn.key] for turn in measured]
        caption = "How all turns ended, and those that no other dominates."
        return self._figure(axes, "The front", caption, Labels(points, turns))

    def tree(self) -> Markup:
        """Draw where all weights came from."""
        axes = plots.tree(self._result, ax=canvas(5.6))
        paths = tree_of(self._drawn, count_descendants(self._drawn))
        points = [paths[turn.key][-1] for turn in self._turns]
        caption = "Each turn is a line to the right; copies are branches."
        return self._figure(axes, "Family tree of the weights", caption, self._all(points))

    def parallel(self) -> Markup:
        """Draw all members at once, through all hyperparameters."""
        axes = plots.parallel(self._result, canvas(4.6))
        last = self._subject.lineage.turns.last()
        scored = [turn for turn in last if turn.score is not None]
        sign = self._subject.sign
        scored.sort(key=lambda turn: (sign * (turn.score or 0.0), -turn.member))
        paths = [it for it in axes.collections if isinstance(it, LineCollection)][-1:]
        lines = paths[0].get_segments() if paths else []
        points, texts = [], []
        for turn, line in zip(scored, lines, strict=True):
            points += [(float(x), float(y)) for x, y in line]
            texts += [self._lines(turn)] * len(line)
        caption = "The members as they are now: one line each, through its values to its score."
        return self._figure(axes, "All members at once", caption, Labels(points, lines=texts))

    def workers(self) -> Markup:
        """Draw which worker trained which member when."""
        by_worker = shifts.by_worker(self._subject.stints)
        axes = plots.workers(self._result, canvas(min(max(1.9 + 0.34 * len(by_worker), 2.6), 9.0)))
        every = slice(None, None, max(1, -(-len(self._subject.stints) // LABELLED_TURNS)))
        points: list[Point] = []
        lines: list[list[str]] = []
        wide: list[float] = []
        for row, (worker, its) in enumerate(by_worker.items()):
            some = its.select(every)
            points += [(middle, float(row)) for middle in ((some.start + some.stop) / 2).tolist()]
            lines += _stints(worker, some)
            wide += ((some.stop - some.start) / 2).tolist()
        labels = Labels(points, lines=lines, wide=wide, tall=shifts.HEIGHT / 2)
        return self._figure(axes, "Workers", "Which worker trained which member, and when.", labels)

    def _across(self, axes: Axes) -> Labels:
        """Return labels of the turns behind the best, which count from left to right alone."""
        behind = [turn for turn in self._subject.behind if turn.key in self._nth]
        middle = sum(axes.get_ylim()) / 2
        return Labels(
            [((turn.start + turn.stop) / 2, middle) for turn in behind],
            [self._nth[turn.key] for turn in behind],
            across=True,
        )

    def _all(self, points: Sequence[Point]) -> Labels:
        return Labels(points, list(range(len(points))))

    def _row(self, turn: Trained) -> list[Any]:
        """Return a turn as the page's script reads it."""
        values = [wording.value_of(turn.hparams, name) for name in self._subject.names]
        edge = "" if turn.edge == "own" else turn.edge
        source = turn.origin.member if turn.origin and edge else None
        score = wording.number(turn.score)
        return [turn.member, turn.number, turn.start, turn.stop, edge, source, score, *values]

    def _lines(self, turn: Trained) -> list[str]:
        score = wording.number(turn.score)
        values = [f"{name} {wording.value(it)}" for name, it in turn.hparams.items()]
        return [f"member {turn.member}", f"score {score} at step {turn.stop:,}", *values]

    def _figure(
        self, axes: Axes, title: str, caption: object, labels: Labels, look: str = "plot"
    ) -> Markup:
        self._count += 1
        prefix = f"f{self._count}"
        svg = draw(axes, prefix)
        # Only drawing lays the figure out.
        where = locate(axes, labels.points)
        # A figure is full of reference cycles: only the garbage collector would free it.
        figure_of(axes).clear()
        encoded = {
            "x": where.x,
            "y": None if labels.across else where.y,
            "turns": labels.turns,
            "lines": labels.lines,
            "box": where.box,
            "wide": labels.wide and [round(half * where.x_unit, 1) for half in labels.wide],
            "tall": round(labels.tall * where.y_unit, 1),
        }
        return tag(
            "figure",
            tag("div", svg, class_="canvas", role="img", aria_label=title),
            tag("figcaption", caption),
            data(encoded) if labels.points else None,
            class_=look,
        )


def _sample(keys: Sequence[Key], most: int) -> Sequence[Key]:
    """Return at most ``most`` keys, evenly spaced."""
    return keys[:: max(1, -(-len(keys) // max(1, most)))]


def _stints(worker: str, stints: shifts.Stints) -> list[list[str]]:
    """Return the label of each of a worker's stints."""
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
