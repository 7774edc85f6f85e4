"""Ask for turns, train them anywhere, report how they went. Needs scikit-learn.

    python examples/ask_tell.py

A pool of processes trains the turns, with a function that knows nothing about ramet. It could also
be a queue of jobs on a cluster. If you kill the script and run it again, it goes on.
"""

from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

import numpy as np
from sklearn.datasets import load_digits

import ramet

images, labels = load_digits(return_X_y=True)
images = images / images.max()
learn, score = slice(0, 1_200), slice(1_200, None)

space = ramet.Space(lr=ramet.LogUniform(1e-3, 10.0), decay=ramet.LogUniform(1e-6, 0.1))
strategy = ramet.PBT(population=8, turn_steps=100)


def first_weights(rng):
    return {"w": 0.01 * rng.normal(size=(images.shape[1], 10))}


def trained(state, hparams, steps, seed):
    """Return the weights after ``steps`` steps of gradient descent, and the score."""
    rng, w = np.random.default_rng(seed), state["w"]
    for _ in range(steps):
        batch = rng.integers(1_200, size=32)
        inputs, targets = images[learn][batch], np.eye(10)[labels[learn][batch]]
        odds = np.exp(inputs @ w)
        error = odds / odds.sum(axis=1, keepdims=True) - targets
        w = w - hparams["lr"] * (inputs.T @ error / len(batch) + hparams["decay"] * w)
    right = (images[score] @ w).argmax(axis=1) == labels[score]
    return {"w": w}, float(right.mean())


if __name__ == "__main__":
    run = ramet.open("ask_tell.db", space=space, strategy=strategy, steps=1_000, mode="max", seed=0)
    with ProcessPoolExecutor(max_workers=2) as pool:
        out = {}
        while out or not run.over:
            while len(out) < 2 and (turn := run.ask()) is not None:
                state = turn.load(default=first_weights)
                seed = int(turn.rng.integers(2**32))
                values = {name: turn.hparams[name] for name in turn.hparams}
                out[pool.submit(trained, state, values, turn.steps, seed)] = turn
            for job in wait(out, return_when=FIRST_COMPLETED).done:
                turn = out.pop(job)
                try:
                    state, accuracy = job.result()
                except Exception as error:  # noqa: BLE001 - any exception is the member's failure
                    run.fail(turn, error)
                else:
                    run.tell(turn, accuracy, state=state)
    best = run.result().best
    print(f"{best.score:.1%} of {len(labels[score])} digits are classified correctly")
    for step, hparams in run.result().schedule():
        print(f"from step {step}: lr = {hparams['lr']:.2g}, decay = {hparams['decay']:.2g}")
