"""Ctrl-C, as the terminal sends it, and the signal by which others end a process."""

import signal
from pathlib import Path
from typing import Any

import pytest

from ramet.wording import count
from tests.cli.shell import QUICK, ended, figures, ramet, started, trains, until


def _begun(store: Path, *more: object) -> Any:
    """Return a `ramet run` that has ended a turn."""
    command = ("run", QUICK, "--store", store, "--steps", 400, "--seed", 0)
    process = started(*command, *more, pause_s=0.05)
    until(lambda: trains(store))
    return process


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_by_a_signal_says_how_to_go_on(
    tmp_path: Path, workers: int, number: signal.Signals, code: int
) -> None:
    store = tmp_path / "runs.db"
    process = _begun(store, "--workers", workers)
    process.send_signal(number)
    exit_code, out, err = ended(process)
    left = figures(store)
    assert (exit_code, out) == (code, "")
    assert err == (
        f"ramet: run 'quick' was stopped after {count(left['turns'], 'turn')}; no turn that ended "
        f"is lost: to go on, run the same again, with {store}\n"
    )
    assert (left["state"], left["workers"]) == ("idle", 0)
    again = ramet("run", QUICK, "--store", store, "--steps", 400, "--seed", 0)
    assert again.output.startswith("Run 'quick' is done: 5 members, 200 turns, ")


def test_a_worker_that_is_stopped_leaves_its_run_to_others(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    run = _begun(store)
    joined = started("worker", store, "quick", QUICK, pause_s=0.05)
    until(lambda: figures(store)["workers"] == 2)
    joined.send_signal(signal.SIGINT)
    code, out, err = ended(joined)
    assert (code, out) == (130, "")
    assert err.startswith("ramet: this worker left run 'quick'")
    assert figures(store)["workers"] <= 1
    run.send_signal(signal.SIGINT)
    assert ended(run)[0] == 130
