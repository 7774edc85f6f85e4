"""How a worker goes about a run: what may differ from worker to worker without changing it."""

import math
import sys
from dataclasses import dataclass, field

from ramet.engine.run.unfinished import Failures
from ramet.errors import StrategyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run's settings do not say."""

    # Whether a hyperparameter that the loop never reads is an error.
    strict: bool = False
    failures: Failures = field(default_factory=Failures)
    # Until another worker may take over the member of one that is silent.
    lease_ttl_s: float = 60.0
    # Until a synchronous round may end without a member that still trains; None is never.
    straggler_timeout_s: float | None = None

    def __post_init__(self) -> None:
        _check_seconds("lease_ttl_s", self.lease_ttl_s)
        if self.straggler_timeout_s is not None:
            _check_seconds("straggler_timeout_s", self.straggler_timeout_s)


def _check_seconds(name: str, seconds: object) -> None:
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        # An integer may be more than any float, which times are.
        or not (0 < seconds <= sys.float_info.max or seconds == math.inf)
    ):
        raise StrategyError(f"{name} must be above 0 seconds, as a float, but got {seconds!r}")
