"""What the tests of the command line train: members that climb towards lr = 1, in no time."""

import os
import time

import numpy as np

import ramet

# Seconds that a turn takes: for tests that look at, or stop, a run at work.
PAUSE_S = float(os.environ.get("QUICK_PAUSE_S", "0"))

space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
strategy = ramet.PBT(population=5, turn_steps=10)
steps = 40
mode = "max"


def train(session: ramet.Session) -> None:
    state = {"x": np.zeros(1)}
    for turn in session.turns(state):
        for _ in turn:
            state["x"] += turn.hparams["lr"]
        time.sleep(PAUSE_S)
        turn.report(state["x"][0])
