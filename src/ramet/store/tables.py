"""What the rows of a run need from a database, in one transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from ramet.store.base import Lease

# The values of a statement, by name or by place.
Values: TypeAlias = Mapping[str, Any] | Sequence[Any]


class Tables(Protocol):
    """The tables of a store, and the time. Statements are called by names in a file of SQL."""

    @property
    def writing(self) -> bool:
        """Whether the transaction is still under way."""
        ...

    def now(self) -> float:
        """Return the seconds since the epoch."""
        ...

    def uptime(self) -> float:
        """Return the time that leases are decided by."""
        ...

    def one(self, query: str, /, **values: Any) -> Any:
        """Return the first row; None if there is none."""
        ...

    def all(self, query: str, /, **values: Any) -> list[Any]:
        """Return all rows."""
        ...

    def each(self, query: str, /, **values: Any) -> Iterable[Any]:
        """Return all rows, without keeping them."""
        ...

    def write(self, query: str, /, **values: Any) -> None:
        """Write, where no row is returned."""
        ...

    def many(self, query: str, rows: Sequence[Values]) -> None:
        """Write each of these rows."""
        ...

    def run(self, name: str) -> Any:
        """Return the row of a run; None if there is none."""
        ...

    def free(self, query: str, /, among: Collection[int] | None = None, **values: Any) -> Any:
        """Return what can be leased, as the fields of ``Free``; None if nothing can.

        Only ``among`` these members; None is all of them.

        Members are passed over that a process holds under a live lease, unless it is known to be
        gone.
        """
        ...

    def all_free(self, **values: Any) -> list[Any]:
        """Return all that can be leased, those that trained least first."""
        ...

    def holders(self, run: int, members: Sequence[int], *, of: int) -> list[Any]:
        """Return the number, the worker and the token of at least these members.

        Until the transaction ends, these do not change. ``of`` is how many members the run has.
        """
        ...

    def hold(self, run: int, leases: Sequence[Lease], now: float) -> int:
        """Record leases; return the last event that their members may have been changed by."""
        ...

    def seats(self, run: int) -> list[Any]:
        """Return the rows of all members, as ``read_seats`` takes them."""
        ...
