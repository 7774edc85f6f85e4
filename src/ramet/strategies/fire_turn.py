"""What FIRE decides when one member has ended a turn, in a run without rounds.

The steps are those of a round, but each member takes its own part of them: members of P1, P2, …
lose, or take weights that proved better; evaluators end an evaluation, and begin the next.
"""

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from ramet.population import Member, Population
from ramet.randomness import pick
from ramet.strategies.base import Action, Annotate, Change, Copy
from ramet.strategies.exploit import part_of
from ramet.strategies.explore import explorer_of
from ramet.strategies.fire_notes import Outcome
from ramet.strategies.fire_round import FireRules, check_spacing
from ramet.strategies.fire_turn_fitness import Standings, Verdict, has_score
from ramet.strategies.fire_turn_notes import Measurement, Success, TurnEvaluation


def decide_turn(
    rules: FireRules, population: Population, member: int, rng: np.random.Generator
) -> Iterator[Action]:
    """Yield what a member changes about itself at the end of its turn.

    Args:
        rules: The settings of FIRE.
        population: All members as they are now.
        member: The id of the member.
        rng: Where random draws come from.
    """
    check_spacing(population[member], rules.evaluate_every)
    standings = Standings(rules, population)
    if population[member].group:
        yield from _Rival(standings, population[member], rng).decide()
    else:
        yield from _Evaluator(standings, population[member], rng).decide()


class _Rival:
    """A member of P1, P2, … that decides about itself."""

    def __init__(self, standings: Standings, member: Member, rng: np.random.Generator) -> None:
        self.standings, self.member, self.rng = standings, member, rng
        self.population, self.notes = standings.population, standings.notes
        self.rating = self.notes.ratings[member.id]

    def decide(self) -> Iterator[Action]:
        """Yield that it loses, or takes weights that proved better, and what it notes."""
        donor = None if self.population.is_finished(self.member.id) else self._find_donor()
        if donor is not None:
            yield from self._lose(donor)
            return
        success = self._find_success()
        if success is not None:
            yield Copy(
                member=self.member.id,
                source=success.evaluator,
                hparams=False,
                whole_curve=True,
                kind="success",
            )
        yield from self._note(success)

    def _find_donor(self) -> int | None:
        """Return the member to copy, if this one is among the losers of its sub-population."""
        group = self.member.group
        members, ranked = self.standings.group(group), self.standings.ranked(group)
        part = min(max(1, part_of(len(members), self.standings.rules.quantile)), len(ranked) // 2)
        # Those who lost and have not trained a turn since keep their places among the losers.
        # Otherwise far more would lose than in a run with rounds.
        losers = ranked[: max(0, part - self._count_replaced(members))]
        if self.member.id not in losers and has_score(self.member):
            return None
        donors = ranked[len(ranked) - max(part, 1) :] or [m.id for m in members if has_score(m)]
        return pick(donors, self.rng) if donors else None

    def _count_replaced(self, members: list[Member]) -> int:
        """Count who lost and has not trained since, but for members that are far behind."""
        return sum(
            member.untried
            and self.notes.ratings[member.id].lost == member.trained
            and member.turn >= self.member.turn - 1
            for member in members
        )

    def _lose(self, donor: int) -> Iterator[Action]:
        loser = self.member.id
        rule = self.standings.rules.explore_in(self.member.group)
        moved = explorer_of(rule, self.population).move(loser, donor, self.rng)
        yield Copy(member=loser, source=donor)
        yield Change(member=loser, hparams=moved)
        now = self.member.trained
        rating = replace(
            self.rating, fitness=None, seen=now, lost=now, successes=tuple(self._open_successes())
        )
        yield Annotate(member=loser, data=rating)

    def _find_success(self) -> Success | None:
        """Return the evaluation of which the weights are to be taken: the one that leads most."""
        found = [
            Success(
                evaluator=evaluator.id,
                since=evaluation.since,
                until=evaluator.trained,
                lead=verdict.lead,
                p=verdict.p,
            )
            for evaluator, evaluation in self.notes.ongoing()
            if self._is_compared(evaluator, evaluation)
            for verdict in [self.standings.judge(evaluator.id, self.member.id)]
            if verdict.is_success(self.standings.rules.p_stat)
        ]
        return max(found, key=lambda each: (each.lead, -each.evaluator), default=None)

    def _is_compared(self, evaluator: Member, evaluation: TurnEvaluation) -> bool:
        """Return whether an evaluation is one of this member's that can be a success."""
        return (
            evaluation.reference == self.member.id
            and not self.rating.has_lost_since(evaluation.reference_trained)
            and self.notes.went_on_since(evaluation.parent, evaluation.parent_trained)
            and self.notes.find_success(evaluator.id, evaluation) is None
            and self.standings.is_whole(evaluator, evaluation)
        )

    def _note(self, success: Success | None) -> Iterator[Action]:
        """Yield what it notes about itself, if that has changed."""
        is_parent = self.member.group > 1
        fitness = self.standings.fitness(self.member.group) if is_parent else {}
        rating = replace(
            self.rating,
            fitness=fitness.get(self.member.id),
            seen=self.notes.last_seen(self.member.id),
            successes=(*self._open_successes(), *([] if success is None else [success])),
        )
        if rating != self.rating:
            yield Annotate(member=self.member.id, data=rating)

    def _open_successes(self) -> Iterator[Success]:
        """Yield the successes of which the evaluators have not ended a turn since."""
        for success in self.rating.successes:
            evaluation = self.notes.evaluations[success.evaluator]
            if evaluation.since == success.since and evaluation.outcome is None:
                yield success


class _Evaluator:
    """An evaluator that decides about itself."""

    def __init__(self, standings: Standings, member: Member, rng: np.random.Generator) -> None:
        self.standings, self.member, self.rng = standings, member, rng
        self.population, self.notes = standings.population, standings.notes

    def decide(self) -> Iterator[Action]:
        """Yield how its evaluation ends, if it does, and the next one."""
        before = self.notes.evaluations.get(self.member.id)
        if before is not None and before.outcome is None:
            ended = self._end(before)
            if ended is None:
                return
            yield Annotate(member=self.member.id, data=ended)
            before = self.notes.evaluations[self.member.id] = ended
        if not self.population.is_finished(self.member.id):
            yield from self._begin(before)

    def _end(self, evaluation: TurnEvaluation) -> TurnEvaluation | None:
        """Return an evaluation that is over as it ended; None if it goes on."""
        success = self.notes.find_success(self.member.id, evaluation)
        if success is not None:
            return self._note_end(
                evaluation, "success", until=success.until, lead=success.lead, p=success.p
            )
        pointless = self._find_pointless(evaluation)
        if pointless is not None:
            return self._note_end(evaluation, pointless)
        verdict = self.standings.judge(self.member.id, evaluation.reference)
        hopeless = self._find_hopeless(evaluation, verdict)
        if hopeless is not None:
            return self._note_end(evaluation, hopeless, lead=verdict.lead, p=verdict.p)
        return None

    def _find_pointless(self, evaluation: TurnEvaluation) -> Outcome | None:
        """Return why there is nothing left to compare, if that is so."""
        parent, reference = evaluation.parent, evaluation.reference
        if not self.standings.is_whole(self.member, evaluation):
            return "failed"
        if self.notes.ratings[parent].has_lost_since(evaluation.parent_trained):
            return "parent lost"
        if self.notes.ratings[reference].has_lost_since(evaluation.reference_trained):
            return "reference lost"
        return "reference finished" if self.population.is_finished(reference) else None

    def _find_hopeless(self, evaluation: TurnEvaluation, verdict: Verdict) -> Outcome | None:
        """Return why an evaluation that has not succeeded is given up, if it is."""
        rules = self.standings.rules
        spent = (self.member.trained - evaluation.since) / rules.patience
        if verdict.p is None:
            return "no overlap" if not verdict.dominating and spent > 1 else None
        return "no better" if verdict.p > rules.p_stat + max(0.0, 1 - spent) else None

    def _note_end(
        self,
        evaluation: TurnEvaluation,
        outcome: Outcome,
        *,
        until: int | None = None,
        lead: float | None = None,
        p: float | None = None,
    ) -> TurnEvaluation:
        trained = self.population[evaluation.parent].trained
        says_something = outcome not in {"failed", "parent lost"}
        return replace(
            evaluation,
            until=self.member.trained if until is None else until,
            outcome=outcome,
            lead=lead,
            p=p,
            seen=tuple(sorted({**dict(evaluation.seen), evaluation.parent: trained}.items())),
            # Its parent may be slow, and have ended no turn while the evaluator measured another.
            measured=tuple(filter(self.standings.counts, evaluation.measured))
            + ((self._measure(evaluation, trained),) if says_something else ()),
        )

    def _measure(self, evaluation: TurnEvaluation, trained: int) -> Measurement:
        return Measurement(
            parent=evaluation.parent,
            began=evaluation.parent_trained,
            until=trained + self.standings.rules.turn_steps,
            scores=tuple(score for _, score in self.member.curve.points()),
        )

    def _begin(self, before: TurnEvaluation | None) -> Iterator[Action]:
        """Yield that it takes the weights of the parent that has waited the longest."""
        found = next(self._find_parents(), None)
        if found is None:
            return
        parent, reference = found
        yield Copy(member=self.member.id, source=parent.id, hparams=False, kind="evaluation")
        yield Change(member=self.member.id, hparams=reference.hparams)
        evaluation = TurnEvaluation(
            parent=parent.id,
            reference=reference.id,
            since=self.member.trained,
            parent_trained=parent.trained,
            reference_trained=reference.trained,
            seen=() if before is None else before.seen,
            measured=() if before is None else before.measured,
        )
        yield Annotate(member=self.member.id, data=evaluation)

    def _find_parents(self) -> Iterator[tuple[Member, Member]]:
        """Yield parents to evaluate with their references, first who trained most since seen."""
        taken = set(self._taken())
        parents = [m for m in self.population if m.id not in taken and self._is_eligible(m)]
        self.rng.shuffle(parents)
        for parent in sorted(parents, key=lambda m: self.notes.last_seen(m.id) - m.trained):
            reference = self.standings.find_reference(parent.group - 1)
            if reference is not None:
                yield parent, self.population[reference]

    def _taken(self) -> Iterator[int]:
        """Yield the parents that have an evaluator which will train on."""
        for evaluator, evaluation in self.notes.ongoing():
            if (
                not self.population.is_finished(evaluator.id)
                and self.notes.went_on_since(evaluation.parent, evaluation.parent_trained)
                and self.notes.find_success(evaluator.id, evaluation) is None
            ):
                yield evaluation.parent

    def _is_eligible(self, member: Member) -> bool:
        """Return whether a member may be evaluated, and has weights that can be trained."""
        return (
            member.group > 1
            and member.trained >= self.standings.rules.first_evaluations[member.group]
            and member.checkpoint is not None
            and member.weights_score is not None
            and not self.notes.is_reborn(member.id, member.trained)
        )
