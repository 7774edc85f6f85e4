"""Fresh scores of the best turns of a run, and which turns are evaluated again."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from ramet import wording
from ramet.history.keeping import find_needed
from ramet.history.lineage import Lineage
from ramet.noise import compute_mean, compute_spread
from ramet.population import Best, Candidate, Checkpoint, Population


class FreshScores(NamedTuple):
    """The scores of fresh evaluations of the same weights, as they were reported.

    ``str`` of it says it in words.

    Args:
        scores: The scores, in their order; NaN where one was not finite.

    >>> str(FreshScores((0.90, 0.91, 0.92)))
    '0.910 ± 0.010 on 3 fresh evaluations'
    """

    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean; NaN if one is not finite."""
        return compute_mean(self.scores)

    @property
    def spread(self) -> float:
        """Their standard deviation: how noisy one score is. NaN if one is not finite, or alone."""
        return compute_spread(self.scores)

    def __str__(self) -> str:
        on = wording.count(len(self.scores), "fresh evaluation")
        return f"{wording.mean_and_spread(self.mean, self.spread)} on {on}"


def fresh_scores(candidate: Candidate) -> FreshScores:
    """Return the fresh scores of a candidate."""
    return FreshScores(tuple(math.nan if it is None else it for it in candidate.fresh))


def say_both(score: float, fresh: FreshScores) -> str:
    """Say what weights scored when their turn ended, and when they were evaluated again.

    >>> say_both(0.93, FreshScores((0.90, 0.91, 0.92)))
    '0.93 when it was measured, 0.910 ± 0.010 on 3 fresh evaluations'
    """
    return f"{wording.number(score)} when it was measured, {fresh}"


def find_fresh(population: Population, checkpoint: Checkpoint | None) -> FreshScores | None:
    """Return the fresh scores of weights, if the run is confirmed and they were evaluated again."""
    now = population.confirmation
    if now is None or checkpoint is None or not now.complete:
        return None
    place = now.find(checkpoint.member, checkpoint.turn)
    return None if place is None else fresh_scores(now.candidates[place])


def repeats(population: Population) -> list[tuple[float, ...]]:
    """Return the fresh scores of each candidate, as they are by now."""
    now = population.confirmation
    return [] if now is None else [fresh_scores(it).scores for it in now.candidates]


class Ranked(NamedTuple):
    """The turns that count for the best of a run and ended with a finite score, the best first."""

    # Those with checkpoints that the run keeps.
    kept: list[Candidate]
    # How many better ones it does not keep, for each of them.
    lacking: list[int]
    # How many it does not keep in all.
    lost: int


def rank(population: Population, lineage: Lineage) -> Ranked:
    """Return the turns of a run by their scores.

    Args:
        population: The population, with scores as they were reported.
        lineage: Its turns, with scores alike.
    """
    rule = population.ties, population.better
    found = sorted(
        (Best(score=score, checkpoint=kept) for kept, score in _find_scores(population, lineage)),
        key=lambda one: one.rank(*rule),
        reverse=True,
    )
    needed = find_needed(population, lineage.opening.keep)
    kept: list[Candidate] = []
    lacking: list[int] = []
    lost = 0
    for one in found:
        if lineage.opening.keep == "all" or one.checkpoint in needed:
            kept.append(Candidate(score=one.score, checkpoint=one.checkpoint))
            lacking.append(lost)
        else:
            lost += 1
    return Ranked(kept, lacking, lost)


def _find_scores(population: Population, lineage: Lineage) -> Iterator[tuple[Checkpoint, float]]:
    """Yield the checkpoints of turns that count, and their scores."""
    turns = lineage.turns
    # A ranked member may have copied the weights of one that is not.
    copied = {member.checkpoint for member in population if member.ranked}
    copied |= {population.best.checkpoint} if population.best else set()
    for place, (member, score) in enumerate(zip(turns.members, turns.scores, strict=True)):
        if math.isnan(score):
            continue
        kept = turns.checkpoint(place)
        if population[member].ranked or kept in copied:
            yield kept, score
