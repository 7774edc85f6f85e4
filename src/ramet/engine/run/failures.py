"""How failures and silent workers are tolerated; it may differ from worker to worker."""

import math
import sys
from dataclasses import dataclass
from numbers import Real

from ramet.engine.run.device_memory import is_out_of_memory, remedy_for
from ramet.engine.run.unfinished import describe_error
from ramet.errors import RunFailed, StrategyError
from ramet.frames import format_error
from ramet.population import Population
from ramet.strategies.base import check_count

# Failed attempts after which a run stops if no turn has ended yet: the code is at fault.
FIRST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What a run does about turns that raise, workers that fall silent, and values left unread.

    Args:
        retries: How often a turn that raises is tried again before it is given up, each time from
            the member's last checkpoint.
        tolerate: The fraction of the members that may have given up their last turn. If there are
            more, the run stops.
        lease_ttl_s: Seconds of silence after which another worker may take over a worker's member.
        straggler_timeout_s: Seconds that a worker with nothing to train waits for the others. After
            them, a synchronous round ends without the members that still train. None waits forever.
        strict: Whether a hyperparameter that the loop never reads is an error.
    """

    retries: int = 1
    tolerate: float = 0.5
    lease_ttl_s: float = 60.0
    straggler_timeout_s: float | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        check_count("retries", self.retries, "how often a turn that raised is tried again", least=0)
        if not _is_fraction(self.tolerate):
            raise StrategyError(
                f"tolerate must be a part of the population, from 0 to 1, but got {self.tolerate!r}"
            )
        check_seconds("lease_ttl_s", self.lease_ttl_s)
        if self.straggler_timeout_s is not None:
            check_seconds("straggler_timeout_s", self.straggler_timeout_s)
        strict: object = self.strict
        if not isinstance(strict, bool):
            raise StrategyError(f"strict must be True or False, but got {strict!r}")

    def gives_up(self, attempts: int) -> bool:
        """Return whether a turn that raised this often is given up.

        Args:
            attempts: How often it raised.
        """
        return attempts > self.retries

    def has_waited_enough(self, waited_s: float) -> bool:
        """Return whether a round has been waited for so long that it ends without stragglers.

        Args:
            waited_s: Seconds since there was nothing to do but wait.
        """
        return self.straggler_timeout_s is not None and waited_s > self.straggler_timeout_s

    def check(self, population: Population, error: BaseException, *, failed_here: int) -> None:
        """Raise RunFailed when too many members fail.

        Args:
            population: The population after the last failure.
            error: What the last turn that failed raised.
            failed_here: How many attempts failed in this process.
        """
        if problem := self._find_problem(population, failed_here):
            remedy = remedy_for(error) if is_out_of_memory(error) else "Correct the code"
            raise RunFailed(
                f"{problem}. The last error: {describe_error(error)}. {remedy} and run again: a "
                f"run in a file resumes where it stopped, and has every traceback (ramet log)",
                traceback=format_error(error) if error.__traceback__ else "",
            ) from error

    def _find_problem(self, population: Population, failed_here: int) -> str | None:
        # Before the first turn has ended, none is given up: the attempts show which member failed.
        failed = [member.id for member in population if self.gives_up(member.attempts)]
        if population.turns == 0 and self.tolerate == 0.0 and failed:
            return (
                f"no member may fail (tolerate={self.tolerate}, retries={self.retries}), but "
                f"member {failed[0]} did, in its first turn"
            )
        allowed = max(FIRST_ATTEMPTS, self.retries + 1)
        if population.turns == 0 and failed_here >= allowed:
            return f"some turn must end before {allowed} attempts fail, but none did"
        failing = sum(member.failing > 0 for member in population)
        if failing > self.tolerate * len(population):
            return (
                f"at most {self.tolerate:.0%} of the members may fail (tolerate={self.tolerate}), "
                f"but {failing} of {len(population)} gave up their last turn"
            )
        return None


def check_failures(failures: Failures) -> Failures:
    """Return how failures are tolerated; refuse what does not say it.

    Args:
        failures: The ``failures`` of a call or an engine.
    """
    given: object = failures
    if not isinstance(given, Failures):
        raise StrategyError(
            f"failures must be a value such as ramet.Failures(retries=2), but got {given!r}"
        )
    return failures


def _is_fraction(value: object) -> bool:
    """Return whether a value is a number from 0 to 1."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and 0 <= value <= 1  # type: ignore[operator]  # it is a number


def check_seconds(name: str, seconds: object, *, above: bool = True) -> None:
    """Refuse what is no time, or one of less than nothing.

    Args:
        name: What the user calls it.
        seconds: The time.
        above: Whether it must also be above 0.
    """
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        # An integer may be more than any float, which times are.
        or not (0 <= seconds <= sys.float_info.max or seconds == math.inf)
        or (above and not seconds)
    ):
        law = "above 0 seconds" if above else "0 seconds or more"
        raise StrategyError(f"{name} must be {law}, as a float, but got {seconds!r}")
