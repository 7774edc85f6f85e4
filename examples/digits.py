"""A network that classifies handwritten digits, trained as a population. Needs scikit-learn.

    ramet run examples/digits.py --workers 2 --seed 0
    ramet status runs.db digits --watch              # from another terminal
    ramet worker runs.db digits examples/digits.py   # one more worker, from a third

You can kill any of them. Run the first command again to go on.
"""

import numpy as np
from sklearn.datasets import load_digits

import ramet

HIDDEN = 64

images, labels = load_digits(return_X_y=True)
images = images / images.max()
order = np.random.default_rng(0).permutation(len(images))
learn, score = order[:1_200], order[1_200:]

space = ramet.Space(
    lr=ramet.LogUniform(1e-3, 3.0),
    momentum=ramet.Uniform(0.0, 0.99),
    dropout=ramet.Uniform(0.0, 0.6),
)
strategy = ramet.PBT(
    population=16, turn_steps=100, explore=ramet.Perturb((0.8, 1.25)), synchronous=True
)
steps = 2_000
mode = "max"


def train(session):
    pixels, digits = images.shape[1], 10
    state = {
        "in": session.rng.normal(size=(pixels, HIDDEN)) / np.sqrt(pixels),
        "out": session.rng.normal(size=(HIDDEN, digits)) / np.sqrt(HIDDEN),
    }
    # The optimiser's state follows a member, too.
    state |= {f"{name} velocity": np.zeros_like(weights) for name, weights in state.items()}
    for turn in session.turns(state):
        for _ in turn:
            batch = turn.rng.choice(learn, size=32)
            keep = turn.rng.random(HIDDEN) >= turn.hparams["dropout"]
            for name, gradient in gradients(state, images[batch], labels[batch], keep).items():
                velocity = state[f"{name} velocity"]
                velocity *= turn.hparams["momentum"]
                velocity -= turn.hparams["lr"] * gradient
                state[name] += velocity
        turn.report(accuracy(state, images[score], labels[score]))


def gradients(state, inputs, targets, keep):
    hidden = np.maximum(inputs @ state["in"], 0.0) * keep
    logits = hidden @ state["out"]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = odds / odds.sum(axis=1, keepdims=True) - np.eye(10)[targets]
    back = (error @ state["out"].T) * (hidden > 0)
    return {"in": inputs.T @ back / len(inputs), "out": hidden.T @ error / len(inputs)}


def accuracy(state, inputs, targets):
    return np.mean((np.maximum(inputs @ state["in"], 0.0) @ state["out"]).argmax(axis=1) == targets)
