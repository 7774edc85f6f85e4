"""When a member whose code raises is retried, given up for a turn, or too much for the run."""

import traceback
from dataclasses import dataclass
from numbers import Real

from ramet.errors import RunFailed, StrategyError
from ramet.events import AttemptFailed
from ramet.frames import place_of
from ramet.population import Population
from ramet.strategies.base import check_count

# Attempts that may at least fail before anybody has ended a turn: then it is the code's fault.
FIRST_ATTEMPTS = 3
# Characters that a log keeps of an error and of its traceback, which may quote whole arrays.
MOST_OF_ERROR, MOST_OF_TRACEBACK = 10_000, 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """How much failing a run bears."""

    # Attempts after the first, each from the member's last checkpoint.
    retries: int = 1
    # The part of the population that may be without an ended turn.
    tolerate: float = 0.5

    def __post_init__(self) -> None:
        check_count("retries", self.retries, "how often a turn that raised is tried again", least=0)
        if not _is_part(self.tolerate):
            raise StrategyError(
                f"tolerate must be a part of the population, from 0 to 1, but got {self.tolerate!r}"
            )

    def given_up(self, attempts: int) -> bool:
        """Say whether a turn that raised this often is given up."""
        return attempts > self.retries

    def check(self, population: Population, error: BaseException, *, failed_here: int) -> None:
        """Refuse to go on when too many fail; ``error`` is what the last one raised."""
        if problem := self._problem(population, failed_here):
            raise RunFailed(
                f"{problem}. The last error: {described(error)}. Mend the code and run again: a "
                f"run in a store of yours goes on where it stopped, and has every traceback "
                f"(AttemptFailed)"
            ) from error

    def _problem(self, population: Population, failed_here: int) -> str | None:
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


def _is_part(value: object) -> bool:
    """Say whether a value is a number from 0 to 1."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and 0 <= value <= 1  # type: ignore[operator]  # it is a number


def attempt_failed(error: BaseException, *, member: int, turn: int) -> AttemptFailed:
    """Return the event that training a turn raised."""
    trace = _shortened("".join(traceback.format_exception(error)), MOST_OF_TRACEBACK)
    # A log holds no half characters, which a file's name in a traceback may.
    what, trace, where = (
        text.encode(errors="replace").decode() for text in (_named(error), trace, place_of(error))
    )
    return AttemptFailed(member=member, turn=turn, error=what, traceback=trace, where=where)


def described(error: BaseException) -> str:
    """Return an error with the line of the user's code that raised it."""
    where = place_of(error)
    return f"{_named(error)} ({where})" if where else _named(error)


def _named(error: BaseException) -> str:
    return _shortened("".join(traceback.format_exception_only(error)).strip(), MOST_OF_ERROR)


def _shortened(text: str, most: int) -> str:
    r"""Return a text, or its head and its tail if it is longer than this.

    >>> _shortened("ValueError: " + "x" * 90 + " is no rate", 40)
    'ValueError: xxxxxxxx\n[73 characters left out]\nxxxxxxxxx is no rate'
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"
