"""What the files in this folder train: members climb, and faster with a higher learning rate."""

import time

import numpy as np

import ramet

space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
strategy = ramet.PBT(population=8, turn_steps=10)
steps = 400
mode = "max"


def train(session):
    state = {"x": np.zeros(1)}
    for turn in session.turns(state):
        for _ in turn:
            state["x"] += turn.hparams["lr"]
            time.sleep(0.01)
        turn.report(state["x"][0])
