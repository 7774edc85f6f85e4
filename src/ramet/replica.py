"""A mutable replica of the population. Applying an event takes constant time, whatever its size."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from ramet.errors import CorruptLog
from ramet.fronts import thin
from ramet.goals import Goal, make_point, objectives_of, sum_violations
from ramet.population import Best, Better, Confirmation, Member, Population, Ties, reaches
from ramet.ranking import Members
from ramet.space import Space

Floats: TypeAlias = npt.NDArray[np.float64]

# In a round, each member may add one more turn to a front that was thinned at the last round's end.
MOST_FRONT_TURNS_PER_MEMBER = 2


class Applicable(Protocol):
    """An event."""

    def apply(self, replica: "Replica") -> None:
        """Make the changes to a replica that the event stands for."""
        ...


class Replica:
    """What a worker knows of a run. Events change it, and it is read as an immutable population.

    It has the fields of a ``Population``, which only events assign to, while they are applied.
    """

    members: list[Member]
    space: Space
    steps: int
    round: int
    arrived: int
    turns: int
    failures: int
    copies: int
    undone: int
    best: Best | None
    confirmation: Confirmation | None
    ties: Ties
    better: Better
    unread: tuple[str, ...]
    stopped: bool
    why_stopped: str | None
    stop_asked: bool
    target: float | None
    data: Any
    remember: int
    goals: tuple[Goal, ...]
    front: tuple[Best, ...]

    def __init__(self, population: Population | None = None) -> None:
        self.members = []
        # The number of the last event that was applied.
        self.last = -1
        # The conditions that the run keeps to. A population is the same under any.
        self.threads: int | None = None
        self.mapped: tuple[Any, ...] = ()
        # None until it is asked for, after each change.
        self._population: Population | None = None
        # The members when they were last asked for, and which of them may have changed since.
        self._made: Members | None = None
        self._changed: set[int] = set()
        # A front, and the objectives of its turns.
        self._table: tuple[tuple[Best, ...], Floats] | None = None
        # What members were before the current attempt changed them; None outside of attempts.
        self._before: dict[int, Member] | None = None
        if population is not None:
            self.become(population)

    @property
    def empty(self) -> bool:
        """Whether no run has been opened yet."""
        return not self.members

    @property
    def population(self) -> Population:
        """The population as it is now."""
        if self._population is None:
            if self.empty:
                raise CorruptLog("a log must begin with RunOpened, but it is empty")
            self._made = Members(self.members, self._made, self._changed)
            self._changed = set()
            self._population = Population(members=self._made, **self._fields())
        return self._population

    @property
    def at_target(self) -> bool:
        """Whether the best score is at least as good as the target."""
        return reaches(self.best, self.target, self.better)

    @property
    def done(self) -> bool:
        """Whether every member has used its budget."""
        return all(member.trained >= self.steps for member in self.members)

    @property
    def over(self) -> bool:
        """Whether there is nothing more to train: the budget is used, or the run has stopped."""
        return self.stopped or self.done

    def become(self, population: Population) -> None:
        """Start over from a population."""
        self.members, self._made = list(population.members), None
        for name in _FIELDS:
            setattr(self, name, getattr(population, name))
        self._population, self._table = population, None

    def fold(self, events: Sequence[Applicable]) -> None:
        """Apply events in order, or raise CorruptLog at the first that cannot come next."""
        self._population = None
        for event in events:
            try:
                event.apply(self)
            except (LookupError, TypeError, AttributeError) as error:
                raise CorruptLog(
                    f"an event must be about what the events before it describe, but "
                    f"{type(event).__name__} is not: {error!r}"
                ) from error

    def apply(self, event: Applicable) -> None:
        """Apply an event, or raise CorruptLog if it cannot come next."""
        self.fold((event,))

    @contextmanager
    def attempt(self) -> Iterator["Attempt"]:
        """Undo at the end what the events in between changed, unless the attempt is kept."""
        attempt = Attempt()
        fields, population, last = self._fields(), self._population, self.last
        self._before = {}
        try:
            yield attempt
        finally:
            before, self._before = self._before, None
            if not attempt.kept:
                self._undo(before, fields)
                self._population, self.last = population, last

    def use_space(self, space: Space) -> None:
        """Take a space with its code, which no log holds, in place of the space from the log."""
        self.space = space
        self._population = None

    def member(self, member: int) -> Member:
        """Return a member, or refuse one that the run does not have."""
        if member >= len(self.members):
            raise CorruptLog(
                f"a member must be one of the run's, 0 to {len(self.members) - 1}, but got {member}"
            )
        return self.members[member]

    def change(self, member: int, **changes: Any) -> None:
        """Change fields of a member."""
        self.put(replace(self.members[member], **changes))

    def put(self, member: Member) -> None:
        """Put a member in the place of what it was."""
        id_ = member.id
        if self._before is not None:
            self._before.setdefault(id_, self.members[id_])
        self.members[id_] = member
        self._changed.add(id_)
        self._population = None

    def is_worse(self, score: float) -> bool:
        """Return whether a score is worse than the best, so that it need not be offered."""
        if self.best is None:
            return False
        return score < self.best.score if self.better == "higher" else score > self.best.score

    def offer(self, found: Best) -> None:
        """Take a score and its checkpoint for the best if they are better."""
        if self.best is None or self._rank(found) > self._rank(self.best):
            self.best = found

    def offer_with_metrics(self, found: Best) -> None:
        """Take a turn for the best and into the front, if it is within bounds and belongs there."""
        point = make_point(self.goals, found.score, found.metrics)
        if point is None or sum_violations(self.goals, found.score, found.metrics):
            return
        self.offer(found)
        table, front = self._front_table(), self.front
        least, most = (table >= point).all(axis=1), (table <= point).all(axis=1)
        [equal] = np.nonzero(least & most)
        rank = self._rank(found)
        stays = any(self._rank(front[nth]) > rank for nth in equal.tolist())
        if stays or (least & ~most).any():
            return
        kept = np.flatnonzero(~most).tolist()
        # The front is sorted, the best first.
        place = bisect_left(kept, x=True, key=lambda nth: bool(self._rank(front[nth]) < rank))
        order = [*kept[:place], len(front), *kept[place:]]
        everyone = (*front, found)
        self.front = tuple(everyone[nth] for nth in order)
        self._table = self.front, np.vstack([table, point])[order]
        if len(self.front) > MOST_FRONT_TURNS_PER_MEMBER * len(self.members):
            self.thin_front()

    def thin_front(self) -> None:
        """Leave the most crowded turns out of the front, if they are more than the members."""
        if len(self.front) <= len(self.members):
            return
        points = [tuple(point) for point in self._front_table().tolist()]
        self.front = tuple(self.front[place] for place in thin(points, len(self.members)))

    def _front_table(self) -> Floats:
        """Return the objectives of the front, computed anew only if the front was replaced."""
        if self._table is None or self._table[0] is not self.front:
            # Only finite ones get into the front.
            points = [make_point(self.goals, it.score, it.metrics) or () for it in self.front]
            width = len(objectives_of(self.goals))
            self._table = self.front, np.array(points, np.float64).reshape(len(points), width)
        return self._table[1]

    def _rank(self, found: Best) -> Any:
        return found.rank(self.ties, self.better, self.goals)

    def _undo(self, members: Mapping[int, Member], fields: Mapping[str, Any]) -> None:
        if not fields:  # The attempt opened the run.
            self.members, self._made = [], None
            return
        for id_, member in members.items():
            self.members[id_] = member
            self._changed.add(id_)
        for name, value in fields.items():
            setattr(self, name, value)

    def _fields(self) -> dict[str, Any]:
        return {} if self.empty else {name: getattr(self, name) for name in _FIELDS}


class Attempt:
    """Whether the changes of an attempt are to stay."""

    def __init__(self) -> None:
        self.kept = False

    def keep(self) -> None:
        """Have the changes stay."""
        self.kept = True


_FIELDS = tuple(name for name in Population.__struct_fields__ if name != "members")
