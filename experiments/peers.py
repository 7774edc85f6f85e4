"""Searches by other libraries: Ray Tune's PBT, PB2 and ASHA, and Optuna's TPE.

All train ``experiments.descent.Momentum`` turn by turn, and are told one score a turn, as ramet is.
``make .venv/experiments`` installs them.
"""

import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import psutil

import ramet
from experiments.descent import Momentum, State, accuracy, load

SHAPE = ramet.Cosine(warmup=0.05)
# The parts of the scale that first values are drawn from, and the whole of it.
FIRST = {"lr": (1e-3, 1e-1), "decay": (1e-6, 1e-2)}
BOUNDS = {"lr": (1e-5, 1.0), "decay": (1e-7, 1e-1)}
CORES = 2


class Found(NamedTuple):
    """The best weights of a search by their score, which is that of a turn's end."""

    score: float
    test: float


class Budget(NamedTuple):
    """What a search may train: as many turns as a population makes."""

    members: int
    rounds: int
    turn_steps: int

    @property
    def turns(self) -> int:
        """The turns of all members together."""
        return self.members * self.rounds


class Training:
    """One network, trained turn by turn.

    Args:
        key: What the randomness of its first weights and of its turns is drawn from.
        budget: What it may train.
    """

    def __init__(self, key: Sequence[int], budget: Budget) -> None:
        self._task, self._key, self._budget = Momentum(), key, budget
        self.state: State = self._task.init(np.random.default_rng(key))

    def train(self, hparams: dict[str, float], nth: int, *, anneals: bool) -> Found:
        """Train a turn.

        Args:
            hparams: The hyperparameters.
            nth: Which turn it is, from 0.
            anneals: Whether the rate is the peak of a cosine.
        """
        factor = SHAPE((nth + 0.5) / self._budget.rounds) if anneals else 1.0
        values, rng = (
            hparams | {"lr": factor * hparams["lr"]},
            np.random.default_rng([*self._key, nth]),
        )
        self.state = self._task.step(self.state, values, self._budget.turn_steps, rng)
        _, _, test = load()
        return Found(self._task.evaluate(self.state), accuracy(self.state["weights"], test))


def search_with_optuna(pruner: str, budget: Budget, seed: int) -> Found:
    """Search with TPE for the peak of a cosine and for the decay, until the turns are used up.

    Args:
        pruner: "median" or "hyperband".
        budget: What it may train.
        seed: The seed.
    """
    import optuna  # noqa: PLC0415 - the other searches run without it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruners: Mapping[str, Any] = {
        "median": optuna.pruners.MedianPruner(),
        "hyperband": optuna.pruners.HyperbandPruner(max_resource=budget.rounds),
    }
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruners[pruner])
    best, left = Found(-1.0, 0.0), budget.turns
    while left:
        trial = study.ask()
        training = Training([seed, trial.number], budget)
        hparams = {name: trial.suggest_float(name, *FIRST[name], log=True) for name in FIRST}
        found, pruned = Found(0.0, 0.0), False
        for nth in range(min(left, budget.rounds)):
            found, left = training.train(hparams, nth, anneals=True), left - 1
            best = max(best, found)
            trial.report(found.score, nth + 1)
            if pruned := trial.should_prune():
                break
        states = optuna.trial.TrialState
        study.tell(trial, None if pruned else found.score, states.PRUNED if pruned else None)
    return best


def start_ray() -> None:
    """Start Ray on this machine, if it is not running yet; that takes seconds."""
    # Before Ray is imported: nothing is to be logged or sent.
    os.environ |= {
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # The state of the experiment is written at the end, and not as it goes.
        "TUNE_GLOBAL_CHECKPOINT_S": "3600",
        # ASHA would make hundreds of networks before it trains them.
        "TUNE_MAX_PENDING_TRIALS_PG": str(CORES),
    }
    import ray  # noqa: PLC0415 - the other searches run without it

    # It warns of networks that had not been trained when the turns were used up.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if not ray.is_initialized():
        # "local", so that another program's Ray on this machine is left alone.
        ray.init("local", num_cpus=CORES, include_dashboard=False, log_to_driver=False)


def measure_cpu_s() -> float:
    """Return the CPU time that this process and all that it started have taken, in seconds."""
    this = psutil.Process()
    taken = [this.cpu_times()]
    for child in this.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            taken.append(child.cpu_times())
    return float(sum(each.user + each.system for each in taken))


def search_with_ray(kind: str, budget: Budget, seed: int) -> Found:
    """Search with Ray Tune, whose workers train one network on each core at a time.

    Args:
        kind: "pbt", "pb2" or "asha".
        budget: What it may train.
        seed: The seed.
    """
    start_ray()
    from ray import tune  # noqa: PLC0415 - see above

    best, turns = Found(-1.0, 0.0), 0

    class Watch(tune.Callback):  # type: ignore[misc]  # Ray has no types for mypy here
        def on_trial_result(self, *, result: Mapping[str, Any], **_: Any) -> None:
            nonlocal best, turns
            if turns < budget.turns:
                best, turns = max(best, Found(result["score"], result["test"])), turns + 1

    class Used(tune.Stopper):  # type: ignore[misc]  # as above
        def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
            del trial_id
            return bool(result["training_iteration"] >= budget.rounds)

        def stop_all(self) -> bool:
            return turns >= budget.turns

    with TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(_make_trainable(), {"cpu": 1}),
            tune_config=tune.TuneConfig(
                scheduler=_make_scheduler(kind, budget),
                # ASHA takes new networks until the turns are used up.
                num_samples=-1 if kind == "asha" else budget.members,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                stop=Used(), storage_path=folder, verbose=0, callbacks=[Watch()]
            ),
            param_space={"seed": seed, "budget": tuple(budget), "kind": kind, **_draw(kind)},
        )
        np.random.seed(seed)  # noqa: NPY002 - what Ray draws from
        tuner.fit()
    return best


def _draw(kind: str) -> dict[str, Any]:
    """Return how Ray draws first hyperparameters: PB2 knows no scale but the linear one."""
    from ray import tune  # noqa: PLC0415 - see above

    if kind == "pb2":
        return {name: tune.uniform(*np.log10(FIRST[name])) for name in FIRST}
    return {name: tune.loguniform(*FIRST[name]) for name in FIRST}


def _make_scheduler(kind: str, budget: Budget) -> Any:
    from ray.tune import schedulers  # noqa: PLC0415 - see above
    from ray.tune.schedulers.pb2 import PB2  # noqa: PLC0415 - see above

    scored: dict[str, Any] = {"metric": "score", "mode": "max", "time_attr": "training_iteration"}
    if kind == "asha":
        return schedulers.ASHAScheduler(max_t=budget.rounds, **scored)
    if kind == "pb2":
        bounds = {name: [float(end) for end in np.log10(BOUNDS[name])] for name in BOUNDS}
        return PB2(perturbation_interval=1, hyperparam_bounds=bounds, **scored)
    return schedulers.PopulationBasedTraining(
        perturbation_interval=1, hyperparam_mutations=_draw(kind), **scored
    )


def _make_trainable() -> Any:
    from ray import tune  # noqa: PLC0415 - see above

    class Network(tune.Trainable):  # type: ignore[misc]  # as above
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def step(self) -> dict[str, float]:
            hparams = {name: float(self.config[name]) for name in FIRST}
            if self.config["kind"] == "pb2":
                hparams = {name: 10.0**value for name, value in hparams.items()}
            anneals = self.config["kind"] == "asha"
            return self.training.train(hparams, self.iteration, anneals=anneals)._asdict()

        def save_checkpoint(self, folder: str) -> None:
            with (Path(folder) / "state.npz").open("wb") as file:
                np.savez(file, **self.training.state)

        def load_checkpoint(self, folder: str) -> None:
            with np.load(Path(folder) / "state.npz") as kept:
                self.training.state = dict(kept)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.config = config
            # The number of the trial; what is before it differs from run to run.
            _, _, number = self.trial_id.rpartition("_")
            self.training = Training([config["seed"], int(number)], Budget(*config["budget"]))
            return True

    return Network
