"""The errors of a PostgreSQL store: what the server said, and what to do about it."""

from typing import TYPE_CHECKING

from ramet.errors import (
    NotAStore,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnreachable,
    StoreUnsupported,
    UnknownSchema,
)
from ramet.store.postgres.address import Address

if TYPE_CHECKING:
    from psycopg import Error

# What libpq and servers say in English when they refuse a connection, and the remedy.
REMEDIES = (
    (
        ("password authentication failed", "no password supplied"),
        "check the user and the password: in the URL, in PGPASSWORD, or in ~/.pgpass",
    ),
    (
        ("authentication failed", "no pg_hba.conf entry"),
        "the server does not let this user in from here; pg_hba.conf on the server says who may",
    ),
    (
        ("does not exist", "role"),
        "create the user on the server (createuser), or name another in the URL",
    ),
    (
        ("database", "does not exist"),
        "create it on the server (createdb), or name another in the URL",
    ),
    (
        ("permission denied for database",),
        "let the user connect: GRANT CONNECT ON DATABASE ... TO ...",
    ),
    (
        ("could not translate host name", "failed to resolve host", "Name or service not known"),
        "check how the host is spelled, and that this machine can look it up",
    ),
    (
        ("Connection refused", "No such file or directory"),
        "start the server, or check the host and the port",
    ),
    (
        ("timeout expired", "timed out"),
        "check the host and the port, and whether a firewall is in between",
    ),
    (("SSL", "ssl"), "check sslmode= and the certificates that the URL names"),
)
# How many of these are not over after a while.
FINAL = 5
# Of 2019: what these queries are written for, and the oldest that is still in wide use.
OLDEST = 120_000


def absent(error: ImportError) -> StoreUnsupported:
    """Return the error for a machine without the driver."""
    return StoreUnsupported(
        f"a PostgreSQL store needs psycopg, which is not installed here ({error}); "
        f"pip install 'ramet[postgres]'"
    )


def not_connected(address: Address, error: "Error") -> StoreError:
    """Return the error for a server that lets no connection be made."""
    said = quote(error)
    return StoreUnreachable(
        f"a PostgreSQL store must be reachable, but {address} is not: {said}; {_remedy(said)}"
    )


def gave_up(address: Address, waited_s: float, error: BaseException | None) -> StoreUnreachable:
    """Return the error for a server that stays away."""
    said = "" if error is None else f": {quote(error)}"
    return StoreUnreachable(
        f"a PostgreSQL store must answer within {waited_s:.0f} s, but {address} did not{said}; "
        f"nothing that was committed is lost: start the server, and go on with the same command"
    )


def check_version(address: Address, version: int) -> None:
    """Raise StoreUnsupported for a server of an old version, as libpq numbers them."""
    if version >= OLDEST:
        return
    raise StoreUnsupported(
        f"a store needs PostgreSQL {OLDEST // 10_000} or later, but {address} is version "
        f"{version // 10_000}.{version % 10_000}; use a newer server"
    )


def newer_tables(address: Address, version: int, known: int) -> UnknownSchema:
    """Return the error for tables of a later version of ramet."""
    return UnknownSchema(
        f"the tables of a store must be of version {known} at most, but those in schema "
        f"{address.schema!r} of {address} are of version {version}; upgrade ramet"
    )


def no_tables(address: Address) -> NotAStore:
    """Return the error for a database that is only read and has no tables."""
    return NotAStore(
        f"a store that is only read must exist, but schema {address.schema!r} of {address} has no "
        f"tables of ramet; check the database's name, and schema= in the URL"
    )


def refusal(address: Address, error: "Error") -> StoreError:
    """Return the error for a statement that the server refused."""
    said, state = quote(error), error.sqlstate or ""
    if state == "42501":
        return StoreReadOnly(
            f"a store needs the right to use, create and write its tables, but {address} says: "
            f"{said}; either GRANT CREATE ON DATABASE ... TO this user, or let another create "
            f"schema {address.schema!r} and grant ALL on it and its tables"
        )
    if state == "25006":
        return StoreReadOnly(
            f"a store must be on a server that can be written to, but {address} is a standby or "
            f"read-only: {said}; name the primary, or several hosts with "
            f"target_session_attrs=read-write"
        )
    if state.startswith("53"):
        return StoreFull(
            f"a server must have room to write, but {address} says: {said}; nothing was written"
        )
    return StoreError(f"a server must do what a store asks of it, but {address} says: {said}")


def is_final(error: "Error") -> bool:
    """Say whether a server will refuse this connection however often it is tried."""
    said = quote(error)
    return any(_fits(signs, said) for signs, _ in REMEDIES[:FINAL])


def _remedy(said: str) -> str:
    for signs, remedy in REMEDIES:
        if _fits(signs, said):
            return remedy
    return "check the URL"


def _fits(signs: tuple[str, ...], said: str) -> bool:
    found = [sign in said for sign in signs]
    return all(found) if "does not exist" in signs else any(found)


def quote(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
