"""A rule to exploit by that copies only from a member that is clearly better."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from ramet.errors import StrategyError
from ramet.population import Member
from ramet.strategies.base import check_count, check_rule
from ramet.strategies.exploit import Exploit, Truncation

# The standard deviation of a - 2 b + c, if a, b and c are equally noisy.
SECOND_DIFFERENCE = math.sqrt(6)
# The median of the absolute value of standard normal noise.
MEDIAN_ABSOLUTE = 0.6745
# The last scores of each member that the noise is estimated from, as it may change.
RECENT_SCORES = 12


@dataclass(frozen=True, slots=True)
class Gap:
    """Another rule says who copies whom; a member copies only if the other leads by enough.

    If scores are noisy, the rule alone copies many members that were only lucky. Several gaps may
    be given: the lead must then be greater than each. A member whose score is not finite copies in
    any case.

    Args:
        exploit: The rule that says who copies whom.
        absolute: The lead that is needed, as a difference of scores.
        relative: The lead that is needed, as a part of the absolute value of the loser's score.
        deviations: The lead that is needed, in standard deviations of the difference of two scores
            that differ by noise only. The noise is estimated from the scores themselves: see
            `estimate_noise`. While there is no estimate, nobody copies.
        grace_steps: Steps after a copy of weights in which a member does not copy again.

    >>> Gap(Truncation(0.25), absolute=0.01)
    Gap(exploit=Truncation(quantile=0.25), absolute=0.01, relative=None, deviations=None, \
grace_steps=0)
    """

    exploit: Exploit = field(default_factory=Truncation)
    _: KW_ONLY
    absolute: float | None = None
    relative: float | None = None
    deviations: float | None = None
    grace_steps: int = 0

    def __post_init__(self) -> None:
        check_rule("exploit", self.exploit, "pairs", "Truncation(0.2)")
        check_count("grace_steps", self.grace_steps, "how long a copy is left alone", least=0)
        gaps = {name: getattr(self, name) for name in ("absolute", "relative", "deviations")}
        for name, gap in gaps.items():
            is_number = isinstance(gap, int | float) and not isinstance(gap, bool)
            if gap is not None and not (is_number and 0 < gap < math.inf):
                raise StrategyError(f"{name} must be a number above 0, or None, but got {gap!r}")
        if not self.grace_steps and not any(gaps.values()):
            raise StrategyError(
                "a gap must be given, or the rule alone does the same, but got none; say "
                "absolute=, relative=, deviations= or grace_steps="
            )

    @property
    def least_scores(self) -> int:
        """How many scores of its own a member needs to be compared."""
        own: int = getattr(self.exploit, "least_scores", 1)
        return own if self.deviations is None else max(own, 3)

    def check(self, population: int) -> None:
        self.exploit.check(population)

    def pairs(
        self, members: Sequence[Member], ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[tuple[int, int]]:
        there = {member.id: member for member in members}
        noise = None if self.deviations is None else estimate_noise(members)
        for loser, donor in self.exploit.pairs(members, ready, rng):
            if self._is_clear(there[loser], there[donor], noise):
                yield loser, donor

    def _is_clear(self, loser: Member, donor: Member, noise: float | None) -> bool:
        low, high = loser.score, donor.score
        if low is None or high is None or not math.isfinite(low):
            return True  # The rule has other reasons than scores.
        if self.grace_steps and _steps_since_copy(loser) < self.grace_steps:
            return False
        lead = high - low
        needed = [0.0]
        if self.absolute is not None:
            needed.append(self.absolute)
        if self.relative is not None:
            needed.append(self.relative * abs(low))
        if self.deviations is not None:
            if noise is None:
                return False
            needed.append(self.deviations * math.sqrt(2) * noise)
        return lead > max(needed)


def estimate_noise(members: Sequence[Member]) -> float | None:
    """Return the standard deviation of one score's noise; None if no member has three scores.

    It is estimated from how far scores of one member are from the middle of the score before and
    the one after, which a steady rise does not change, and by the median, which a few jumps do not
    change. Scores that came with a copy are the donor's, and are left out.

    >>> from ramet.population import Curve
    >>> steady = Curve((1, 2, 3, 4), (0.1, 0.2, 0.3, 0.4))
    >>> round(estimate_noise([Member(id=0, hparams={}, curve=steady)]), 6)
    0.0
    """
    bends = [
        abs(before - 2 * score + after)
        for scores in (member.own_scores[-RECENT_SCORES:] for member in members)
        for before, score, after in zip(scores, scores[1:], scores[2:], strict=False)
        if math.isfinite(before) and math.isfinite(score) and math.isfinite(after)
    ]
    if not bends:
        return None
    return statistics.median(bends) / SECOND_DIFFERENCE / MEDIAN_ABSOLUTE


def _steps_since_copy(member: Member) -> float:
    """Return the steps that a member has trained since it copied weights, if it ever did."""
    if not member.inherited:
        return math.inf
    return member.step - member.curve.steps[member.inherited - 1]
