"""What matters in PBT: its parts changed one at a time, on a task with a known best schedule.

    python -m experiments.analyses --quick
    python -m experiments.analyses

The counterpart of the analyses of the PBT paper (Jaderberg et al., 2017, section 4.4 and figure 5):
the size of the population, the rule of exploit, what a copy takes, the length of turns, and whether
the schedule or only its last values make the difference. The task is the noisy quadratic of
``ramet.testing.SampledQuadratic``, with 1,920 steps. ``loss`` is the true loss of the best weights,
where lower is better. The best schedule there is has an expected loss of 0.0365. ``replay`` is the
mean loss of five fresh networks trained on the schedule that was found, and ``last_values`` that of
five trained with its last values throughout.
"""

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import ramet
from experiments.trials import Experiment, Setting, run_experiment
from ramet.testing import QUADRATIC_SPACE, SampledQuadratic

MEMBERS, TURN_STEPS, SCORES = 20, 48, 12
STEPS, QUICK_STEPS = 40 * 48, 10 * 48
FRESH = 5
# As in the paper.
SIZES = (4, 8, 16, 32, 64, 80)
TURNS = (12, 24, 96, 192, 384)
Copies = Literal["both", "weights", "hparams"]


def pbt(
    *,
    population: int = MEMBERS,
    turn_steps: int = TURN_STEPS,
    exploit: Any = None,
    copies: Copies = "both",
) -> ramet.Strategy:
    """PBT with the paper's factors, and the quarter of a small population that may copy."""
    return ramet.PBT(
        population=population,
        turn_steps=turn_steps,
        evaluate_every=turn_steps // SCORES,
        exploit=exploit or ramet.Truncation(max(0.2, 1 / population)),
        explore=ramet.Perturb((0.8, 1.2)),
        copies=copies,
        synchronous=True,
    )


def random() -> ramet.Strategy:
    return ramet.RandomSearch(
        population=MEMBERS,
        turn_steps=TURN_STEPS,
        evaluate_every=TURN_STEPS // SCORES,
        synchronous=True,
    )


# Each differs from the first in one thing.
METHODS: dict[str, Callable[[], ramet.Strategy]] = {
    "pbt": pbt,
    "random search": random,
    **{f"{size} members": partial(pbt, population=size) for size in SIZES},
    "binary tournament": partial(pbt, exploit=ramet.BinaryTournament()),
    "t-test": partial(pbt, exploit=ramet.TTest()),
    "weights only": partial(pbt, copies="weights"),
    "hyperparameters only": partial(pbt, copies="hparams"),
    **{f"turns of {steps}": partial(pbt, turn_steps=steps) for steps in TURNS},
}


def train(method: str, seed: int, setting: Setting) -> Mapping[str, float]:
    """Train a population; return the true losses of its best weights and of fresh networks."""
    task, steps = SampledQuadratic(), QUICK_STEPS if setting.quick else STEPS
    result = ramet.run(
        task,
        QUADRATIC_SPACE,
        METHODS[method](),
        steps=steps,
        mode="max",
        seed=seed,
        engine=setting.engine,
    )
    schedule = result.schedule()
    seeds = [FRESH * seed + nth for nth in range(FRESH)]

    def replay(played: ramet.Schedule) -> float:
        replayed = ramet.replay(
            task, played, steps=steps, seeds=seeds, mode="max", engine=setting.engine
        )
        members = replayed.result.members
        return statistics.mean(task.loss(member.load()) for member in members)

    return {
        "loss": task.loss(result.best.load()),
        "replay": replay(schedule),
        "last_values": replay(schedule.last_values()),
    }


def settings(*, quick: bool) -> dict[str, Any]:
    """Return what results depend on."""
    return {"steps": QUICK_STEPS if quick else STEPS, "members": MEMBERS, "fresh": FRESH}


EXPERIMENTS = [
    Experiment(
        name="analyses",
        train=train,
        methods=list(METHODS),
        settings=settings,
        compared="loss",
        headings={
            "loss": "loss",
            "replay": "replay of the schedule",
            "last_values": "last values only",
        },
        pairs=[
            *[(method, "pbt") for method in METHODS if method != "pbt"],
            ("pbt/replay", "pbt/last_values"),
            ("pbt/loss", "pbt/replay"),
        ],
        seeds=20,
        engine="inline",
    )
]

if __name__ == "__main__":
    run_experiment(EXPERIMENTS, __doc__)
