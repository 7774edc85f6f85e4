"""Connections to a PostgreSQL server, and transactions that outlive its restarts."""

import logging
import math
import os
import random
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from ramet.clock import Clock
from ramet.errors import StoreBusy
from ramet.reminders import Reminders
from ramet.store.postgres import refusals
from ramet.store.postgres.address import Address, parameters
from ramet.store.postgres.transaction import Connection, Transaction

logger = logging.getLogger("ramet")

T = TypeVar("T")
Work = Callable[[Transaction], T]
# What tells whether a transaction with this result is on record.
Recorded = Callable[[Transaction, T], bool]

Begin = Callable[[Connection], Transaction]

# How many connections are kept for the next call. A server allows few, and workers may be many.
KEPT = 1
# Seconds for which a thread waits for a connection that another thread uses, before it opens one
# more. Transactions take milliseconds.
SHARE_S = 0.25
# Seconds between attempts to reach a server that is away, each twice as long as the last.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.02, 2.0
# Seconds without the server before the first warning.
FIRST_SAID_S = 5.0
# Seconds after which a process that is stopped in the middle of a transaction loses its locks.
IDLE_S = 10
SESSION = b"SELECT pg_backend_pid(), pg_postmaster_start_time()"
READ = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITE = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
# For the session, or for the transaction only: with a pooler the next may have another session.
SETTINGS = (
    b"SELECT set_config('synchronous_commit', %(synced)s, %(local)s), "
    b"set_config('idle_in_transaction_session_timeout', %(idle)s, %(local)s), "
    b"set_config('lock_timeout', %(lock)s, %(local)s)"
)
USUAL = {
    "application_name": "ramet",
    "client_encoding": "utf8",
    "connect_timeout": 10,
    # A server that vanished is noticed within a minute.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# A deadlock or a conflict of transactions, a shutdown or start of the server, no connection left,
# a session that was idle for too long: the transaction is undone, and can be tried again.
AGAIN = {"40001", "40P01", "57P01", "57P02", "57P03", "57P05", "25P03", "53300", "08P01"}
# What servers say in English while they start or stop, or have no connection left for now.
FOR_NOW = (
    "starting up",
    "shutting down",
    "in recovery",
    "not yet accepting",
    "too many",
    "remaining connection slots",
)
# Decides nothing but pauses. Not the module's own generator: training may draw from that.
_chance = random.SystemRandom()
# What forks have inherited: closing these would end the sessions of the parent.
_inherited: list[Connection] = []


class Server:
    """Connections to the server of a store, for all threads of this process.

    Args:
        address: Where the server is.
        clock: What waits.
        patience_s: How long a call waits for a server that is away.
        synced: Whether most transactions that write wait until they are on the server's disk.
        known: Whether the server is known to have been there. Otherwise, the first call fails at
            once if it is not.
    """

    def __init__(
        self,
        address: Address,
        *,
        clock: Clock,
        patience_s: float,
        synced: bool = True,
        known: bool = False,
    ) -> None:
        self.address = address
        # What sessions are set to.
        self._usual = _settings(synced=synced)
        self._clock, self._patience_s, self._known = clock, patience_s, known
        self._parameters = parameters(address, USUAL)
        # ``with`` is for the lock: a condition's is written in Python, and can be interrupted just
        # behind the lock.
        self._lock = threading.RLock()
        self._returned = threading.Condition(self._lock)
        self._idle: list[Connection] = []
        # How many are in use or being opened.
        self._lent = 0
        self._pid = os.getpid()
        # Whether a pooler is in between that gives each transaction another session.
        self.pooled = False
        # When the server was started.
        self.started: object = None

    def read(self, work: Work[T], *, alone: bool = False) -> T:
        """Return what work reads of one snapshot.

        Args:
            work: What reads.
            alone: Whether one statement reads it all. It then needs no transaction around it.
        """
        begin = partial(Transaction, begin=None if alone else READ)
        return self._transact(begin, work, patience_s=self._patience_s)

    def write(
        self,
        work: Work[T],
        *,
        synced: bool,
        at_most_s: float = math.inf,
        recorded: Recorded[T] | None = None,
    ) -> T:
        """Write all or nothing, once, and return what work returns.

        Args:
            work: What writes. It is called again if the transaction was undone.
            synced: Whether to wait until it is on the server's disk.
            at_most_s: How long to wait for a server that is away, if that is less than usual.
            recorded: What tells whether a transaction that ended like this is on record, where
                the connection was lost at its end. Without it, what was written is written again.
        """
        values = _settings(synced=synced, lock_s=0 if at_most_s == math.inf else at_most_s)

        def begin(connection: Connection) -> Transaction:
            needless = values == self._usual and not self.pooled
            settings = None if needless else (SETTINGS, {**values, "local": True})
            return Transaction(connection, begin=WRITE, settings=settings)

        return self._transact(
            begin,
            work,
            patience_s=min(self._patience_s, at_most_s),
            recorded=recorded,
        )

    def close(self) -> None:
        """Close what is not in use; the next call connects again."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._pid == os.getpid():
            for connection in idle:
                connection.close()
        else:
            _inherited.extend(idle)

    def __del__(self) -> None:
        # Absent if it was never made.
        if hasattr(self, "_idle"):
            self.close()

    def connect(self, **more: Any) -> Connection:
        """Return a new connection, or raise psycopg's error."""
        connection = psycopg.connect(**{**self._parameters, **more}, autocommit=True)
        try:
            refusals.check_version(self.address, connection.info.server_version)
            (pid, self.started) = connection.execute(SESSION).fetchone() or (None, None)
            # A pooler names sessions by numbers of its own, and may give each transaction another
            # session, which does not have the statements that were prepared.
            self.pooled = pid != connection.info.backend_pid
            connection.prepare_threshold = None if self.pooled else 3
            if not self.pooled:
                connection.execute(SETTINGS, {**self._usual, "local": False})
        except BaseException:
            connection.close()
            raise
        self._known = True
        return connection

    def _transact(
        self,
        begin: Begin,
        work: Work[T],
        *,
        patience_s: float,
        recorded: Recorded[T] | None = None,
    ) -> T:
        attempt = _Attempt(begin, work, recorded)
        began, pause_s, reminders = self._clock.uptime(), FIRST_PAUSE_S, Reminders(FIRST_SAID_S)
        while True:
            try:
                return self._lend(attempt.make)
            except psycopg.Error as error:
                cause = self._check(error)
            waited_s = self._clock.uptime() - began
            if waited_s >= patience_s:
                raise refusals.gave_up(self.address, patience_s, cause) from cause
            if reminders.is_due(waited_s):
                self._warn(waited_s, cause)
            # Random, so that workers that wait together do not try together.
            self._clock.sleep(pause_s * _chance.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _warn(self, waited_s: float, error: psycopg.Error) -> None:
        fields = {"store": str(self.address), "waited_s": waited_s, "error": refusals.quote(error)}
        logger.warning(
            "the store %(store)s has not answered for %(waited_s).0f s: %(error)s. This process "
            "waits, and goes on when the server is there",
            fields,
            extra=fields,
        )

    def _check(self, error: psycopg.Error) -> psycopg.Error:
        """Return an error after which to try again; raise ramet's error for any other."""
        if isinstance(error, _NotConnected):
            cause = error.error
            for_now = any(sign in str(cause) for sign in FOR_NOW)
            if refusals.is_final(cause) or not (self._known or for_now):
                raise refusals.not_connected(self.address, cause) from cause
            return cause
        lost = isinstance(error, _Lost)
        cause = error.error if isinstance(error, _Lost) else error
        if lost or cause.sqlstate in AGAIN:
            return cause
        if cause.sqlstate == "55P03":
            raise StoreBusy(
                f"a member must be free of other transactions within seconds, but {self.address} "
                f"says: {cause}; its lease runs out by itself"
            ) from cause
        raise refusals.refusal(self.address, cause) from cause

    def _lend(self, use: Callable[[Connection], T]) -> T:
        """Use a connection; it is kept if it is still good afterwards."""
        # No generator may hold a connection (``Database._transact`` says why).
        connection = self._take()
        try:
            return use(connection)
        except psycopg.Error as error:
            # An answer that broke off leaves a pipeline that cannot be ended.
            if connection.info.pipeline_status != PipelineStatus.OFF:
                connection.close()
            if connection.closed or connection.info.status.name == "BAD":
                raise _Lost(error) from error
            raise
        finally:
            self._put_back(connection)

    def _take(self) -> Connection:
        if self._pid != os.getpid():
            # Another thread may have held the lock when this process was forked.
            self._lock = threading.RLock()
            self._returned, self._lent = threading.Condition(self._lock), 0
            self.close()
            self._pid = os.getpid()
        with self._lock:
            if not self._idle and self._lent:
                self._returned.wait_for(lambda: self._idle or not self._lent, SHARE_S)
            self._lent += 1
            if self._idle:
                return self._idle.pop()
        try:
            return self.connect()
        except BaseException as error:
            self._take_back(None)
            if isinstance(error, psycopg.Error):
                raise _NotConnected(error) from error
            raise

    def _put_back(self, connection: Connection) -> None:
        if not connection.closed:
            try:
                if connection.info.transaction_status != TransactionStatus.IDLE:
                    connection.execute(b"ROLLBACK")
            except psycopg.Error:
                connection.close()
        good = connection.info.transaction_status == TransactionStatus.IDLE
        if not self._take_back(connection if good and not connection.closed else None):
            connection.close()

    def _take_back(self, connection: Connection | None) -> bool:
        """Count a connection as returned; say whether it is kept."""
        with self._lock:
            self._lent -= 1
            keeps = connection is not None and len(self._idle) < KEPT
            if connection is not None and keeps:
                self._idle.append(connection)
            self._returned.notify()
        return keeps


def _settings(*, synced: bool, lock_s: float = 0) -> dict[str, str]:
    """Return whether commits wait for the disk, and how long idle sessions and locks are borne."""
    return {"synced": "on" if synced else "off", "idle": f"{IDLE_S}s", "lock": f"{lock_s}s"}


class _NotConnected(psycopg.Error):
    """No connection could be made."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.error = error


class _Lost(psycopg.Error):
    """The connection broke."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.error = error


class _Attempt(Generic[T]):
    """A transaction that is attempted until it is known to have been made once."""

    def __init__(self, begin: Begin, work: Work[T], recorded: Recorded[T] | None) -> None:
        self._begin, self._work, self._recorded = begin, work, recorded
        # What the last attempt returned, if the server was asked to commit it.
        self._unsettled: list[T] = []

    def make(self, connection: Connection) -> T:
        """Make the transaction, unless the last attempt turns out to have made it."""
        transaction = self._begin(connection)
        for result in self._unsettled:
            # The locks that the last attempt held are free by now, so it has succeeded or failed.
            if self._recorded is not None and self._recorded(transaction, result):
                return result
        made = self._work(transaction)
        self._unsettled = [made]
        transaction.commit()
        return made
