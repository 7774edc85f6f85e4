"""Stores that benchmarks measure: a file, or a PostgreSQL server that is started for them.

With `--store postgresql`, the programs of a server must be installed (Debian: `postgresql`). The
server is on loopback, with the settings that it comes with: what is committed with
`durability="power"` is on the disk. `--store` may also be the URL of a server that is there.
"""

import argparse
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ramet
from ramet.blobs import DirectoryBlobs
from ramet.store import Durability


def add_store(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--store", default="sqlite", metavar="sqlite|postgresql|URL", help="where runs are recorded"
    )


@contextmanager
def database(store: str) -> Iterator[str | None]:
    """Provide the URL of a database, or None for files."""
    if store == "sqlite":
        yield None
    elif store == "postgresql":
        from tests.postgres import server  # noqa: PLC0415 - only where there is one

        with server(safe=True) as made:
            yield made.url
    else:
        yield store


@contextmanager
def empty_store(url: str | None, durability: Durability) -> Iterator[tuple[ramet.Storage, Path]]:
    """Provide a new store, and the folder that its files are in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if url is None:
            yield ramet.Storage(folder / "runs.db", durability=durability), folder
        else:
            blobs = DirectoryBlobs(folder / "checkpoints", durability=durability)
            yield ramet.Storage(name_schema(url), blobs=blobs, durability=durability), folder


def name_schema(url: str) -> str:
    """Return the URL of a new store in a database."""
    glue = "&" if "?" in url else "?"
    return f"{url}{glue}schema=bench_{secrets.token_hex(4)}"


def called(store: str) -> str:
    """Return what figures call a store: no secrets."""
    return store if "://" not in store else "postgresql"
