"""What Optuna finds with the steps of a population: the peak of a cosine, with pruning."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

import ramet
from experiments.classifier import Classifier


class Found(NamedTuple):
    """The best network that a search trained to its end."""

    score: float
    peak: float
    state: Any


class Trainer:
    """Trains one network round by round.

    Args:
        functions: What it is trained with.
        rounds: How many rounds there are.
        turn_steps: The steps of each.
    """

    def __init__(self, functions: Classifier, rounds: int, turn_steps: int) -> None:
        self.rounds, self.turn_steps = rounds, turn_steps
        self._shape = ramet.Cosine(warmup=1 / rounds)
        self._init, self._evaluate = functions.init, jax.jit(functions.evaluate)
        self._step = jax.jit(functools.partial(functions.step, steps=turn_steps))

    def begin(self, key: Any) -> Any:
        """Return a first state."""
        return self._init(key)

    def train(self, state: Any, peak: float, nth: int, key: Any) -> Any:
        """Return the state after a round, with the rate in the middle of it."""
        rate = peak * self._shape((nth + 0.5) / self.rounds)
        return self._step(state, {"lr": rate}, key=jax.random.fold_in(key, nth))

    def score(self, state: Any) -> float:
        """Return the accuracy on the images that score."""
        return float(self._evaluate(state))

    def train_all(self, peak: float, key: Any) -> Any:
        """Return the state of a network that was trained to its end."""
        beginning, training = jax.random.split(key)
        state = self.begin(beginning)
        for nth in range(self.rounds):
            state = self.train(state, peak, nth, training)
        return state


def search(
    trainer: Trainer, pruner: str, *, peaks: tuple[float, float], rounds: int, seed: int
) -> Found:
    """Search with Optuna's TPE until a number of rounds is used up.

    Args:
        trainer: Trains the networks.
        pruner: "median" or "hyperband".
        peaks: Between which the peak is searched.
        rounds: The rounds of all networks together.
        seed: The seed.
    """
    try:
        import optuna  # noqa: PLC0415 - says how to install it
    except ImportError:
        raise SystemExit("this experiment needs Optuna: make .venv/experiments") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruners: Mapping[str, Any] = {
        "median": optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
        "hyperband": optuna.pruners.HyperbandPruner(
            min_resource=1, max_resource=trainer.rounds, reduction_factor=3
        ),
    }
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruners[pruner])
    best: Found | None = None
    left, number = rounds, 0
    while left >= trainer.rounds:
        trial, key = study.ask(), jax.random.fold_in(jax.random.key(seed), number)
        peak = trial.suggest_float("peak", *peaks, log=True)
        beginning, training = jax.random.split(key)
        state, score, pruned = trainer.begin(beginning), 0.0, False
        for nth in range(trainer.rounds):
            state = trainer.train(state, peak, nth, training)
            score, left = trainer.score(state), left - 1
            trial.report(score, nth)
            if pruned := trial.should_prune() and nth + 1 < trainer.rounds:
                break
        states = optuna.trial.TrialState
        study.tell(trial, None if pruned else score, states.PRUNED if pruned else states.COMPLETE)
        if not pruned and (best is None or score > best.score):
            best = Found(score, peak, state)
        number += 1
    if best is None:
        raise RuntimeError(f"a search must train a network to its end, but {number} were pruned")
    return best
