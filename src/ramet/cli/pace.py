"""How fast a run goes and how its best score grew, for a screen that is watched."""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ramet.events import Logged, Resumed, RunOpened, TurnEnded
from ramet.history.reported import sign_of
from ramet.points import final_score
from ramet.population import Population
from ramet.store import Store
from ramet.wording import clock_time, number

# Events that are read of a log; the beginning of a longer one is left out of the sparkline.
MOST_EVENTS = 20_000
# Turns whose times say how fast a run is now.
RECENT_TURNS = 50
# If no turn is trained for longer than this, and for longer than the next one takes, it is a pause.
PAUSE_S = 60.0
# Turns that end within this time are counted as one: an engine may train many at once.
TOGETHER_S = 1.0
# Characters of a sparkline, from the lowest to the highest.
BARS = "▁▂▃▄▅▆▇█"
BAR_COUNT = 12


class Ends(NamedTuple):
    """The ends of turns that were about one time."""

    first: float
    last: float
    turns: int


class Pace:
    """The times of a run's turns, and the best score after each, as the log has them.

    The pace is that of the last turns of the present stretch of work. A stretch begins with the
    run, when a stopped run is resumed, after a pause in which no turn was trained, and when the
    clock is set back.

    Args:
        store: The store.
        opening: The run's first event.
        last: The number of the run's last event.
        now: Returns the seconds since the epoch.
    """

    def __init__(
        self, store: Store, opening: RunOpened, last: int, *, now: Callable[[], float] = time.time
    ) -> None:
        self._store, self._opening, self._now = store, opening, now
        (first,) = store.events(opening.name, most=1)
        self._began = self._ended = first.at
        self._last = max(0, last - MOST_EVENTS)
        self._since_when = "lately from" if self._last else "from"
        # The best score after each turn, maximised.
        self._bests: list[float] = []
        # When the present stretch began, at the earliest.
        self._since = first.at
        # When the first of its last turns began, and when they ended.
        self._ends: list[Ends] = []
        self.catch_up()

    def catch_up(self) -> None:
        """Read new events."""
        news = self._store.events(self._opening.name, self._last)
        for logged in news:
            self._note(logged)
        self._last = news[-1].number if news else self._last
        while sum(group.turns for group in self._ends[2:]) >= RECENT_TURNS:
            del self._ends[0]

    def _note(self, logged: Logged) -> None:
        if isinstance(logged.event, Resumed):
            self._since, self._ends = logged.at, []
        if not isinstance(logged.event, TurnEnded):
            return
        self._ended = logged.at
        self._note_end(logged.at, logged.took_s or 0.0)  # Not all turns have a known time.
        score = final_score(logged.event.points, logged.event.step)
        if score is not None:
            self._bests.append(max([score, *self._bests[-1:]]))

    def _note_end(self, at: float, took_s: float) -> None:
        """Note when a turn ended, in this stretch or in a new one."""
        before = self._ends[-1].last if self._ends else self._since
        if at < before - TOGETHER_S:  # The clock was set back.
            self._since, self._ends = -math.inf, []
        began = max(self._since, at - took_s)
        if self._ends and began - before > max(PAUSE_S, took_s):
            self._ends = []
        self._ends = self._ends or [Ends(began, began, 0)]
        group = self._ends[-1]
        if at - group.first < TOGETHER_S:
            self._ends[-1] = Ends(group.first, max(group.last, at), group.turns + 1)
        else:
            self._ends.append(Ends(at, at, 1))

    def describe(self, population: Population, *, at_work: bool) -> str:
        """Return a line: the time since the run began, the time left, and the best score's growth.

        Args:
            population: The run as it is now.
            at_work: Whether workers train it.
        """
        # Workers that import for long hold no member yet.
        begins = self._ended == self._began and not population.stopped
        end = self._now() if at_work or begins else self._ended
        parts = [f"{clock_time(max(0.0, end - self._began))} since it began"]
        if at_work and (left_s := self.estimate_left_s(population)) is not None:
            parts.append(f"about {clock_time(left_s)} left")
        if len(self._bests) > 1:
            sign = sign_of(self._opening.mode)
            first, last = (number(sign * self._bests[at]) for at in (0, -1))
            bars = draw_bars([sign * best for best in self._bests])
            parts.append(f"best {self._since_when} {first} {bars} to {last}")
        return ", ".join(parts)

    def estimate_left_s(self, population: Population) -> float | None:
        """Return the seconds until the budget is spent at the present pace.

        None if no turn of the present stretch of work has ended.
        """
        if not self._ends:
            return None
        begin, *later = self._ends
        took_s = later[-1].last - begin.last if later else begin.last - begin.first
        if took_s <= 0.0:
            return None
        turns = sum(group.turns for group in later) if later else begin.turns
        left = sum(population.steps - member.trained for member in population)
        return left / self._opening.turn_steps * took_s / turns


def draw_bars(values: Sequence[float]) -> str:
    """Return a line of bars for values, a bar for each or for several.

    >>> draw_bars([0.0, 1.0, 2.0, 7.0])
    '▁▂▃█'
    """
    count = min(BAR_COUNT, len(values))
    chosen = [values[(nth + 1) * len(values) // count - 1] for nth in range(count)]
    low, high = min(chosen), max(chosen)
    # Halved, because the difference of two floats may be too large for one.
    width = high / 2 - low / 2
    if not width:
        return BARS[0] * count
    return "".join(
        BARS[min(len(BARS) - 1, int((value / 2 - low / 2) / width * len(BARS)))] for value in chosen
    )
