"""Image classification: which learning rates a population finds for a network on Fashion-MNIST.

    python -m experiments.image --quick
    python -m experiments.image
    python -m experiments.image --variant clean

The counterpart of FIRE PBT's first experiment (Dalibard & Jaderberg, 2021, table 1), in which
ResNet-50 learns ImageNet, and the learning rate is searched. Here networks learn Fashion-MNIST by
SGD with momentum. The variants:

- ``image``: a linear one at 7 by 7 pixels, with batches of 4, and labels of which 40 % were drawn
  anew, so that gradients are noisy and the rate must be annealed.
- ``clean``: the same with the true labels.
- ``large-batches``: with true labels and batches of 256, where being greedy should do no harm.
- ``one-layer`` and ``residual``: a hidden layer, or convolutions, at 7 by 7 pixels, with drawn
  labels and batches of 16.

The score is the accuracy on 5,000 images that are not trained on, and have true labels; on 2,000 of
them for networks with hidden layers, which take longer.

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

import ramet
import ramet.jax
from experiments import fashion_mnist
from experiments.classifier import Classifier, ScheduleFree
from experiments.compiling import keep_programs
from experiments.fashion_mnist import TRAINING, Images
from experiments.image_regimes import QUICK, REGIMES, SIDE, Regime
from experiments.networks import NETWORKS
from experiments.optuna_search import Trainer, search
from experiments.trials import Experiment, Setting, run_experiment

SPACE = ramet.Space(lr=ramet.LogUniform(1e-5, 1.0))
FACTORS = (0.5, 0.8, 1.25, 2.0)
MEMBERS = 22
# Parts of the training.
WARMUP, DECAY = 0.04, 0.2
AVERAGE = ramet.PolynomialAverage(power=8, of="params")


# The seed of the labels that are drawn.
LABELS_SEED = 0


@functools.cache
def _load(regime: Regime, *, schedule_free: bool, whole: bool) -> Classifier:
    """Return the task, which trains on the ``whole`` training set or leaves out what scores."""
    images = fashion_mnist.load("train", side=SIDE)
    _, score = images.split(TRAINING)
    score, _ = score.split(regime.scored_images)
    drawn = fashion_mnist.draw_labels(images, regime.drawn_labels, seed=LABELS_SEED)
    train, _ = drawn.split(TRAINING)
    kind = ScheduleFree if schedule_free else Classifier
    return kind(drawn if whole else train, score, regime.batch, NETWORKS[regime.network])


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


def stable(part: float) -> float:
    """Warm up, stay, and decay over the last fifth, as a factor of the rate."""
    return min(1.0, part / WARMUP, (1.0 - part) / DECAY)


def warm_stable_decay(members: int, regime: Regime, first: list[dict[str, Any]]) -> ramet.Strategy:
    """Random search over the rate of warm-up, stable and decay."""
    return ramet.HandTuned(
        population=members,
        turn_steps=regime.turn_steps,
        evaluate_every=regime.evaluate_every,
        shapes={"lr": stable},
        synchronous=True,
        initial=first,
    )


def constant(members: int, regime: Regime, first: list[dict[str, Any]]) -> ramet.Strategy:
    """Random search over constant rates."""
    return ramet.RandomSearch(
        population=members,
        turn_steps=regime.turn_steps,
        evaluate_every=regime.evaluate_every,
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
    members: int = MEMBERS
    # Whether members are scored by their averaged weights.
    averaged: bool = False
    # Whether they learn by Schedule-Free SGD.
    schedule_free: bool = False


METHODS = {
    "random-22": Method(cosine),
    "random-50": Method(cosine, 50),
    "pbt-22": Method(pbt),
    "pbt-50": Method(pbt, 50),
    "fire-22": Method(fire),
    "fire-36": Method(fire, 36),
    "fire-50": Method(fire, 50),
    "stable-22": Method(warm_stable_decay),
    "schedule-free-22": Method(constant, schedule_free=True),
    "constant-22": Method(constant),
    "pbt-averaged-22": Method(pbt, averaged=True),
    "fire-averaged-22": Method(fire, averaged=True),
}
# Searches that know nothing of populations, with as many steps as 22 members.
OPTUNA = {"optuna-median": "median", "optuna-hyperband": "hyperband"}
PAIRS = (
    ("fire-22", "pbt-22"),
    ("fire-50", "pbt-50"),
    ("fire-22", "random-22"),
    ("fire-22/replay", "pbt-22/replay"),
    ("fire-22/replay", "random-22/replay"),
    ("fire-50", "random-50"),
    ("pbt-averaged-22", "fire-22"),
    ("pbt-averaged-22", "random-22"),
    ("fire-22", "stable-22"),
    ("fire-22", "schedule-free-22"),
    ("fire-22", "optuna-median"),
)


def train(variant: str, name: str, seed: int, setting: Setting) -> dict[str, float]:
    """Train a population, and a fresh network with its schedule; return the accuracies."""
    regime = (QUICK if setting.quick else REGIMES)[variant]
    if name in OPTUNA:
        return train_by_optuna(OPTUNA[name], regime, seed)
    method = METHODS[name]
    keep_programs(setting)
    part, whole = (
        _load(regime, schedule_free=method.schedule_free, whole=which) for which in (False, True)
    )
    task, again = (_make_task(method, functions) for functions in (part, whole))
    rng = np.random.default_rng(seed)
    first_rates = ramet.LogUniform(*regime.first)
    first = [{"lr": first_rates.sample(rng)} for _ in range(method.members)]
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
    replayed = ramet.replay(
        again,
        result.schedule(),
        seeds=[seed],
        store=setting.store,
        name=f"{variant}-{name}-{seed}-whole",
        # One network, of which no number at once need be measured.
        engine=ramet.Inline(progress=False),
    )
    return {
        "validation": 100 * result.best.score,
        "test": _test(part, task.as_state(result.best.load())),
        # Its score is of images that it was trained on, so there is no best to choose by.
        "replay": _test(whole, again.as_state(replayed.result.final.load())),
    }


def train_by_optuna(pruner: str, regime: Regime, seed: int) -> dict[str, float]:
    """Search with Optuna, with the steps of 22 members; return the accuracies."""
    part, whole = (_load(regime, schedule_free=False, whole=which) for which in (False, True))
    trainer = Trainer(part, regime.rounds, regime.turn_steps)
    found = search(trainer, pruner, peaks=regime.first, rounds=MEMBERS * regime.rounds, seed=seed)
    again = Trainer(whole, regime.rounds, regime.turn_steps)
    replayed = again.train_all(found.peak, jax.random.key(seed))
    return {
        "validation": 100 * found.score,
        "test": _test(part, found.state),
        "replay": _test(whole, replayed),
    }


def _make_task(method: Method, functions: Classifier) -> ramet.jax.Task:
    return ramet.jax.Task(functions, average=AVERAGE if method.averaged else None)


def _test(functions: Classifier, state: Any) -> float:
    """Return the accuracy of a state on test images, in percent."""
    return 100 * float(functions.accuracy(state["params"], _load_test()))


def settings(variant: str, *, quick: bool) -> dict[str, Any]:
    """Return what results depend on."""
    regime = (QUICK if quick else REGIMES)[variant]
    return {
        "batch": regime.batch,
        "drawn_labels": regime.drawn_labels,
        "steps": regime.steps,
        "turn_steps": regime.turn_steps,
        "evaluate_every": regime.evaluate_every,
        "network": regime.network,
        "side": SIDE,
        "first_rates": regime.first,
        "validation_images": regime.scored_images,
    }


EXPERIMENTS = [
    Experiment(
        name=variant,
        train=functools.partial(train, variant),
        methods=[*METHODS, *OPTUNA],
        settings=functools.partial(settings, variant),
        compared="test",
        headings={"validation": "validation, %", "test": "test, %", "replay": "replay, test, %"},
        pairs=PAIRS,
    )
    for variant in REGIMES
]

if __name__ == "__main__":
    run_experiment(EXPERIMENTS, __doc__)
