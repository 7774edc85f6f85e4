"""Exploring by a model of what each turn changed (PB2; Parker-Holder et al., 2020, 2002.02518)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ramet.domains import Choice, Constant, Explore
from ramet.errors import StrategyError
from ramet.population import Member, PastTurn, Population
from ramet.space import Hparams
from ramet.strategies.axes import axes_of, from_unit, options_of, places_of, rows_of
from ramet.strategies.base import check_count, check_rule
from ramet.strategies.explore import Perturb, explore_from, move_in_step
from ramet.strategies.options import draw_options, learn_chances
from ramet.strategies.standard import changes_of, limits_of_most
from ramet.strategies.surrogate import Points, fit

Floats: TypeAlias = NDArray[np.float64]

# With fewer past turns there is nothing to model.
FEWEST_ROWS = 4
# Multiples of it are spread evenly between whole numbers.
GOLDEN = (math.sqrt(5) - 1) / 2
# Values that are drawn from the whole space, and near the values that the member copied.
DRAWN, DRAWN_NEARBY = 128, 32
# How far those lie from these, and how far the next draws lie from the best so far.
NEARBY = 0.1
NEARER = (0.05, 0.02, 0.005)
DRAWN_NEARER = 16


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """Choose the values with which the score is expected to rise most in a turn, as in PB2.

    A Gaussian process is fitted to past turns of all members. It predicts how much the score
    changes in a step, from the hyperparameters of a turn, and the score and the step that it begins
    with. A member gets the values with the highest sum of the predicted change and ``optimism``
    times the standard deviation of the prediction. Hyperparameters with a rule of their own follow
    that rule. Arrays that move together follow ``otherwise``. Until four turns have begun and ended
    with a score, all hyperparameters follow ``otherwise``.

    Args:
        rows: How many past turns of all members together the model is fitted to, the latest ones. A
            round's first decision takes about 0.1 s with 200, and 4 s with 1,000.
        optimism: How many standard deviations are added to a prediction; with 0, no member tries
            what is merely uncertain.
        otherwise: How members explore while there are too few turns for a model.
        choices: How unordered choices move. "redraw" draws them again each time, as PB2 does.
            "bandit" draws more often the options with which turns gained more, and the model
            takes the options into account, as in PB2-Mix.
    """

    rows: int = 200
    optimism: float = 2.0
    otherwise: Explore = field(default_factory=Perturb)
    choices: Literal["redraw", "bandit"] = "redraw"

    def __post_init__(self) -> None:
        check_count("rows", self.rows, "how many past turns the model is of", least=FEWEST_ROWS)
        if not 0 <= self.optimism < math.inf:
            raise StrategyError(
                f"optimism must be a number of standard deviations, 0 or more, but got "
                f"{self.optimism!r}"
            )
        check_rule("otherwise", self.otherwise, "move", "Perturb((0.8, 1.2))")
        if self.choices not in {"redraw", "bandit"}:
            raise StrategyError(f"choices must be 'redraw' or 'bandit', but got {self.choices!r}")

    def explorer(self, population: Population) -> "ModelExplorer":
        """Return what moves the members that explore in one decision."""
        return ModelExplorer(self, population)


class ModelExplorer:
    """Moves the members that explore in one decision, by one model."""

    def __init__(self, rule: GaussianProcess, population: Population) -> None:
        self._rule, self._population = rule, population
        # The first value of each array that moves together, which the others follow.
        self._leaders = {names[0] for names in population.space.together}

    @cached_property
    def _past(self) -> list[PastTurn]:
        # Not before a member moves, because a decision may move none.
        past = _last_turns(self._population, self._rule.rows)
        return past if len(past) >= FEWEST_ROWS else []

    @cached_property
    def _choices(self) -> dict[str, Choice]:
        """The unordered choices that are learned about."""
        return options_of(self._population.space) if self._rule.choices == "bandit" else {}

    @cached_property
    def _chances(self) -> dict[str, list[float]]:
        return learn_chances(self._choices, self._past, self._population.steps)

    @cached_property
    def _model(self) -> "Model | None":
        can_fit = self._past and axes_of(self._population.space)
        return Model(self._population, self._past, self._choices) if can_fit else None

    def move(self, member: int, origin: int, rng: np.random.Generator) -> Hparams:
        """Return the most promising values for the weights that a member takes."""
        del member
        source = self._population[origin]
        score = source.weights_score
        if not self._past or (self._model is None and not self._choices) or score is None:
            return self._explore_anyhow(source, rng)
        begun = _Beginning(source.step, score)
        given = self._move_others(source, rng)
        given |= draw_options(self._choices, self._chances, rng)
        if self._model is None:
            completed = self._population.space.complete(given, None)
            chosen = completed if self._population.space.allows(completed) else None
        else:
            chosen = self._model.propose(begun, given, self._rule.optimism, rng)
        if chosen is None:
            chosen = self._explore_anyhow(source, rng)
        if self._model is not None:
            self._model.expect(begun, chosen)
        return chosen

    def _explore_anyhow(self, source: Member, rng: np.random.Generator) -> Hparams:
        space, otherwise = self._population.space, self._rule.otherwise
        return explore_from(space, source.hparams, otherwise, rng, source.absent)

    def _move_others(self, source: Member, rng: np.random.Generator) -> Hparams:
        """Return values of which those that no model chooses have moved.

        It has values for all hyperparameters, because the model may turn to any of them.
        """
        space, hparams = self._population.space, source.hparams
        moved = {**(source.absent or {}), **hparams}
        for name, domain in space.domains:
            if name not in moved:
                moved[name] = domain.sample(rng)
            if isinstance(domain, Constant) or name not in hparams or name in space.followers:
                continue
            if domain.explore is not None:
                moved[name] = domain.clip(domain.explore.move(domain, hparams[name], rng))
            elif name in self._leaders:
                moved[name] = domain.clip(self._rule.otherwise.move(domain, hparams[name], rng))
            elif isinstance(domain, Choice) and not domain.ordered:
                moved[name] = domain.sample(rng)
        move_in_step(space, hparams, moved)
        return moved


class Model:
    """What a turn is expected to change, by its hyperparameters and what it begins with.

    Args:
        population: All members, as they are when the decision begins.
        past: Turns that began and ended with a score, enough to fit a model.
        choices: The unordered choices that it knows.
    """

    def __init__(
        self, population: Population, past: Sequence[PastTurn], choices: dict[str, Choice]
    ) -> None:
        self._space, self._axes = population.space, axes_of(population.space)
        self._choices = choices
        # Values of arrays that move together, which the model knows and does not choose.
        self._in_step = {name for names in population.space.together for name in names}
        begun = [_Beginning(turn.step, turn.before or 0.0) for turn in past]
        now = [
            (_Beginning(member.step, member.weights_score), member)
            for member in population
            if member.weights_score is not None
        ]
        known = [*begun, *(beginning for beginning, _ in now)]
        self._steps = _Range.of([beginning.step for beginning in known])
        self._scores = _Range.of_most([beginning.score for beginning in known])
        points = self._points(begun, [turn.hparams for turn in past])
        self._fitted = fit(points, changes_of(past))
        for beginning, member in now:
            # It copied weights, and has not trained a turn with its values yet.
            if member.untried:
                self.expect(beginning, member.hparams)

    def expect(self, begun: "_Beginning", hparams: Hparams) -> None:
        """Count on a turn that begins so, without a result of it yet."""
        self._fitted.add(self._points([begun], [hparams]))

    def propose(
        self, begun: "_Beginning", given: Hparams, optimism: float, rng: np.random.Generator
    ) -> Hparams | None:
        """Return the most promising values for a turn that begins so; None if none is allowed.

        Args:
            begun: What the turn begins with.
            given: Values to begin from, of all hyperparameters. Those of hyperparameters with a
                rule of their own, and of arrays that move together, stay.
            optimism: How many standard deviations are added to a prediction.
            rng: Draw from this generator only.
        """
        size = len(self._axes)
        near = rows_of(self._axes, [given]) + NEARBY * rng.standard_normal((DRAWN_NEARBY, size))
        drawn = np.concatenate([rng.random((DRAWN, size)), near])
        found = self._best(drawn, begun, given, optimism)
        for distance in NEARER:
            if found is None:
                break
            here = rows_of(self._axes, [found])
            nearer = here + distance * rng.standard_normal((DRAWN_NEARER, size))
            found = self._best(np.concatenate([here, nearer]), begun, given, optimism)
        return found

    def _best(
        self, places: Floats, begun: "_Beginning", given: Hparams, optimism: float
    ) -> Hparams | None:
        """Return the most promising of some places that ``where`` allows."""
        options = [
            # Nothing is left to draw, since the given values are of all hyperparameters.
            self._space.complete(self._values(place, given), None)
            for place in places.clip(0.0, 1.0).tolist()
        ]
        # A place stands for a value, such as a whole number, and is judged by that.
        points = self._points([begun] * len(options), options)
        means, deviations = self._fitted.predict(points)
        order = np.argsort(-(means + optimism * deviations), kind="stable").tolist()
        return next((options[at] for at in order if self._space.allows(options[at])), None)

    def _values(self, place: Sequence[float], given: Hparams) -> Hparams:
        free = {
            name: from_unit(domain, at)
            for (name, domain), at in zip(self._axes.items(), place, strict=True)
            if domain.explore is None and name not in self._in_step
        }
        return given | free

    def _points(self, begun: Sequence["_Beginning"], hparams: list[Hparams]) -> Points:
        times = np.array([self._steps.place(each.step) for each in begun])
        scores = np.array([self._scores.place(each.score) for each in begun])
        inputs = np.column_stack([scores, rows_of(self._axes, hparams)])
        return Points(times, inputs, places_of(self._choices, hparams) if self._choices else None)


class _Beginning(NamedTuple):
    """What a turn begins with: the step behind its weights, and their score."""

    step: int
    score: float


class _Range(NamedTuple):
    """Where numbers lie, so that each can be placed from 0 to 1."""

    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "_Range":
        return cls(min(numbers, default=0.0), max(numbers, default=0.0))

    @classmethod
    def of_most(cls, numbers: Sequence[float]) -> "_Range":
        """Return where numbers lie, without those that are far from the others."""
        low, high = limits_of_most(np.array(numbers)) if numbers else (0.0, 0.0)
        return cls.of([number for number in numbers if low <= number <= high])

    def place(self, number: float) -> float:
        # Halves, because the width of scores may be more than the largest float.
        width = self.high / 2 - self.low / 2
        return min(1.0, max(0.0, (number / 2 - self.low / 2) / width)) if width > 0 else 0.0


def _last_turns(population: Population, rows: int) -> list[PastTurn]:
    """Return the latest turns that began and ended with a score, in whatever order they ended."""
    found = [
        (turn.step + turn.steps, member.id, turn)
        for member in population
        for turn in member.past
        if turn.before is not None and turn.after is not None
    ]
    # Of turns that end at the same step, some of members from all over the population.
    found.sort(key=lambda row: (row[0], row[1] * GOLDEN % 1))
    return [turn for _, _, turn in found[-rows:]]
