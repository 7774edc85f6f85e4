"""Runs on a real Ray cluster of several nodes, which die, as do workers and drivers."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Never

import pytest

from tests.frameworks import framework

framework("ray")
framework("psycopg", "postgres")

import ray
from ray.cluster_utils import Cluster

import ramet
from ramet.engine.run.run import Run
from ramet.errors import NotPortable, RunFailed, StrategyError
from ramet.events import canonical
from ramet.places import place
from ramet.ray.crew import Crew, Plan
from ramet.ray.keeper import StopAskedFor
from ramet.store import Store
from tests.engine.loops import Descent
from tests.engine.scripts import ROOT, findings_in, seats_in, started, wait_for
from tests.postgres import server
from tests.ray.training import SETTINGS, Halt, halting, meanwhile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    # Sockets and files that Ray leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DRIVER = """
import sys
from pathlib import Path
import ramet
from tests.ray.training import SETTINGS, Halt, halting

train = halting(Halt(Path(sys.argv[2])))
ramet.run(train, **SETTINGS, store=sys.argv[1], engine=ramet.Ray(1))
"""
SYSTEM = {
    # A node that is gone is noticed after three seconds; one that is slow is borne with for longer.
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1_000,
    "health_check_failure_threshold": 3,
    "health_check_timeout_ms": 10_000,
    # Processes that no worker would use, because each has an environment of its own.
    "prestart_worker_first_driver": False,
    "enable_worker_prestart": False,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of a head without workers, and two nodes with room for one each."""
    with pytest.MonkeyPatch.context() as patch:
        # For processes that Ray starts.
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": SYSTEM}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def whole() -> ramet.Result:
    return ramet.run(Descent(), **SETTINGS)


class Other:
    """An actor that is no worker."""

    def begin(self) -> None:
        pass


def said_in(cluster: Cluster) -> str:
    """Return what the processes of the cluster have logged."""
    logs = Path(cluster.head_node.get_logs_dir_path()).glob("worker-*.err")
    return "".join(path.read_text(errors="replace") for path in logs)


def test_a_worker_that_is_killed_changes_nothing(
    cluster: Cluster, whole: ramet.Result, tmp_path: Path
) -> None:
    halt = Halt(tmp_path / "halt")

    def kill() -> None:
        ((_, pid),) = wait_for(halt.reached)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(halt.reached()) == 2)
        halt.let_go()

    with server() as database:
        store = f"{database.url}?blobs={tmp_path / 'checkpoints'}"
        with meanwhile(kill):
            result = ramet.run(halting(halt), **SETTINGS, store=store, engine=ramet.Ray())
        assert canonical(result.events) == canonical(whole.events)
        assert findings_in(store) == []
    # It counts against the turn, as the machine is well.
    assert ".1 died: " in said_in(cluster)
    assert "was lost with its machine" not in said_in(cluster)


def test_if_what_keeps_the_workers_dies_ray_starts_it_again(
    cluster: Cluster, whole: ramet.Result, tmp_path: Path
) -> None:
    store, halt = tmp_path / "runs.db", Halt(tmp_path / "halt")

    def kill() -> None:
        wait_for(halt.reached)
        (worker,) = [seat.worker for seat in seats_in(store) if seat.worker]
        os.kill(int(worker.rsplit("-", 3)[1]), signal.SIGKILL)
        wait_for(lambda: len(halt.reached()) == 2)
        halt.let_go()

    with meanwhile(kill):
        result = ramet.run(halting(halt), **SETTINGS, store=store, engine=ramet.Ray(1))
    assert canonical(result.events) == canonical(whole.events)


@pytest.mark.parametrize("first", ["node", "worker"])
def test_a_node_that_is_lost_changes_nothing(
    cluster: Cluster, whole: ramet.Result, tmp_path: Path, first: str
) -> None:
    store, halt = tmp_path / "runs.db", Halt(tmp_path / "halt")

    def lose() -> None:
        ((lost, pid),) = wait_for(halt.reached)
        if first == "worker":
            # Its node reports the death, and falls before Ray has noticed that it will.
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
        (node,) = (each for each in cluster.worker_nodes if each.node_id == lost)
        cluster.remove_node(node, allow_graceful=False)
        wait_for(lambda: len(halt.reached()) == 2)
        halt.let_go()

    said = said_in(cluster).count("-0.1 was lost with its machine: ")
    with meanwhile(lose):
        result = ramet.run(halting(halt), **SETTINGS, store=store, engine=ramet.Ray(1))
    cluster.add_node(num_cpus=1)
    assert canonical(result.events) == canonical(whole.events)
    assert len({node for node, _ in halt.reached()}) == 2
    # So that it does not count against the turn.
    assert said_in(cluster).count("-0.1 was lost with its machine: ") == said + 1
    assert findings_in(store) == []


def test_a_death_on_a_node_that_is_gone_does_not_count_against_the_turn(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halt = Halt(tmp_path / "halt")

    def follow(_: Run, __: Store, plan: Plan, packed: bytes) -> Never:
        with Crew(plan, packed, name="crew") as crew:
            crew.start_all()
            ((_, pid),) = wait_for(halt.reached)
            # As Ray has it once it knows of the loss.
            monkeypatch.setattr("ramet.ray.crew.answers", lambda _: False)
            os.kill(pid, signal.SIGKILL)
            (ended,) = wait_for(lambda: list(crew.reap()))
        assert ended.machine
        assert ended.how.startswith("was lost with its machine: its worker process has died")
        raise StopAskedFor

    monkeypatch.setattr("ramet.ray.driver.Driver", follow)
    with pytest.raises(StopAskedFor):
        ramet.run(halting(halt), **SETTINGS, store=tmp_path / "runs.db", engine=ramet.Ray(1))


def test_a_run_goes_on_without_its_driver_and_another_call_follows_it(
    cluster: Cluster, whole: ramet.Result, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, halt = tmp_path / "runs.db", Halt(tmp_path / "halt")
    script = tmp_path / "train.py"
    script.write_text(DRIVER)
    environment = {"RAY_ADDRESS": cluster.address, "PYTHONPATH": os.environ["PYTHONPATH"]}
    with started(script, str(store), str(tmp_path / "halt"), **environment) as driver:
        wait_for(halt.reached)
        driver.kill()

    def let_go() -> None:
        wait_for(lambda: "is at work on Ray" in caplog.text)
        halt.let_go()

    with meanwhile(let_go), caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.run(halting(halt), **SETTINGS, store=store, engine=ramet.Ray())
    assert "this call follows 1 worker that another call has started" in caplog.text
    assert canonical(result.events) == canonical(whole.events)
    # The turn that was in flight went on.
    assert len(halt.reached()) == 1


def test_an_interrupt_stops_the_workers_and_the_same_call_goes_on(
    cluster: Cluster, whole: ramet.Result, tmp_path: Path
) -> None:
    store, halt = tmp_path / "runs.db", Halt(tmp_path / "halt")

    def interrupt() -> None:
        wait_for(halt.reached)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with meanwhile(interrupt), pytest.raises(KeyboardInterrupt, match="run the same again"):
        ramet.run(halting(halt), **SETTINGS, store=store, engine=ramet.Ray(1))
    assert [seat.worker for seat in seats_in(store)] == [None] * 5
    halt.let_go()
    result = ramet.run(halting(halt), **SETTINGS, store=store, engine=ramet.Ray(1))
    assert canonical(result.events) == canonical(whole.events)


def test_an_error_of_a_worker_is_raised_with_its_traceback(cluster: Cluster) -> None:
    def train(session: ramet.Session) -> None:
        for _ in session.turns({"w": 0.0}):
            raise ZeroDivisionError("of a test")

    with pytest.raises(RunFailed, match="ZeroDivisionError: of a test") as failed:
        ramet.run(train, **SETTINGS, engine=ramet.Ray(1))
    assert 'raise ZeroDivisionError("of a test")' in str(failed.value.__cause__)


def test_workers_that_no_node_has_room_for_are_refused_before_there_is_a_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    engine = ramet.Ray(num_gpus=1)
    with pytest.raises(StrategyError, match=r"needs 1 CPU and 1 GPU, and .* has 1 CPU.*grows=True"):
        ramet.run(Descent(), **SETTINGS, store=tmp_path / "runs.db", engine=engine)
    assert place(tmp_path / "runs.db").store.runs() == []


def test_workers_that_wait_for_what_others_use_say_so(
    cluster: Cluster,
    whole: ramet.Result,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("ramet.ray.driver.FIRST_SAID_S", 0.5)
    others = [ray.remote(Other).options(num_cpus=1).remote() for _ in range(2)]
    ray.get([other.begin.remote() for other in others])

    def leave() -> None:
        wait_for(lambda: "no worker of run 'run' has begun on Ray" in caplog.text)
        for other in others:
            ray.kill(other)

    with meanwhile(leave), caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.run(Descent(), **SETTINGS, store=tmp_path / "runs.db", engine=ramet.Ray(1))
    assert "each needs 1 CPU on one node, and of this, all nodes together have 0 CPU" in caplog.text
    assert canonical(result.events) == canonical(whole.events)


def test_what_cannot_be_sent_is_named(cluster: Cluster) -> None:
    lock = threading.Lock()

    def train(session: ramet.Session) -> None:
        lock.acquire()

    with pytest.raises(NotPortable, match="'lock' of the run's train"):
        ramet.run(train, **SETTINGS, engine=ramet.Ray())
