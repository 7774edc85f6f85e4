"""The tables of a PostgreSQL store: created and migrated by whichever process comes first."""

import functools

from ramet.store import statements
from ramet.store.postgres import refusals
from ramet.store.postgres.address import USUAL_SCHEMA, Address
from ramet.store.postgres.transaction import Transaction

PACKAGE = "ramet.store.postgres"


@functools.cache
def queries_in(schema: str) -> dict[str, bytes]:
    """Return each query by its name, for tables in a schema of this name."""
    found = statements.queries(PACKAGE)
    return {name: _in_schema(text, schema) for name, text in found.items()}


def read_version(transaction: Transaction, schema: str) -> int:
    """Return how many migrations the tables have had; 0 if there are none."""
    queries = queries_in(schema)
    (exists,) = transaction.ask(queries["exists"]).fetchone() or (False,)
    if not exists:
        return 0
    (version,) = transaction.ask(queries["version"]).fetchone() or (0,)
    return int(version)


def check_version(address: Address, version: int, *, read_only: bool) -> bool:
    """Say whether tables must be created or migrated; raise if they cannot be used at all."""
    newest = len(statements.migrations(PACKAGE))
    if version > newest:
        raise refusals.newer_tables(address, version, newest)
    if version == 0 and read_only:
        raise refusals.no_tables(address)
    return version < newest


def migrate(transaction: Transaction, schema: str) -> None:
    """Create or migrate the tables, in a transaction that writes."""
    queries = queries_in(schema)
    transaction.write(queries["lock_schema"])
    # Another process may have done it meanwhile.
    version, scripts = read_version(transaction, schema), statements.migrations(PACKAGE)
    if version >= len(scripts):
        return
    there = transaction.ask(queries["schema_exists"], {"schema": schema}).fetchone()
    if there is None:
        transaction.write(_in_schema(f"CREATE SCHEMA {USUAL_SCHEMA}", schema))
    for script in scripts[version:]:
        for statement in statements.statements(script):
            transaction.write(_in_schema(statement, schema))
    kind = "set_version" if version else "add_version"
    transaction.write(queries[kind], {"version": len(scripts)})


def _in_schema(text: str, schema: str) -> bytes:
    """Put another name of the schema in the place of the usual one; neither needs quotes."""
    named = text.replace(f"{USUAL_SCHEMA}.", f"{schema}.")
    return named.replace(f"SCHEMA {USUAL_SCHEMA}", f"SCHEMA {schema}").encode()
