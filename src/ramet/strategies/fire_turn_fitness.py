"""How members compare in a FIRE run without rounds: by the curves that there are at the moment."""

import math
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ramet.curves import Floats, best_score_diff, binomial_test, dominates, smooth
from ramet.population import Member, Population
from ramet.strategies.fire_round import FireRules
from ramet.strategies.fire_turn_notes import Measurement, Notes, TurnEvaluation

# How many smoothed curves are kept for later decisions: a few for each evaluator of a large run.
MOST_SMOOTHED = 256


class Verdict(NamedTuple):
    """How an evaluator compares with its reference."""

    lead: float
    # None if the curves do not overlap.
    p: float | None
    # Whether there is no overlap, and the evaluator is above.
    dominating: bool

    def is_success(self, p_stat: float) -> bool:
        """Return whether the reference is to take the evaluator's weights.

        Args:
            p_stat: The p below which a lead is a success.
        """
        better = self.dominating or (self.p is not None and self.p < p_stat)
        return better and self.lead > 0


class Standings:
    """All comparisons that one decision needs. Members are named by their ids."""

    def __init__(self, rules: FireRules, population: Population) -> None:
        self.rules, self.population = rules, population
        self.notes = Notes(population)
        self._smoothed: dict[bytes, Floats] = {}
        self._fitness: dict[int, dict[int, float]] = {}

    def group(self, group: int) -> list[Member]:
        """Return the members of a sub-population."""
        return [member for member in self.population if member.group == group]

    def fitness(self, group: int) -> dict[int, float]:
        """Return the fitness of the members of a sub-population that have one.

        Args:
            group: The number of the sub-population.
        """
        if group not in self._fitness:
            self._fitness[group] = self._rate(group)
        return self._fitness[group]

    def ranked(self, group: int) -> list[int]:
        """Return the members that have a fitness and weights of their own to copy, worst first."""
        fitness = self.fitness(group)
        found = [member for member in fitness if has_score(self.population[member])]
        return sorted(found, key=lambda member: (fitness[member], -member))

    def find_reference(self, group: int) -> int | None:
        """Return the fittest member of a sub-population that can still take weights."""
        going = [id_ for id_ in self.ranked(group) if not self.population.is_finished(id_)]
        return going[-1] if going else None

    def judge(self, evaluator: int, reference: int) -> Verdict:
        """Compare an evaluator with its reference, by their curves as they are now."""
        curve, standard = (curve_of(self.population[id_]) for id_ in (evaluator, reference))
        p = binomial_test(curve, standard, smoother=self._smooth)
        dominating = p is None and dominates(curve, standard, smoother=self._smooth)
        return Verdict(self._lead(curve, standard), p, dominating)

    def is_whole(self, evaluator: Member, evaluation: TurnEvaluation) -> bool:
        """Return whether an evaluator has trained the parent's weights all the time, with scores.

        If a turn or its weights were lost, it does not measure its parent.
        """
        points = 1 + (evaluator.trained - evaluation.since) // self.rules.evaluate_every
        return (
            has_score(evaluator)
            and len(evaluator.curve) == points
            and not self.notes.is_reborn(evaluation.parent, evaluation.parent_trained)
        )

    def counts(self, measured: Measurement) -> bool:
        """Return whether what has ended still counts: until its parent has decided once with it.

        Args:
            measured: The curve of an evaluation that has ended.
        """
        parent = measured.parent
        return self.population[parent].trained <= measured.until and self.notes.went_on_since(
            parent, measured.began
        )

    def _rate(self, group: int) -> dict[int, float]:
        if group == 1:
            return {m.id: m.score for m in self.group(1) if m.score is not None and has_score(m)}
        curves = self._measured(group)
        fitness = dict.fromkeys(curves, 0.0)
        for one, other in combinations(curves, 2):
            lead = self._lead(curves[one], curves[other])
            fitness[one] += lead
            fitness[other] -= lead
        return fitness

    def _measured(self, group: int) -> dict[int, Floats]:
        """Return a curve for each parent that has one; of several that of its newest weights."""
        found = defaultdict[int, list[tuple[int, Floats]]](list)
        for parent, began, curve in self._measurements():
            if self.population[parent].group == group and self.notes.went_on_since(parent, began):
                found[parent].append((began, curve))
        return {parent: max(found[parent], key=lambda each: each[0])[1] for parent in sorted(found)}

    def _measurements(self) -> Iterator[tuple[int, int, Floats]]:
        """Yield the parent, the steps that it had trained when this began, and the curve."""
        for evaluator, evaluation in self.notes.ongoing():
            if self.is_whole(evaluator, evaluation):
                yield evaluation.parent, evaluation.parent_trained, curve_of(evaluator)
        for evaluation in self.notes.evaluations.values():
            for measured in evaluation.measured:
                if self.counts(measured):
                    yield measured.parent, measured.began, measured.curve

    def _lead(self, one: Floats, other: Floats) -> float:
        return best_score_diff(one, other, smoother=self._smooth)

    def _smooth(self, curve: Floats) -> Floats:
        """Smooth each curve only once, however often it is compared."""
        key = curve.tobytes()
        if self.rules.smoother is smooth:
            return _smooth(key)
        if key not in self._smoothed:
            self._smoothed[key] = self.rules.smoother(curve)
        return self._smoothed[key]


@lru_cache(MOST_SMOOTHED)
def _smooth(curve: bytes) -> Floats:
    """Smooth a curve; from one decision to the next, only one member has another curve."""
    smoothed = smooth(np.frombuffer(curve))
    smoothed.flags.writeable = False
    return smoothed


def has_score(member: Member) -> bool:
    """Return whether a member's own last turn ended with a finite score."""
    return member.score is not None and math.isfinite(member.score)


def curve_of(member: Member) -> Floats:
    """Return a member's scores as an array."""
    return np.array(member.curve.scores)
