"""The tables of an SQLite store, as one transaction sees and writes them."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from ramet.clock import Clock
from ramet.store.base import Lease
from ramet.store.statements import queries
from ramet.store.tables import Values

# The holders of more than one member in so many are found among those of all.
ALL_FROM_ONE_IN = 8


class SQLiteTables:
    """The tables, as a connection in a transaction has them.

    Args:
        connection: The connection.
        clock: Where the time comes from.
        boot: The present start of the machine. Leases of earlier ones are void.
        process: The name of this process.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, clock: Clock, boot: str, process: str | None
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._boot, self._process = boot, process

    @property
    def writing(self) -> bool:
        return self._connection.in_transaction

    def now(self) -> float:
        return self._clock.now()

    def uptime(self) -> float:
        return self._clock.uptime()

    def one(self, query: str, /, **values: Any) -> Any:
        return self._connection.execute(queries()[query], values).fetchone()

    def all(self, query: str, /, **values: Any) -> list[Any]:
        return self._connection.execute(queries()[query], values).fetchall()

    def each(self, query: str, /, **values: Any) -> Iterable[Any]:
        return self._connection.execute(queries()[query], values)

    def write(self, query: str, /, **values: Any) -> None:
        self._connection.execute(queries()[query], values)

    def many(self, query: str, rows: Sequence[Values]) -> None:
        self._connection.executemany(queries()[query], rows)

    def run(self, name: str) -> Any:
        return self.one("run", name=name)

    def free(self, query: str, /, among: Collection[int] | None = None, **values: Any) -> Any:
        if among is None:
            return self.one(query, most=1, **self._moment(), **values)
        found = self.all(query, most=-1, **self._moment(), **values)
        return next((row for row in found if row[0] in among), None)

    def all_free(self, **values: Any) -> list[Any]:
        return self.all("first_free", most=-1, **self._moment(), **values)

    def holders(self, run: int, members: Sequence[int], *, of: int) -> list[Any]:
        if len(members) > 1 and len(members) * ALL_FROM_ONE_IN > of:
            return self.all("holders", run=run)
        return [row for each in members for row in self.all("holder", run=run, member=each)]

    def hold(self, run: int, leases: Sequence[Lease], now: float) -> int:
        boot, process = self._boot, self._process
        given = [
            (its.token, its.worker, now, its.expires_at, boot, process, its.lost, run, first, last)
            for its, first, last in _ranges(leases)
        ]
        self.many("lease", given)
        # While a transaction writes, no other process does.
        return leases[0].head if leases else -1

    def seats(self, run: int) -> list[Any]:
        return self.all("seats", run=run, **self._moment())

    def _moment(self) -> dict[str, Any]:
        return {"now": self._clock.uptime(), "boot": self._boot, "process": self._process}


def _ranges(leases: Iterable[Lease]) -> Iterator[tuple[Lease, int, int]]:
    """Yield leases that differ in nothing that is written but their members, which are in a row.

    Of each such group, yield one lease, and the first and the last member.
    """
    group: tuple[Lease, int, int] | None = None
    for lease in leases:
        if group is not None and group[2] + 1 == lease.member and _are_alike(group[0], lease):
            group = (group[0], group[1], lease.member)
            continue
        if group is not None:
            yield group
        group = (lease, lease.member, lease.member)
    if group is not None:
        yield group


def _are_alike(one: Lease, other: Lease) -> bool:
    return (
        one.token == other.token
        and one.lost == other.lost
        and one.expires_at == other.expires_at
        and one.worker == other.worker
    )
