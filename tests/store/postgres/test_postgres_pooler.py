"""A pooler that gives each transaction another session changes nothing."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ramet
from ramet.events import canonical
from ramet.store import Store
from ramet.testing import FakeClock, FakeProcesses
from ramet.testing.store import StoreContract
from tests.engine.loops import SPACE, descent_loop, pbt
from tests.frameworks import package, program
from tests.postgres import PASSWORD, Postgres, free_port

package("psycopg")
import psycopg

from ramet.store import PostgresStore

# How long anything may take on a machine that is busy.
PATIENCE_S = 60.0
CONFIGURATION = """
[databases]
postgres = host=127.0.0.1 port={server} dbname=postgres user=tests password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = 3
unix_socket_dir =
"""


@pytest.fixture(scope="module")
def pooler(postgres: Postgres) -> Iterator[int]:
    """Return the port of a pooler in front of the server."""
    bouncer, port = program("pgbouncer"), free_port()
    # In the server's folder, which its user can read.
    configuration = postgres.folder / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(server=postgres.port, port=port, password=PASSWORD)
    )
    process = subprocess.Popen(
        [bouncer, "-q", configuration],
        # It refuses root, as the server does.
        user=postgres.user,
        cwd=postgres.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(postgres.url_of(port), process)
        yield port
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Connect as soon as the pooler listens."""
    limit = time.monotonic() + PATIENCE_S
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > limit or process.poll() is not None:
                raise
            time.sleep(0.02)
        else:
            return


@pytest.fixture
def pooled(pooler: int, postgres: Postgres, url: str) -> str:
    """Return the URL of a store through the pooler."""
    return url.replace(str(postgres.port), str(pooler))


class TestPooledStore(StoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, processes: FakeProcesses, pooled: str) -> Iterator[Store]:
        store = PostgresStore(pooled, clock=clock, processes=processes)
        yield store
        store.close()


def test_workers_train_through_a_pooler(pooled: str, tmp_path: Path) -> None:
    result = ramet.run(
        descent_loop, SPACE, pbt(synchronous=True), steps=24, mode="max", seed=0, workers=3,
        store=f"{pooled}&blobs={tmp_path}",
    )  # fmt: skip
    alone = ramet.run(descent_loop, SPACE, pbt(synchronous=True), steps=24, mode="max", seed=0)
    assert canonical(result.events) == canonical(alone.events)


def test_a_wait_through_a_pooler_ends_by_itself(pooled: str) -> None:
    assert not PostgresStore(pooled).wait("lm", most_s=0.01)
