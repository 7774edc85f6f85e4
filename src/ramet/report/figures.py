"""The page's pictures: plots, each with labels that a pointer on it shows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ramet import plots, wording
from ramet.goals import SCORE
from ramet.history import Result, Trained
from ramet.history.front import find_ends
from ramet.history.metrics import metric
from ramet.history.turns import Key
from ramet.plots import shifts
from ramet.plots.branches import count_descendants, tree_of
from ramet.plots.front import pick_sides
from ramet.plots.hyperparameter import SPREAD
from ramet.plots.importance import ASIDE, REST, ROW, ROWS, measure_once
from ramet.plots.scales import drawable, moving, scale_of
from ramet.plots.story import behind_best, score_of, start_of
from ramet.plots.thinning import thin
from ramet.report import picture
from ramet.report.html import Markup, data, join, tag
from ramet.report.labels import Labels, Point, encode, name_stints
from ramet.report.picture import HEIGHT, NARROW, WIDE, Format
from ramet.report.styles import Styles
from ramet.report.subject import Subject

# Turns that have a label; if there are more, those behind the best and some of the others have one.
LABELLED_TURNS = 4_000

# Hyperparameters of the small picture of the schedule.
GLANCED = 4
# Inches of a row of that picture, and the most for all rows.
GLANCE_ROW, GLANCE = 1.15, 3.6
# Hyperparameters that all members' lines lead through on a phone.
ACROSS = 3
PARALLEL_HEIGHT = 4.6
# Inches of a hyperparameter's row in the schedule, if there are few and if there are many.
HIGH_ROW, LOW_ROW = 0.9, 0.55
# How many inches taller a picture is on a phone, where its legend has more lines.
TALLER = 1.0


class Draw(Protocol):
    """A plot of a result, on axes."""

    def __call__(self, result: Result, *, ax: Axes) -> Axes: ...


class Figures:
    """Draws plots of a run for its page."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._result = subject, subject.result
        self.styles = Styles()
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
        scored = [turn for turn in self._turns if turn.score is not None]
        points = [(float(turn.trained), score_of(turn)) for turn in scored]
        turns = [self._nth[turn.key] for turn in scored]
        more = self._say_better(self._subject.lineage.turns.each_score_within())
        caption = f"Scores of all members over steps.{more}"
        return self._figure(plots.scores, "Scores", caption, Labels(points, turns))

    def lineage(self) -> Markup:
        """Draw the schedule, and which members trained it."""
        rows = len(moving(self._result)) + 1.5
        height = 1.2 + max(LOW_ROW * rows, min(HIGH_ROW * rows, 11.0))
        caption = "The schedule, the members that trained with it, and the score."
        return self._figure(plots.lineage, "The schedule", caption, self._across(), height)

    def glance(self) -> Markup:
        """Draw the schedule small, with the hyperparameters that mattered most."""
        names = self._pick(GLANCED)
        more = len(moving(self._result)) - len(names)
        rest = f" {wording.count(more, 'other hyperparameter')}: below." if more else ""
        behind = behind_best(self._result)
        better = self._say_better(
            (turn.member, score)
            for turn in behind
            for step, score in turn.points
            if step != turn.stop and score is not None
        )
        caption = f"The schedule of the best weights, and the score along it.{better}{rest}"
        rows = len(names) + 1
        height = 1.7 + min(GLANCE_ROW * rows, GLANCE)
        draw = partial(plots.lineage, names=names)
        small = {NARROW: height}
        canvases, encoded = self._draw(draw, "The schedule", self._across(), small)
        return tag("figure", *canvases, tag("figcaption", caption), encoded, class_="plot glance")

    def _say_better(self, within: Iterable[tuple[int, float]]) -> str:
        """Say why a member's score, reported within a turn, is better than the best."""
        score = self._subject.find_better(within)
        if score is None:
            return ""
        return (
            f" A better score, {wording.number(score)}, was reported before its turn ended. It is "
            f"not the best, because weights are kept only at the end of a turn."
        )

    def _pick(self, count: int) -> list[str]:
        """Return the hyperparameters that mattered most, in the order of the space."""
        order = [one.name for one in measure_once(self._result)]
        most = set(list(dict.fromkeys(order))[:count])
        return [scale.name for scale in moving(self._result) if scale.name in most]

    def importance(self) -> Markup:
        """Draw how much each hyperparameter mattered."""
        rows = min(len(moving(self._result)), ROWS)
        height = REST + ROW * max(2, rows)
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
        labels = Labels(points, lines=lines)
        return self._figure(plots.importance, "Importance", caption, labels, height)

    def hyperparameter(self, name: str) -> Markup:
        """Draw the values of one hyperparameter."""
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
        draw = partial(plots.hyperparameter, name=name)
        return self._figure(draw, f"Values of {name}", caption, labels, 3.6)

    def metric(self, name: str) -> Markup:
        """Draw a metric of all members; each label stands where its turn ends."""
        logged = metric(self._result.account.measured, name)
        measured = [turn for turn in self._turns if turn.key in logged]
        points = [(float(turn.trained), float(logged[turn.key][1][-1])) for turn in measured]
        turns = [self._nth[turn.key] for turn in measured]
        caption = join([tag("code", name), " of all members over steps."])
        draw = partial(plots.metric, name=name)
        return self._figure(draw, f"Metric {name}", caption, Labels(points, turns), 3.6)

    def front(self) -> Markup:
        """Draw how turns ended by two objectives; each label stands where its turn is."""
        goals = self._result.opening.goals
        across, up = pick_sides(goals)
        logged = self._result.account.measured
        ends = {end.key: end for end in find_ends(self._turns, logged, goals)}
        measured = [turn for turn in self._turns if turn.key in ends]
        values = [{SCORE: ends[it.key].score, **ends[it.key].metrics} for it in measured]
        points = [(drawable(each[across]), drawable(each[up])) for each in values]
        turns = [self._nth[turn.key] for turn in measured]
        caption = "How all turns ended, and those that no other dominates."
        return self._figure(plots.front, "The front", caption, Labels(points, turns))

    def tree(self) -> Markup:
        """Draw where all weights came from."""
        paths = tree_of(self._drawn, count_descendants(self._drawn))
        points = [paths[turn.key][-1] for turn in self._turns]
        caption = "Each turn is a line to the right; copies are branches."
        labels = Labels(points, list(range(len(points))))
        return self._figure(plots.tree, "Family tree of the weights", caption, labels, 5.6)

    def parallel(self) -> Markup:
        """Draw all members at once, through all hyperparameters."""
        caption = "The members as they are now: one line each, through its values to its score."
        # A phone has room for few axes; a pointer, which labels are for, is rare on one.
        few = partial(plots.parallel, names=self._pick(ACROSS))
        title, taller = "All members at once", {NARROW: PARALLEL_HEIGHT + TALLER}
        wide, encoded = self._draw(
            plots.parallel, title, self._label_lines, {WIDE: PARALLEL_HEIGHT}
        )
        narrow, _ = self._draw(few, title, Labels([]), taller)
        return tag("figure", *wide, *narrow, tag("figcaption", caption), encoded, class_="plot")

    def workers(self) -> Markup:
        """Draw which worker trained which member when."""
        by_worker = shifts.by_worker(self._subject.stints)
        height = min(max(1.9 + 0.34 * len(by_worker), 2.6), 9.0)
        every = slice(None, None, max(1, -(-len(self._subject.stints) // LABELLED_TURNS)))
        points: list[Point] = []
        lines: list[list[str]] = []
        wide: list[float] = []
        for row, (worker, its) in enumerate(by_worker.items()):
            some = its.select(every)
            points += [(middle, float(row)) for middle in ((some.start + some.stop) / 2).tolist()]
            lines += name_stints(worker, some)
            wide += ((some.stop - some.start) / 2).tolist()
        labels = Labels(points, lines=lines, wide=wide, tall=shifts.HEIGHT / 2)
        caption = "When each worker trained which member."
        return self._figure(plots.workers, "Workers", caption, labels, height)

    def _across(self) -> Labels:
        """Return labels of the turns behind the best, which count from left to right alone."""
        behind = [turn for turn in self._subject.behind if turn.key in self._nth]
        return Labels(
            [((turn.start + turn.stop) / 2, 0.0) for turn in behind],
            [self._nth[turn.key] for turn in behind],
            across=True,
        )

    def _label_lines(self, axes: Axes) -> Labels:
        """Return labels of the members' last turns, wherever their lines pass an axis."""
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
        return Labels(points, lines=texts)

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
        self,
        draw: Draw,
        title: str,
        caption: object,
        labels: Labels | Callable[[Axes], Labels],
        height: float = HEIGHT,
    ) -> Markup:
        """Draw a picture for wide pages and for phones."""
        forms = {WIDE: height, NARROW: height + TALLER}
        canvases, encoded = self._draw(draw, title, labels, forms)
        return tag("figure", *canvases, tag("figcaption", caption), encoded, class_="plot")

    def _draw(
        self,
        draw: Draw,
        title: str,
        labels: Labels | Callable[[Axes], Labels],
        forms: Mapping[Format, float],
    ) -> tuple[list[Markup], Markup | None]:
        """Return a picture in formats, each with its height in inches; and its labels."""
        self._count += 1
        canvases: list[Markup] = []
        boxes: list[list[float]] = []
        encoded: dict[str, Any] | None = None
        for form, height in forms.items():
            with picture.canvas(form, height) as empty:
                axes = draw(self._result, ax=empty)
                svg = picture.draw(axes, form, f"f{self._count}{form.name[0]}", self.styles)
                # Only drawing lays the figure out.
                said = labels(axes) if callable(labels) else labels
                where = picture.locate(axes, said.points)
            look = f"canvas {form.name}"
            canvases.append(tag("div", svg, class_=look, role="img", aria_label=title))
            boxes.append(where.box)
            encoded = encoded or encode(said, where)
        found = data({**encoded, "boxes": boxes}) if encoded and encoded["x"] else None
        return canvases, found


def _sample(keys: Sequence[Key], most: int) -> Sequence[Key]:
    """Return at most ``most`` keys, evenly spaced."""
    return keys[:: max(1, -(-len(keys) // max(1, most)))]
