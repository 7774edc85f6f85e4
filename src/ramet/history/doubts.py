"""What makes the result of a run worthless, and copies that undo the training."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from ramet import wording
from ramet.history.confirming import repeats, say_both
from ramet.history.reported import sign_of
from ramet.history.result import Result
from ramet.history.turns import FRESH, Turns
from ramet.noise import MEDIAN_ERROR, estimate_repeats
from ramet.population import Population
from ramet.space import Hparams, same
from ramet.strategies.controlled import deciding, find_control

Kind: TypeAlias = Literal["no learning", "nothing explored", "noise"]

# Strategies that give all members the same values, or values of an earlier run, on purpose.
SAME_ON_PURPOSE = {"HandTuned", "Replay"}
# Turns after the first that members have ended on average before learning is looked for.
FEWEST_LATER_TURNS = 2
# Pairs of successive scores that an estimate of the noise needs.
FEWEST_PAIRS = 10
# The part of a run's end, by turns, that the noise is estimated from.
LATE_PART = 0.5
# A quarter of the differences of two numbers with standard deviation 1 are below minus this.
QUARTER = 0.6745 * math.sqrt(2)
# By how many standard errors the middle of the members may be off.
CLEAR_ERRORS = 2.0
# The best is in doubt if its lead at the end is at most this many times what luck gives,
MAX_LEAD_OF_LUCK = 1.5
# and if the run gained at most this many times what luck gives.
MAX_GAIN_OF_LUCK = 4.0

# Turns that members have ended on average before copies are compared with training.
LAG_TURNS_PER_MEMBER = 10
# The part of all steps trained that copies may take back.
MAX_UNDONE_PART = 0.5


class Doubt(NamedTuple):
    """A reason to doubt a result."""

    kind: Kind
    # A sentence that says what is wrong, with the numbers.
    what: str
    # What to do about it.
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


class _Scores(NamedTuple):
    """The scores that count for the best of a run. Higher ones are better here."""

    best: float
    # The first finite score of each member.
    firsts: list[float]
    # All scores after these.
    later: list[float]
    # The last score of each member.
    lasts: list[float]
    # By how much each turn raised the score of the member that trained it.
    rises: list[float]
    # By how much scores fell, in the last part of the run; 0 if they rose.
    falls: list[float]


def find_doubts(result: Result) -> list[Doubt]:
    """Return the reasons to doubt the result of a run that is over; a replay has none.

    Args:
        result: The run. While it is going on, there are no doubts.
    """
    population = result.population
    if not (population.done or population.stopped) or population.best is None:
        return []
    if result.opening.strategy.get("type") == "Replay":
        return []
    scores = _read_scores(result)
    if not scores.firsts or result.opening.goals:
        # The best is of an unranked member, and was copied; or a run has other objectives, too.
        return [*_doubt_exploring(result)]
    return [
        *_doubt_learning(result, scores),
        *_doubt_exploring(result),
        *_doubt_best(result, scores),
    ]


def _doubt_learning(result: Result, scores: _Scores) -> Iterator[Doubt]:
    is_short = len(scores.later) < FEWEST_LATER_TURNS * len(scores.firsts)
    is_better = scores.best > max(scores.firsts)
    # Scores that stay at the highest that there is say nothing about learning.
    changes = [rise for rise in scores.rises if rise]
    is_learning = bool(changes) and statistics.median(changes) > 0
    if is_short or is_better or is_learning or not scores.rises:
        return
    yield Doubt(
        kind="no learning",
        what=(
            f"no later score is better than the best of the first ones, "
            f"{_say_best(result)}, in {wording.count(len(scores.later), 'turn')}"
        ),
        remedy=(
            "check that the loop trains the weights that it reports the score of, and that mode= "
            "says which scores are better; or make turns shorter, if the first is enough"
        ),
    )


def _doubt_exploring(result: Result) -> Iterator[Doubt]:
    opening, turns = result.opening, result.lineage().turns
    control = find_control(opening)
    domains = opening.space["domains"]
    moving = [name for name in opening.space["names"] if domains[name]["type"] != "Constant"]
    if (
        not moving
        or len(opening.births) - (control is not None) == 1
        or str(deciding(opening.strategy).get("type")) in SAME_ON_PURPOSE
    ):
        return
    if _are_equal(
        [it for id_, it in zip(turns.members, turns.hparams, strict=True) if id_ != control]
    ):
        yield Doubt(
            kind="nothing explored",
            what=f"every turn was trained with the same values of {moving}: nothing was compared",
            remedy="start members with different values, or let the strategy change them",
        )
    elif deciding(opening.strategy).get("explore") is not None and not _is_changed(turns):
        yield Doubt(
            kind="nothing explored",
            what=f"no turn was trained with changed values of {moving}: nothing was explored",
            remedy=(
                "make turns shorter (turn_steps=) or the budget longer (steps=), so that members "
                "copy and explore"
            ),
        )


def _doubt_best(result: Result, scores: _Scores) -> Iterator[Doubt]:
    """Yield a doubt if the best may be just the luckiest of many noisy scores.

    The best of n scores that are noise only lies about sqrt(2 ln n) standard deviations above their
    middle. The doubt is raised if the best leads the members at the end by about that, and that is
    a considerable part of all that the run gained.
    """
    if len(result.opening.births) == 1:
        return
    measured = _judge_fresh(result, scores) or _judge_scores(scores)
    if measured is None:
        return
    luck = measured.noise * math.sqrt(2 * math.log(measured.compared))
    lead = measured.best - statistics.median(scores.lasts)
    gained = measured.best - statistics.median(scores.firsts)
    if (
        0 < luck < math.inf
        and lead <= math.hypot(MAX_LEAD_OF_LUCK * luck, measured.off)
        and gained <= MAX_GAIN_OF_LUCK * luck
    ):
        yield _doubt_noise(result, measured, luck, gained)


class _Measured(NamedTuple):
    """A best, the noise in it, and among how many it was chosen. Higher scores are better here."""

    best: float
    noise: float
    compared: int
    # How far the middle of the members, which it is compared with, may be off by noise.
    off: float = 0.0
    # Whether it is a mean of fresh scores.
    fresh: bool = False


def _judge_scores(scores: _Scores) -> _Measured | None:
    """Return the best score of all turns; None if its noise is not known.

    The noise is estimated from how far a quarter of all scores fell below the one before, so that
    steady improvement is no noise, and three scores in a row are not needed.
    """
    if len(scores.falls) < FEWEST_PAIRS:
        return None
    noise = statistics.quantiles(scores.falls, n=4)[2] / QUARTER
    compared = len(scores.firsts) + len(scores.later)
    return _Measured(scores.best, noise, compared)


def _judge_fresh(result: Result, scores: _Scores) -> _Measured | None:
    """Return the best mean of fresh scores; None if the run was not confirmed by random draws.

    It has little noise, but the scores of the members that it is compared with have as much as any.
    """
    confirmed, groups = result.best.confirmed, repeats(result.population)
    noise = None if confirmed is None else estimate_repeats(groups)
    if confirmed is None or noise is None:
        return None
    return _Measured(
        best=sign_of(result.opening.mode) * confirmed.mean,
        noise=noise / math.sqrt(len(confirmed.scores)),
        # Of one there is no best.
        compared=max(2, len(groups)),
        off=CLEAR_ERRORS * MEDIAN_ERROR * noise / math.sqrt(len(scores.lasts)),
        fresh=True,
    )


def _doubt_noise(result: Result, measured: _Measured, luck: float, gained: float) -> Doubt:
    best = result.best
    scatter, gain = f"{measured.noise:.2g}", f"through luck alone, and the run gained {gained:.2g}"
    if measured.fresh and best.confirmed is not None:
        what = (
            f"the best score, {say_both(best.score, best.confirmed)}, lies within the noise: means "
            f"of so many scatter by {scatter}, so that the best of {measured.compared} leads by "
            f"about {luck:.2g} {gain}"
        )
        remedy = "evaluate more often (times= of ramet.confirm), or replay the schedule"
        return Doubt(kind="noise", what=what, remedy=remedy)
    what = (
        f"the best score, {_say_best(result)}, lies within the noise: scores of one "
        f"member scatter by {scatter}, so that the best of all turns leads by about {luck:.2g} "
        f"{gain}"
    )
    remedy = (
        "evaluate the best turns again (ramet.confirm), or measure scores on more data or "
        "episodes, and take result.final or replay the schedule rather than trust the best"
    )
    return Doubt(kind="noise", what=what, remedy=remedy)


def _say_best(result: Result) -> str:
    """Say the best score that a turn ended with, which may not be that of a confirmed best."""
    best = result.population.best
    return wording.number(math.nan if best is None else best.score)


def _read_scores(result: Result) -> _Scores:
    opening, turns = result.opening, result.lineage().turns
    sign = sign_of(opening.mode)
    ranked = [birth.ranked for birth in opening.births]
    scores = [sign * score for score in turns.scores]
    firsts: dict[int, float] = {}
    lasts: dict[int, float] = {}
    later: list[float] = []
    rises: list[float] = []
    falls: list[float] = []
    for place, (member, score) in enumerate(zip(turns.members, scores, strict=True)):
        if not ranked[member] or math.isnan(score):
            continue
        if member in firsts:
            later.append(score)
        firsts.setdefault(member, score)
        lasts[member] = score
        before = _score_before(turns, scores, place)
        if before is not None:
            rises.append(score - before)
        if before is not None and place >= LATE_PART * len(scores):
            falls.append(max(before - score, 0.0))
    best = result.population.best
    return _Scores(
        best=math.nan if best is None else sign * best.score,
        firsts=list(firsts.values()),
        later=later,
        lasts=list(lasts.values()),
        rises=rises,
        falls=falls,
    )


def _score_before(turns: Turns, scores: Sequence[float], place: int) -> float | None:
    """Return the score of the member's turn before, if it continued from that."""
    origin = turns.origins[place]
    if origin == FRESH or turns.edges[place] != "own" or math.isnan(scores[origin]):
        return None
    return scores[origin]


def _are_equal(hparams: Sequence[Hparams]) -> bool:
    return all(same(one, hparams[0]) for one in hparams)


def _is_changed(turns: Turns) -> bool:
    """Say whether some weights were trained on with other values than before."""
    return any(
        origin != FRESH and not same(turns.hparams[origin], turns.hparams[place])
        for place, origin in enumerate(turns.origins)
    )


def describe_lag(population: Population) -> str | None:
    """Say how many of the steps trained were undone by copies, if that is most of them.

    ``step`` counts the steps behind a member's weights, and ``trained`` those of its own budget. A
    copy from a donor at an earlier step throws the difference away.
    """
    trained = sum(member.trained for member in population)
    if (
        population.turns < LAG_TURNS_PER_MEMBER * len(population)
        or population.undone <= MAX_UNDONE_PART * trained
    ):
        return None
    step = statistics.median_low(member.step for member in population)
    each = statistics.median_low(member.trained for member in population)
    return (
        f"{wording.count(population.copies, 'copy')} in {wording.count(population.turns, 'turn')} "
        f"took back {population.undone / trained:.0%} of all steps trained: members have used "
        f"{each:,} steps each, and their weights stand at step {step:,} (medians)"
    )
