"""Image classification: which learning rates a population finds for a network on Fashion-MNIST.

    python -m experiments.image --quick
    python -m experiments.image
    python -m experiments.image --variant clean
    python -m experiments.image --variant large-batches

The counterpart of FIRE PBT's first experiment (Dalibard & Jaderberg, 2021, table 1), in which
ResNet-50 learns ImageNet, and the learning rate is searched. Here a network with one hidden layer
learns Fashion-MNIST at 14 by 14 pixels, by SGD with momentum. ``image`` has batches of 16, and
labels of which 40 % were drawn anew, so that gradients are noisy and the rate must be annealed.
``clean`` has the true labels. ``large-batches`` has these and batches of 256, where being greedy
should do no harm. The score is the accuracy on 5,000 images that are not trained on, and have true
labels.

Each trial trains a population, and tests its best weights on the 10,000 test images. It then trains
a fresh network with the schedule on all 60,000 training images, and tests that. ``test`` and
``replay`` are these accuracies in percent, and ``validation`` the best score.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

import ramet
import ramet.jax
from experiments import fashion_mnist
from experiments.fashion_mnist import TRAINING, VALIDATION, Images
from experiments.trials import Experiment, Setting, run_experiment
from ramet.history import Snapshot

SPACE = ramet.Space(lr=ramet.LogUniform(1e-5, 1.0))
# The decades of first rates. The others are there to be reached.
FIRST = ramet.LogUniform(1e-3, 1e-1)
FACTORS = (0.5, 0.8, 1.25, 2.0)
MOMENTUM = 0.9
HIDDEN = 64
SIDE = 14
AVERAGE = ramet.PolynomialAverage(power=8, of="params")


@dataclass(frozen=True, slots=True)
class Regime:
    """How a network is trained."""

    batch: int
    rounds: int
    turn_steps: int
    # The part of the training images with labels that were drawn anew.
    drawn_labels: float = 0.0
    # Scores in a turn.
    scores: int = 8

    @property
    def steps(self) -> int:
        """The steps of each member."""
        return self.rounds * self.turn_steps

    @property
    def evaluate_every(self) -> int:
        """Steps between two scores."""
        return self.turn_steps // self.scores


REGIMES = {
    "image": Regime(16, 25, 480, drawn_labels=0.4),
    "clean": Regime(16, 25, 480),
    "large-batches": Regime(256, 25, 80),
}
QUICK = {
    "image": Regime(16, 4, 40, drawn_labels=0.4),
    "clean": Regime(16, 4, 40),
    "large-batches": Regime(256, 4, 16),
}
# The seed of the labels that are drawn.
LABELS_SEED = 0


class Classifier:
    """A network with one hidden layer, and the images that it learns from and is scored by."""

    def __init__(self, train: Images, score: Images, batch: int) -> None:
        self._pixels = jnp.asarray(train.pixels.reshape(-1, SIDE**2))
        self._labels = jnp.asarray(train.labels)
        self._score = score
        self._batch = batch

    def init(self, key: Any) -> Any:
        """Return a first state."""
        keys = jax.random.split(key)
        params = {
            "in": jax.random.normal(keys[0], (SIDE**2, HIDDEN)) * (2 / SIDE**2) ** 0.5,
            "in_bias": jnp.zeros(HIDDEN),
            "out": jax.random.normal(keys[1], (HIDDEN, fashion_mnist.CLASSES)) * HIDDEN**-0.5,
            "out_bias": jnp.zeros(fashion_mnist.CLASSES),
        }
        return {"params": params, "velocity": jax.tree.map(jnp.zeros_like, params)}

    def step(self, state: Any, hparams: Any, steps: int, key: Any) -> Any:
        """Train for some steps."""

        def one(nth: Any, state: Any) -> Any:
            at = jax.random.fold_in(key, nth)
            batch = jax.random.randint(at, (self._batch,), 0, len(self._labels))
            slopes = jax.grad(_loss)(state["params"], self._pixels[batch], self._labels[batch])
            velocity = jax.tree.map(lambda v, s: MOMENTUM * v - s, state["velocity"], slopes)
            params = jax.tree.map(lambda w, v: w + hparams["lr"] * v, state["params"], velocity)
            return {"params": params, "velocity": velocity}

        return jax.lax.fori_loop(0, steps, one, state)

    def evaluate(self, state: Any) -> Any:
        """Return the accuracy on the images that score."""
        return accuracy(state["params"], self._score)


def _outputs(params: Any, pixels: Any) -> Any:
    hidden = jax.nn.relu(pixels @ params["in"] + params["in_bias"])
    return hidden @ params["out"] + params["out_bias"]


def _loss(params: Any, pixels: Any, labels: Any) -> Any:
    odds = jax.nn.log_softmax(_outputs(params, pixels))
    return -jnp.take_along_axis(odds, labels[:, None], axis=1).mean()


def accuracy(params: Any, images: Images) -> Any:
    """Return the share of images that are classified correctly."""
    found = _outputs(params, images.pixels.reshape(-1, SIDE**2)).argmax(axis=1)
    return (found == images.labels).mean()


@functools.cache
def _load(regime: Regime, *, whole: bool) -> Classifier:
    """Return the task, which trains on the ``whole`` training set or leaves out what scores."""
    images = fashion_mnist.load("train", side=SIDE)
    _, score = images.split(TRAINING)
    drawn = fashion_mnist.draw_labels(images, regime.drawn_labels, seed=LABELS_SEED)
    train, _ = drawn.split(TRAINING)
    return Classifier(drawn if whole else train, score, regime.batch)


@functools.cache
def _load_test() -> Images:
    return fashion_mnist.load("t10k", side=SIDE)


def cosine(members: int, regime: Regime, first: list[dict[str, Any]]) -> ramet.Strategy:
    """Random search over the peak of a cosine to zero, with a warm-up of one round."""
    return ramet.HandTuned(
        population=members,
        turn_steps=regime.turn_steps,
        evaluate_every=regime.evaluate_every,
        shapes={"lr": ramet.Cosine(warmup=1 / regime.rounds)},
        synchronous=True,
        initial=first,
    )


def pbt(members: int, regime: Regime, first: list[dict[str, Any]]) -> ramet.Strategy:
    """PBT with FIRE's factors."""
    return ramet.PBT(
        population=members,
        turn_steps=regime.turn_steps,
        evaluate_every=regime.evaluate_every,
        explore=ramet.Perturb(FACTORS),
        synchronous=True,
        initial=first,
    )


def fire(members: int, regime: Regime, first: list[dict[str, Any]]) -> ramet.Strategy:
    """FIRE as in the paper."""
    strategy = ramet.FIRE.for_workers(
        members, turn_steps=regime.turn_steps, evaluate_every=regime.evaluate_every
    )
    return ramet.FIRE.for_workers(
        members,
        turn_steps=regime.turn_steps,
        evaluate_every=regime.evaluate_every,
        initial=first[: strategy.size],
    )


@dataclass(frozen=True, slots=True)
class Method:
    """A strategy with a number of members that train at a time."""

    strategy: Callable[[int, Regime, list[dict[str, Any]]], ramet.Strategy]
    members: int = 22
    # Whether members are scored by their averaged weights.
    averaged: bool = False


METHODS = {
    "random-22": Method(cosine),
    "random-50": Method(cosine, 50),
    "pbt-22": Method(pbt),
    "pbt-50": Method(pbt, 50),
    "fire-22": Method(fire),
    "fire-36": Method(fire, 36),
    "fire-50": Method(fire, 50),
    "pbt-averaged-22": Method(pbt, averaged=True),
    "fire-averaged-22": Method(fire, averaged=True),
}
PAIRS = (
    ("fire-22", "pbt-22"),
    ("fire-50", "pbt-50"),
    ("fire-22", "random-22"),
    ("fire-50", "random-50"),
    ("pbt-averaged-22", "fire-22"),
    ("pbt-averaged-22", "random-22"),
)


def train(variant: str, name: str, seed: int, setting: Setting) -> dict[str, float]:
    """Train a population, and a fresh network with its schedule; return the accuracies."""
    method, regime = METHODS[name], (QUICK if setting.quick else REGIMES)[variant]
    task = _make_task(method, _load(regime, whole=False))
    rng = np.random.default_rng(seed)
    first = [{"lr": FIRST.sample(rng)} for _ in range(method.members)]
    result = ramet.run(
        task,
        SPACE,
        method.strategy(method.members, regime, first),
        steps=regime.steps,
        mode="max",
        seed=seed,
        store=setting.store,
        name=f"{variant}-{name}-{seed}",
        engine=setting.engine,
    )
    whole = _make_task(method, _load(regime, whole=True))
    schedule, again = result.schedule(), f"{variant}-{name}-{seed}-whole"
    replayed = ramet.replay(
        whole, schedule, seeds=[seed], store=setting.store, name=again, engine=setting.engine
    )
    return {
        "validation": 100 * result.best.score,
        "test": _test(task, result.best),
        # Its score is of images that it was trained on, so there is no best to choose by.
        "replay": _test(whole, replayed.result.final),
    }


def _make_task(method: Method, functions: Classifier) -> ramet.jax.Task:
    return ramet.jax.Task(functions, average=AVERAGE if method.averaged else None)


def _test(task: ramet.jax.Task, kept: Snapshot) -> float:
    """Return the accuracy of weights on test images, in percent."""
    return 100 * float(accuracy(task.as_state(kept.load())["params"], _load_test()))


def settings(variant: str, *, quick: bool) -> dict[str, Any]:
    """Return what results depend on."""
    regime = (QUICK if quick else REGIMES)[variant]
    return {
        "batch": regime.batch,
        "drawn_labels": regime.drawn_labels,
        "steps": regime.steps,
        "turn_steps": regime.turn_steps,
        "evaluate_every": regime.evaluate_every,
        "hidden": HIDDEN,
        "side": SIDE,
        "validation_images": VALIDATION,
    }


EXPERIMENTS = [
    Experiment(
        name=variant,
        train=functools.partial(train, variant),
        methods=list(METHODS),
        settings=functools.partial(settings, variant),
        compared="test",
        headings={"validation": "validation, %", "test": "test, %", "replay": "replay, test, %"},
        pairs=PAIRS,
    )
    for variant in REGIMES
]

if __name__ == "__main__":
    run_experiment(EXPERIMENTS, __doc__)
