"""A population that events are written on, each at a cost that the members' number is not in."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from msgspec.structs import replace

from ramet.errors import CorruptLog
from ramet.population import Best, Member, Population, reaches


class Applicable(Protocol):
    """An event."""

    def apply(self, replica: "Replica") -> None:
        """Write on a replica what the event changes."""
        ...


class Replica:
    """What a worker knows of a run: written on by events only, read as an immutable population."""

    def __init__(self, population: Population | None = None) -> None:
        self.members: list[Member] = []
        # The number of the last event written on it.
        self.last = -1
        # The conditions that the run keeps to. A population is the same under any.
        self.threads: int | None = None
        self.mapped: tuple[Any, ...] = ()
        self._population: Population | None = None
        self._fields: dict[str, Any] = {}
        # What members were before the attempt under way.
        self._before: dict[int, Member] | None = None
        if population is not None:
            self.become(population)

    @property
    def empty(self) -> bool:
        """Whether no run was opened yet."""
        return not self._fields

    @property
    def population(self) -> Population:
        """The population as it is now."""
        if self._population is None:
            if self.empty:
                raise CorruptLog("a log must begin with RunOpened, but it is empty")
            self._population = Population(members=tuple(self.members), **self._fields)
        return self._population

    @property
    def at_target(self) -> bool:
        """Whether the best score is at least as good as the target."""
        return reaches(self._fields["best"], self._fields["target"], self._fields["better"])

    def become(self, population: Population) -> None:
        """Start over from a population."""
        self.members = list(population.members)
        self._fields = {name: getattr(population, name) for name in _FIELDS}
        self._population = population

    def fold(self, events: Iterable[Applicable]) -> None:
        """Write events on it."""
        for event in events:
            self.apply(event)

    def apply(self, event: Applicable) -> None:
        """Write an event on it, or raise CorruptLog if it cannot come next."""
        try:
            event.apply(self)
        except (LookupError, TypeError, AttributeError) as error:
            raise CorruptLog(
                f"an event must be about what the ones before it tell of, but "
                f"{type(event).__name__} is not: {error!r}"
            ) from error

    @contextmanager
    def attempt(self) -> Iterator["Attempt"]:
        """Undo at the end whatever is written from here on, unless it is kept."""
        attempt = Attempt()
        fields, population, last = dict(self._fields), self._population, self.last
        self._before = {}
        try:
            yield attempt
        finally:
            before, self._before = self._before, None
            if not attempt.kept:
                for id_, member in before.items():
                    self.members[id_] = member
                self._fields, self._population, self.last = fields, population, last

    def get(self, name: str) -> Any:
        """Return a field of the population."""
        return self._fields[name]

    def put(self, **fields: Any) -> None:
        """Change fields of the population."""
        self._fields.update(fields)
        self._population = None

    def add(self, name: str, count: int = 1) -> None:
        """Count something that happened."""
        self.put(**{name: self._fields[name] + count})

    def member(self, member: int) -> Member:
        """Return a member, or refuse one that the run does not have."""
        if member >= len(self.members):
            raise CorruptLog(
                f"a member must be one of the run's, 0 to {len(self.members) - 1}, but got {member}"
            )
        return self.members[member]

    def change(self, member: int, **changes: Any) -> None:
        """Change a member."""
        before = self.members[member]
        if self._before is not None:
            self._before.setdefault(member, before)
        self.members[member] = replace(before, **changes)
        self._population = None

    def offer(self, found: Best) -> None:
        """Take this for the best if it is better."""
        best, rule = self._fields["best"], (self._fields["ties"], self._fields["better"])
        if best is None or found.rank(*rule) > best.rank(*rule):
            self.put(best=found)


class Attempt:
    """Whether what was written is to stay."""

    def __init__(self) -> None:
        self.kept = False

    def keep(self) -> None:
        """Have it stay."""
        self.kept = True


_FIELDS = tuple(name for name in Population.__struct_fields__ if name != "members")
