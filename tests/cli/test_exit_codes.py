"""What the exit codes of `ramet worker` say to whoever started it."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest

import ramet as library
from tests.cli import quick
from tests.cli.shell import QUICK, ended, figures, ramet, started, until
from tests.frameworks import package
from tests.postgres import free_port, server

# What a worker trains that tells when a turn is under way.
SCRIPT = """
import os, time
from pathlib import Path
from tests.cli.quick import *

def train(session):
    for turn in session.turns({"x": 0.0}):
        list(turn)
        Path("begun").touch()
        time.sleep(float(os.environ["QUICK_PAUSE_S"]))
        turn.report(turn.hparams["lr"])
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    path = tmp_path / "slow.py"
    path.write_text(SCRIPT)
    return path


def begun(store: object) -> None:
    library.open(
        store, name="quick", space=quick.space, strategy=quick.strategy, steps=quick.steps,
        mode="max", seed=0,
    )  # fmt: skip


def asked_to_leave(
    script: Path, store: object, *more: object, pause_s: float, signals: int = 1
) -> tuple[int, str, str]:
    """Send SIGTERM to a worker in its first turn; return its exit code, output and errors."""
    begun(store)
    process: Any = started(
        "worker", store, "quick", script, *more, pause_s=pause_s, cwd=script.parent
    )
    until((script.parent / "begun").exists)
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    return ended(process)


def test_a_worker_ends_its_turn_before_it_leaves(script: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    code, out, err = asked_to_leave(script, store, "--grace", 60, pause_s=1.0)
    assert (code, out) == (143, "")
    assert err == (
        "ramet: this worker left run 'quick', which other workers may go on with; the same command "
        "joins it again\n"
    )
    assert (figures(store)["turns"], figures(store)["workers"]) == (1, 0)


@pytest.mark.parametrize(("grace", "signals"), [(0.2, 1), (1000, 2)])
def test_a_worker_gives_back_a_turn_that_takes_too_long(
    script: Path, tmp_path: Path, grace: float, signals: int
) -> None:
    store = tmp_path / "runs.db"
    code, out, err = asked_to_leave(
        script, store, "--grace", grace, pause_s=1000.0, signals=signals
    )
    assert (code, out) == (143, "")
    assert err.splitlines()[-1].startswith("ramet: this worker left run 'quick'")
    assert (figures(store)["turns"], figures(store)["workers"]) == (0, 0)


@pytest.mark.slow
def test_a_worker_of_a_database_holds_nothing_when_it_has_left(
    script: Path, tmp_path: Path
) -> None:
    package("psycopg")
    with server() as postgres:
        stores = [f"{postgres.url}?schema={name}&blobs={tmp_path}" for name in ("ends", "gives")]
        # The second is asked again and again.
        for store, pause_s, turns, signals in zip(
            stores, (1.0, 1000.0), (1, 0), (1, 20), strict=True
        ):
            (tmp_path / "begun").unlink(missing_ok=True)
            code, out, err = asked_to_leave(
                script, store, "--grace", 60, pause_s=pause_s, signals=signals
            )
            # A signal that comes when Python is ending ends it, which shells show as 143, too.
            assert (code in {143, -signal.SIGTERM}, out) == (True, "")
            assert err.splitlines()[-1].startswith("ramet: this worker left run 'quick'")
            assert (figures(store)["turns"], figures(store)["workers"]) == (turns, 0)
            assert "nothing wrong" in ramet("doctor", store).output


def test_a_worker_of_a_run_that_is_over_succeeds(done: Path) -> None:
    assert ramet("worker", done, "quick", QUICK).exit_code == 0


def test_a_worker_that_is_misused_says_so(done: Path, tmp_path: Path) -> None:
    assert ramet("worker", done, "quick", tmp_path / "missing.py").exit_code == 2
    assert ramet("worker", done, "quick", QUICK, "--grace", "-1").exit_code == 2
    assert ramet("worker", done, "quick", QUICK, "--grace", "soon").exit_code == 2
    assert ramet("worker", done, "quick", QUICK, "--only", "parents").exit_code == 2


def test_a_worker_of_a_run_that_is_not_there_fails(done: Path) -> None:
    assert ramet("worker", done, "other", QUICK).exit_code == 1


def test_a_store_that_cannot_be_reached_may_be_tried_again() -> None:
    package("psycopg")
    refused = ramet("worker", f"postgresql://127.0.0.1:{free_port()}/runs", "quick", QUICK)
    assert refused.exit_code == 75
