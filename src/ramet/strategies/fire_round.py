"""What FIRE decides when a round ends, in the paper's order.

The steps are C to F of one round and A of the next: fitness, evolution, release, success or stop,
assignment. In between, members train.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from ramet.curves import Floats, Smoother, best_score_diff, binomial_test, dominates
from ramet.errors import StrategyError
from ramet.population import Member, Population
from ramet.randomness import pick
from ramet.strategies.base import Action, Annotate, Change, Copy, Rest
from ramet.strategies.exploit import part_of
from ramet.strategies.explore import AnyExplore, explorer_of
from ramet.strategies.fire_notes import Evaluation, Outcome, Rating, read_note

# The number of P1, which is greedy.
GREEDY = 1


class FireRules(NamedTuple):
    """The settings that a round of FIRE is decided by."""

    turn_steps: int
    # Steps between two scores.
    evaluate_every: int
    subpopulations: int
    # The fraction of a sub-population that loses after each turn, and that is copied.
    quantile: float
    # The p below which the lead of an evaluator is a success.
    p_stat: float
    # Steps that an evaluator may train to prove better.
    patience: int
    # The step from which members are evaluated, by the number of their sub-population.
    first_evaluations: Mapping[int, int]
    explore: AnyExplore
    # The same for P1; None is the rule of the others.
    greedy_explore: AnyExplore | None
    smoother: Smoother

    def explore_in(self, group: int) -> AnyExplore:
        """Return the rule by which members of a sub-population explore."""
        greedy = self.greedy_explore
        return self.explore if greedy is None or group != GREEDY else greedy


class FireRound:
    """One round's decision. Members are named by their ids."""

    def __init__(self, rules: FireRules, population: Population, rng: np.random.Generator) -> None:
        self.rules, self.population, self.rng = rules, population, rng
        self.explorer = explorer_of(rules.explore, population)
        greedy = rules.explore_in(GREEDY)
        # Shared without a rule of its own, because an explorer may remember what it chose.
        shared = greedy is rules.explore
        self.greedy_explorer = self.explorer if shared else explorer_of(greedy, population)
        self.actions: list[Action] = []
        # The step that the round ended at.
        self.now = max(member.trained for member in population)
        for member in population:
            check_spacing(member, rules.evaluate_every)
        # What follows changes as decisions are made.
        self.curves = {member.id: np.array(member.curve.scores) for member in population}
        # For each member, the id of the member that had its weights when the round ended.
        self.weights = {member.id: member.id for member in population}
        self.fitness: dict[int, float] = {}
        self.lost: set[int] = set()
        evaluators = [member for member in population if not member.group]
        self.ratings = {m.id: read_note(m, Rating) or Rating() for m in population if m.group > 1}
        notes = {member.id: read_note(member, Evaluation) for member in evaluators}
        self.evaluations = {id_: note for id_, note in notes.items() if note and not note.outcome}
        self.evaluators = [member.id for member in evaluators]
        self._smoothed: dict[bytes, Floats] = {}

    def decide(self) -> list[Action]:
        """Return all actions."""
        self._give_up()
        self._rate()
        if not self._is_last():
            self._evolve()
        self._release()
        self._judge_all()
        self._assign()
        if not self._is_last():
            self._rest()
        return self.actions

    # B. What training left

    def _give_up(self) -> None:
        """End the evaluations that failed, before members are rated by them."""
        for evaluator, evaluation in list(self.evaluations.items()):
            # If a turn or its weights were lost, it does not measure its parent.
            points = 1 + (self.now - evaluation.since) // self.rules.evaluate_every
            is_whole = len(self.curves[evaluator]) == points and self._scores(evaluator)
            reborn = self.population[evaluation.parent].reborn
            if not is_whole or (reborn is not None and reborn >= evaluation.since):
                self._end(evaluator, "failed")

    # C. Fitness

    def _rate(self) -> None:
        """Compute fitness: the score in P1, and what evaluators measured elsewhere."""
        for member in self._group(1):
            if self._scores(member):
                self.fitness[member] = float(self.curves[member][-1])
        for group in range(2, self.rules.subpopulations + 1):
            self._compare(group)
        for parent in self.ratings:
            self._note(parent, fitness=self.fitness.get(parent))

    def _compare(self, group: int) -> None:
        """Add up how far each member with an evaluator leads the others that have one."""
        evaluators = {note.parent: id_ for id_, note in self.evaluations.items()}
        rated = [member for member in self._group(group) if member in evaluators]
        self.fitness.update(dict.fromkeys(rated, 0.0))
        for one, other in combinations(rated, 2):
            lead = self._lead(evaluators[one], evaluators[other])
            self.fitness[one] += lead
            self.fitness[other] -= lead

    # D. Evolution

    def _evolve(self) -> None:
        """Run PBT within each sub-population."""
        for group in range(1, self.rules.subpopulations + 1):
            members = self._group(group)
            ranked = sorted(
                (member for member in members if member in self.fitness and self._scores(member)),
                key=lambda member: (self.fitness[member], -member),
            )
            count = min(max(1, part_of(len(members), self.rules.quantile)), len(ranked) // 2)
            # Members that cannot go on are also replaced, as in PBT, even if none has a fitness.
            broken = [member for member in members if not self._scores(member)]
            donors = ranked[len(ranked) - max(count, 1) :] or [
                member for member in members if self._scores(member)
            ]
            if donors:
                for loser in sorted([*ranked[:count], *broken]):
                    self._lose(loser, pick(donors, self.rng))

    def _lose(self, loser: int, donor: int) -> None:
        is_greedy = self.population[loser].group == GREEDY
        explorer = self.greedy_explorer if is_greedy else self.explorer
        moved = explorer.move(loser, donor, self.rng)
        self.actions += [Copy(member=loser, source=donor), Change(member=loser, hparams=moved)]
        self.weights[loser] = donor
        self.fitness.pop(loser, None)
        self.lost.add(loser)
        self._note(loser, fitness=None, seen=self.now)

    # E. Release

    def _release(self) -> None:
        """End the evaluations with a parent or a reference that lost."""
        for evaluator, evaluation in list(self.evaluations.items()):
            if evaluation.parent in self.lost:
                self._end(evaluator, "parent lost")
            elif evaluation.reference in self.lost:
                self._end(evaluator, "reference lost")

    # F. Success or stop

    def _judge_all(self) -> None:
        """Copy weights that proved better to their reference, best first; stop the hopeless."""
        leads = {
            evaluator: self._lead(evaluator, evaluation.reference)
            for evaluator, evaluation in self.evaluations.items()
        }
        for evaluator in sorted(leads, key=lambda evaluator: (-leads[evaluator], evaluator)):
            self._judge(evaluator, self.evaluations[evaluator])

    def _judge(self, evaluator: int, evaluation: Evaluation) -> None:
        reference = evaluation.reference
        curve, standard = self.curves[evaluator], self.curves[reference]
        # Compare with the reference as it is now: another evaluation may just have succeeded.
        lead = self._lead(evaluator, reference)
        p = binomial_test(curve, standard, smoother=self._smooth)
        dominating = p is None and dominates(curve, standard, smoother=self._smooth)
        spent = (self.now - evaluation.since) / self.rules.patience
        better = dominating or (p is not None and p < self.rules.p_stat)
        if better and lead > 0:
            self._succeed(evaluator, reference)
            self._end(evaluator, "success", lead=lead, p=p)
        elif p is None:
            if not dominating and spent > 1:
                self._end(evaluator, "no overlap", lead=lead, p=p)
        elif p > self.rules.p_stat + max(0.0, 1 - spent):
            self._end(evaluator, "no better", lead=lead, p=p)

    def _succeed(self, evaluator: int, reference: int) -> None:
        self.actions.append(
            Copy(
                member=reference, source=evaluator, hparams=False, whole_curve=True, kind="success"
            )
        )
        self.weights[reference] = evaluator
        self.curves[reference] = self.curves[evaluator]
        if self.population[reference].group == 1:
            self.fitness[reference] = float(self.curves[evaluator][-1])

    def _end(
        self, evaluator: int, outcome: Outcome, *, lead: float | None = None, p: float | None = None
    ) -> None:
        evaluation = self.evaluations.pop(evaluator)
        ended = replace(evaluation, until=self.now, outcome=outcome, lead=lead, p=p)
        self.actions.append(Annotate(member=evaluator, data=ended))
        self._note(evaluation.parent, seen=self.now)

    # A. Assignment, for the round that begins

    def _assign(self) -> None:
        """Give each idle evaluator the parent that has waited the longest."""
        idle = (id_ for id_ in self.evaluators if id_ not in self.evaluations)
        for evaluator, (parent, reference) in zip(idle, self._find_parents(), strict=False):
            evaluation = Evaluation(parent=parent, reference=reference, since=self.now)
            self.actions += [
                Copy(
                    member=evaluator, source=self.weights[parent], hparams=False, kind="evaluation"
                ),
                Change(member=evaluator, hparams=self.population[reference].hparams),
                Annotate(member=evaluator, data=evaluation),
            ]
            self.evaluations[evaluator] = evaluation

    def _find_parents(self) -> Iterator[tuple[int, int]]:
        """Yield the parents to evaluate, each with its reference, the longest waiting first."""
        taken = {evaluation.parent for evaluation in self.evaluations.values()}
        eligible = [
            parent
            for parent in self.ratings
            if parent not in taken
            and self.now >= self.rules.first_evaluations[self.population[parent].group]
            and self._has_weights(parent)
        ]
        self.rng.shuffle(eligible)
        for parent in sorted(eligible, key=lambda parent: self.ratings[parent].seen):
            reference = self._fittest(self.population[parent].group - 1)
            if reference is not None:
                yield parent, reference

    def _fittest(self, group: int) -> int | None:
        """Return the fittest member of a sub-population, of those that did not lose."""
        rated = [
            member
            for member in self._group(group)
            if member in self.fitness and self._scores(member)
        ]
        return max(rated, key=lambda member: (self.fitness[member], -member), default=None)

    def _rest(self) -> None:
        """Have idle evaluators rest."""
        self.actions += [Rest(member=id_) for id_ in self.evaluators if id_ not in self.evaluations]

    # What the steps are made of

    def _group(self, group: int) -> list[int]:
        return [member.id for member in self.population if member.group == group]

    def _is_last(self) -> bool:
        return self.population.done

    def _scores(self, member: int) -> bool:
        """Say whether a member had a finite score when the round ended."""
        score = self.population[member].score
        return score is not None and math.isfinite(score)

    def _has_weights(self, member: int) -> bool:
        """Say whether a member now has weights that can be trained."""
        source = self.weights[member]
        return self._scores(source) and self.population[source].checkpoint is not None

    def _lead(self, one: int, other: int) -> float:
        return best_score_diff(self.curves[one], self.curves[other], smoother=self._smooth)

    def _smooth(self, curve: Floats) -> Floats:
        """Smooth each curve only once, however often it is compared."""
        key = curve.tobytes()
        if key not in self._smoothed:
            self._smoothed[key] = self.rules.smoother(curve)
        return self._smoothed[key]

    def _note(self, member: int, **changes: float | None) -> None:
        """Change what FIRE keeps about a member, if it is a parent."""
        before = self.ratings.get(member)
        if before is not None and (after := replace(before, **changes)) != before:
            self.ratings[member] = after
            self.actions.append(Annotate(member=member, data=after))


def check_spacing(member: Member, every: int) -> None:
    """Refuse a curve that is not evenly spaced, because its points could not be compared.

    Args:
        member: The member with the curve.
        every: How many steps must lie between two points.
    """
    steps = np.array(member.curve.steps)
    gaps = np.flatnonzero(np.diff(steps) != every)
    if len(gaps):
        begin = max(0, int(gaps[0]) - 1)
        shown = ", ".join(map(str, steps[begin : begin + 4].tolist()))
        raise StrategyError(
            f"FIRE compares curves point by point, so that scores must come every "
            f"evaluate_every={every} steps, but member {member.id} has them at steps "
            f"{'… ' * (begin > 0)}{shown}; report one whenever turn.evaluation_due, and no others"
        )
