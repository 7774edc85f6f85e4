"""One transaction: writes wait until something is read or all is committed, and travel together."""

from typing import Any, NamedTuple

import psycopg

from ramet.store.tables import Values

Connection = psycopg.Connection[Any]
Cursor = psycopg.Cursor[Any]


class _Statement(NamedTuple):
    """A statement, with its values."""

    text: bytes
    values: Values | None = None


class Transaction:
    """A transaction that begins with its first statement.

    A turn takes about ten statements. If each waited for the answer to the one before, most of a
    turn's time would pass on the network.

    Args:
        connection: The connection, which is in no transaction.
        begin: The statement that begins it; None if each statement is a transaction of its own.
        settings: A statement with settings of this transaction only, and its values.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        begin: bytes | None,
        settings: tuple[bytes, Values] | None = None,
    ) -> None:
        self.connection = connection
        self._waiting = [] if begin is None else [_Statement(begin)]
        self._began = begin is not None
        if settings is not None:
            self._waiting.append(_Statement(*settings))
        self._cursor = connection.cursor()

    def ask(self, text: bytes, values: Values | None = None) -> Cursor:
        """Return the answer to a statement, after those that wait."""
        cursor = self._cursor
        if not self._waiting:
            return cursor.execute(text, values)
        with self.connection.pipeline():
            self._send()
            return cursor.execute(text, values)

    def ask_each(self, *asked: tuple[bytes, Values]) -> list[Cursor]:
        """Return the answers to statements of which none needs the answer to another."""
        with self.connection.pipeline():
            self._send()
            return [self.connection.cursor().execute(*statement) for statement in asked]

    def write(self, text: bytes, values: Values | None = None) -> None:
        """Write something, at the latest when the transaction is committed."""
        self._waiting.append(_Statement(text, values))

    def commit(self) -> None:
        """Write all that waits, and end the transaction."""
        if not self._began:
            return
        if not self._waiting:
            self._cursor.execute(b"COMMIT")
            return
        self.write(b"COMMIT")
        with self.connection.pipeline():
            self._send()

    @property
    def intact(self) -> bool:
        """Whether the transaction is under way, and no statement of it has failed."""
        return self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        cursor = self.connection.cursor()
        for statement in waiting:
            cursor.execute(*statement)
