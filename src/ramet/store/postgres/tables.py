"""The tables of a PostgreSQL store, as one transaction sees and writes them."""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ramet.clock import Clock
from ramet.process import Processes
from ramet.store.base import Lease
from ramet.store.postgres.transaction import Transaction
from ramet.store.tables import Values

# Names that are remembered; some are of processes in other containers, which may have ended.
MOST_PROCESSES = 1_000
# A lease that was renewed later than this from now is void: the server's clock was set back. Less
# is nothing, because the time of a transaction is read before its locks are had.
SET_BACK_S = 60.0
# Of rows that are written by one statement.
MOST_ROWS, MOST_BYTES = 1_000, 1 << 26
# How many columns the queries have that read a run.
RUN_COLUMNS = 9


class Claimed(NamedTuple):
    """What a claim found."""

    # A member that may be free, if there is one.
    free: int | None = None
    # That member, if it was leased.
    member: int | None = None
    token: int = 0
    lost: int = 0


class PostgresTables:
    """The tables, as a transaction has them.

    Args:
        transaction: The transaction.
        queries: The text of each query by its name.
        processes: What tells whether the process that holds a lease still exists.
        there: The names of processes of this machine that were not known to be gone when a lease
            of theirs was last met; this adds more.
        clock: Where the time comes from; None is the server's clock.
        locking: Whether nothing else commits to a run that this transaction has read.
        member: The member of which the holder is asked for together with the run, if any.
    """

    def __init__(
        self,
        transaction: Transaction,
        queries: dict[str, bytes],
        *,
        processes: Processes,
        there: set[str],
        clock: Clock | None,
        locking: bool,
        member: int | None = None,
    ) -> None:
        self._transaction, self._queries = transaction, queries
        self._processes, self._there, self._clock = processes, there, clock
        self._run_query, self._member = "lock_run" if locking else "run", member
        # Answers to later questions, which came along with one, by the names of their queries.
        self._early: dict[str, Iterable[Any]] = {}
        # The server's time when a run was read; this process's before that.
        self._time = time.time()

    @property
    def writing(self) -> bool:
        return self._transaction.intact

    def now(self) -> float:
        return self._time if self._clock is None else self._clock.now()

    def uptime(self) -> float:
        return self._time if self._clock is None else self._clock.uptime()

    def one(self, query: str, /, **values: Any) -> Any:
        return self._transaction.ask(self._queries[query], values).fetchone()

    def all(self, query: str, /, **values: Any) -> list[Any]:
        return list(self.each(query, **values))

    def each(self, query: str, /, **values: Any) -> Iterable[Any]:
        if query in self._early:
            return self._early.pop(query)
        return self._transaction.ask(self._queries[query], values)

    def write(self, query: str, /, **values: Any) -> None:
        self._transaction.write(self._queries[query], values)

    def many(self, query: str, rows: Sequence[Values]) -> None:
        if len(rows) == 1 and (alone := self._queries.get(query)) is not None:
            self._transaction.write(alone, rows[0])
            return
        for batch in _batches(rows):
            # Lists of columns, because a statement for each row takes several times as long.
            columns = [list(column) for column in zip(*batch, strict=True)]
            self._transaction.write(self._queries[f"{query}_each"], columns)

    def run(self, name: str) -> Any:
        if (row := self._run(name)) is None:
            return None
        *row, self._time = row
        return tuple(row)

    def read_news(self, name: str, *, after: int, most_bytes: int) -> None:
        """Read a run and the events behind a number together; both are asked for afterwards."""
        # All of them, because other questions come before they are asked for.
        found = self.all("news", name=name, after=after, most_bytes=most_bytes)
        self._early["run"] = [row[:RUN_COLUMNS] for row in found[:1]]
        # Without news there is one row, of the run alone.
        self._early["events"] = [row[RUN_COLUMNS:] for row in found if row[RUN_COLUMNS] is not None]

    def claim(
        self,
        name: str,
        *,
        worker: str,
        ttl_s: float,
        prefer: int | None,
        among: Collection[int] | None,
    ) -> Claimed:
        """Lease a member that no worker holds; the run is asked for afterwards.

        Args:
            name: The name of the run.
            worker: The name of the worker that will hold the lease.
            ttl_s: Seconds until the lease runs out.
            prefer: The member to choose among those that have trained equally little.
            among: The members to choose from; None is all of them.
        """
        row = self.one(
            "claim",
            name=name,
            worker=worker,
            process=self._processes.this(),
            there=self._find_there(),
            machine=self._machine(),
            now=None if self._clock is None else self._clock.uptime(),
            set_back_s=SET_BACK_S,
            ttl_s=ttl_s,
            prefer=prefer,
            among=_listed(among),
        )
        self._early["run"] = [] if row is None else [row[:RUN_COLUMNS]]
        return Claimed(*(row or ())[RUN_COLUMNS:])

    def _run(self, name: str) -> Any:
        if "run" in self._early:
            return next(iter(self._early.pop("run")), None)
        if self._member is None:
            return self.one(self._run_query, name=name)
        run, holder = self._transaction.ask_each(
            (self._queries[self._run_query], {"name": name}),
            (self._queries["holder_in"], {"name": name, "member": self._member}),
        )
        self._early["holders"] = holder.fetchall()
        return run.fetchone()

    def free(self, query: str, /, among: Collection[int] | None = None, **values: Any) -> Any:
        there = self._find_there()
        fixed = {**values, **self._moment(), "machine": self._machine(), "among": _listed(among)}
        while (row := self.one(query, there=there, **fixed)) is not None:
            *free, heard_at, process, lives = row
            if self._gone(process):
                return (*free, None)
            if not lives:
                return (*free, heard_at)
            there.append(process)
            self._remember(process)
        return None

    def all_free(self, **values: Any) -> list[Any]:
        fixed = {**values, **self._moment(), "machine": self._machine()}
        found = self.all("all_free", there=self._find_there(), **fixed)
        rows = []
        for *free, heard_at, process, lives in found:
            gone = self._gone(process)
            if gone or not lives:
                rows.append((*free, None if gone else heard_at))
            else:
                self._remember(process)
        return rows

    def holders(
        self,
        run: int,
        members: Sequence[int],
        *,
        of: int,  # noqa: ARG002 - never all of them: these are locked
    ) -> list[Any]:
        return self.all("holders", run=run, members=list(members))

    def hold(self, run: int, leases: Sequence[Lease], now: float) -> int:
        process = self._processes.this()
        given = [
            (its.token, its.worker, now, its.expires_at, process, its.lost, run, its.member)
            for its in leases
        ]
        self.many("lease", given)
        # Read when the members are locked: a later event that changes one of them revokes its
        # lease.
        (head,) = self.one("head", run=run)
        return int(head)

    def seats(self, run: int) -> list[Any]:
        rows = self.all("seats", run=run, **self._moment())
        return [(*row, live and not self._gone(process)) for *row, live, process in rows]

    def _find_there(self) -> list[str]:
        return [name for name in list(self._there) if not self._gone(name)]

    def _machine(self) -> str:
        """Return how the names begin of all processes that may be known to be gone."""
        return (self._processes.this() or "").partition(" ")[0]

    def _gone(self, process: str | None) -> bool:
        return process != self._processes.this() and self._processes.is_gone(process)

    def _remember(self, process: str) -> None:
        if len(self._there) >= MOST_PROCESSES:
            self._there.intersection_update(self._find_there())
        if len(self._there) >= MOST_PROCESSES:
            self._there.clear()
        self._there.add(process)

    def _moment(self) -> dict[str, float]:
        now = self.uptime()
        return {"now": now, "soon": now + SET_BACK_S}


def _listed(members: Collection[int] | None) -> list[int] | None:
    return None if members is None else sorted(members)


def _batches(rows: Sequence[Values]) -> Iterator[Sequence[Values]]:
    """Yield rows in batches of limited length and size; a larger row is a batch of its own."""
    begin = size = 0
    for end, row in enumerate(rows):
        more = sum(len(value) for value in row if isinstance(value, bytes))
        if end > begin and (end - begin == MOST_ROWS or size + more > MOST_BYTES):
            yield rows[begin:end]
            begin, size = end, 0
        size += more
    if rows:
        yield rows[begin:]
