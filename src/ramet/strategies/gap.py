"""A rule to exploit by that copies only from a member that is clearly better."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from ramet.errors import StrategyError
from ramet.noise import estimate_noise
from ramet.population import Member
from ramet.strategies.base import check_count, check_rule
from ramet.strategies.exploit import Exploit, Truncation, find_members

# Members from which the noise is estimated: of many, these are some, evenly spaced.
MOST_ESTIMATED = 256


@dataclass(frozen=True, slots=True)
class Gap:
    """Another rule says who should copy whom; a member copies only if the other leads by enough.

    If scores are noisy, that rule alone copies many members that were only lucky. If you give
    several gaps, the lead must be greater than each of them. A member without a finite score copies
    in any case.

    Args:
        exploit: The rule that says who copies whom.
        absolute: The lead that is needed, as a difference of scores.
        relative: The lead that is needed, as a part of the absolute value of the loser's score.
        deviations: The lead that is needed, in standard deviations of the difference of two scores
            that differ by noise only. The noise is estimated from the members' own scores, by how
            far each is from the middle of its neighbours. Until a member has three scores, there
            is no estimate, and only members without a finite score copy.
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
        if getattr(self.exploit, "goals", ()):
            raise StrategyError(
                f"a gap is a lead in scores, but {type(self.exploit).__name__} copies by metrics "
                f"as well, from members with lower scores too; use it without Gap"
            )
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
        pairs = list(self.exploit.pairs(members, ready, rng))
        if not pairs:
            return
        noise = None if self.deviations is None else _estimate(members)
        for pair in pairs:
            loser, donor = find_members(members, pair)
            if self._is_clear(loser, donor, noise):
                yield pair

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


def _estimate(members: Sequence[Member]) -> float | None:
    """Estimate the noise from members' own scores: those that came with a copy are the donor's."""
    some = members[:: max(1, len(members) // MOST_ESTIMATED)]
    return estimate_noise(member.own_scores for member in some)


def _steps_since_copy(member: Member) -> float:
    """Return the steps that a member has trained since it copied weights, if it ever did."""
    if not member.inherited:
        return math.inf
    return member.step - member.curve.steps[member.inherited - 1]
