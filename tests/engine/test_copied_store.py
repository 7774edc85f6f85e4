"""Runs whose training code copies the store's files, while other processes look at it."""

import subprocess
import sys
from pathlib import Path

import pytest

import ramet
from tests.cli.shell import called, figures, trains, until

# Copies the store in each turn, and says in a file how many turns have ended.
SCRIPT = """
import shutil, sys
import numpy as np
import ramet

path = sys.argv[1]
ended = set()


def train(session):
    state = {"w": session.rng.normal(size=8)}
    for turn in session.turns(state):
        with open(f"{path}.ended", "w") as file:
            file.write(str(len(ended)))
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{path}{suffix}", f"{path}.bak{suffix}")
        for _ in turn:
            state["w"] -= turn.hparams["lr"] * state["w"]
        turn.report(np.mean(state["w"] ** 2))
        ended.add((turn.member, turn.number))


space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
strategy = ramet.PBT(population=5, turn_steps=5)
ramet.run(train, space, strategy, steps=10_000_000, mode="min", seed=0, store=path)
"""


def ended(store: Path) -> int:
    text = Path(f"{store}.ended").read_text() if Path(f"{store}.ended").exists() else ""
    return int(text or 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the locks")
def test_no_ended_turn_is_lost_when_a_run_that_copies_its_store_is_killed(tmp_path: Path) -> None:
    store, script = tmp_path / "runs.db", tmp_path / "train.py"
    script.write_text(SCRIPT)
    run = subprocess.Popen([sys.executable, script, store], stderr=subprocess.DEVNULL)
    until(lambda: trains(store))
    for _ in range(3):
        turns = ended(store)
        assert called("status", store)[0] == 0
        until(lambda: ended(store) > turns)  # noqa: B023 - called at once
    run.kill()
    run.wait()
    # The last turn that was reported may have been about to be committed.
    assert figures(store)["turns"] >= ended(store) - 1
    assert called("doctor", store)[0] == 0
    assert len(ramet.history.load(store).log) > 1
