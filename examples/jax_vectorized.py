"""A population trained as one JAX program, on handwritten digits. Needs scikit-learn.

python examples/jax_vectorized.py
"""

import jax
from jax import numpy as jnp
from sklearn.datasets import load_digits

import ramet
import ramet.jax

pixels, digits = load_digits(return_X_y=True)
images, labels = jnp.asarray(pixels / 16, jnp.float32), jnp.asarray(digits)
learn, score, test = slice(0, 1_000), slice(1_000, 1_400), slice(1_400, None)


def loss(params, inputs, targets, keep=1.0):
    hidden = jax.nn.relu(inputs @ params["in"]) * keep
    odds = jax.nn.log_softmax(hidden @ params["out"])
    return -jnp.take_along_axis(odds, targets[:, None], axis=1).mean()


def accuracy(params, part):
    hidden = jax.nn.relu(images[part] @ params["in"])
    return ((hidden @ params["out"]).argmax(axis=1) == labels[part]).mean()


class Digits:
    def init(self, key):
        keys = jax.random.split(key)
        params = {
            "in": 0.2 * jax.random.normal(keys[0], (64, 64)),
            "out": 0.2 * jax.random.normal(keys[1], (64, 10)),
        }
        return {"params": params, "velocity": jax.tree.map(jnp.zeros_like, params)}

    def step(self, state, hparams, steps, key):
        def one(nth, state):
            at, mask = jax.random.split(jax.random.fold_in(key, nth))
            batch = jax.random.randint(at, (32,), 0, 1_000)
            keep = jax.random.bernoulli(mask, 1 - hparams["dropout"], (32, 64))
            slopes = jax.grad(loss)(
                state["params"], images[batch], labels[batch], keep / (1 - hparams["dropout"])
            )
            velocity = jax.tree.map(lambda v, slope: 0.9 * v - slope, state["velocity"], slopes)
            params = jax.tree.map(lambda w, v: w + hparams["lr"] * v, state["params"], velocity)
            return {"params": params, "velocity": velocity}

        return jax.lax.fori_loop(0, steps, one, state)

    def evaluate(self, state):
        return loss(state["params"], images[score], labels[score])


space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5), dropout=ramet.Uniform(0.0, 0.6))
strategy = ramet.FIRE.for_workers(22, turn_steps=40, evaluate_every=4)

if __name__ == "__main__":
    result = ramet.run(
        ramet.jax.Task(Digits()),
        space,
        strategy,
        steps=1_200,
        mode="min",
        engine=ramet.Vectorized(),
    )
    best = result.best.load()
    params = {name.removeprefix("params."): array for name, array in best.items()}
    print(f"{accuracy(params, test):.1%} of the test images are classified correctly")
    print(result.schedule())
