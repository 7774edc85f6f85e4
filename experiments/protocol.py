"""IPBT's protocol: six ways to search with 8 members and 8 seeds, on several tasks.

    python -m experiments.protocol --quick
    python -m experiments.protocol
    python -m experiments.protocol --variant protocol-acrobot --chunk 8
    python -m experiments.protocol --variant protocol-breakout --chunk 8

The counterpart of the comparison of IPBT's paper (2025, arXiv 2511.09190), on tasks that one core
trains in seconds or minutes. The variants:

- ``protocol-fashion``: the small network of ``experiments.descent`` learns Fashion-MNIST.
- ``protocol-acrobot``, ``protocol-breakout``: the PPO agents of ``experiments.reinforcement``.

A budget is 100 parts. IPBT begins with turns of one part. The other turns are five parts, except in
MF-PBT, whose sub-populations decide after every two and every twenty parts. No method trains more
member-steps than 8 members train in the budget: IPBT, which trains 16 members in the first turn of
each iteration, is trained again with a shorter budget until this holds.

``score`` is the best score of the end of a turn, and ``test`` what its weights are worth: the
accuracy on test images, in percent, or the mean return in 256 fresh environments. ``member_steps``
counts what was trained.
"""

import functools
from collections.abc import Callable
from typing import Any

import ramet
from experiments import alternatives, descent
from experiments.descent import Momentum, State
from experiments.trials import Experiment, Setting, run_experiment

MEMBERS, SEEDS, PARTS = 8, 8, 100
# Parts of the budget in a turn, and in a round of MF-PBT.
TURN_PARTS, ROUND_PARTS, INTERVALS = 5, 2, (1, 10)
# Scores of FIRE in a turn, if it has as many steps.
FIRE_SCORES = 10
# What IPBT keeps of trained weights, and adds of fresh ones.
KEPT, ADDED = 0.2, 0.1
FASHION = "protocol-fashion"
# Steps in a part: of a network, or updates of an agent.
PART_STEPS = {
    FASHION: 20,
    "protocol-acrobot": 1,
    "protocol-breakout": 2,
}
QUICK_STEPS = dict.fromkeys(PART_STEPS, 1)
PLAYED_ENVIRONMENTS = 256


class Renewed(Momentum):
    """SGD with momentum that can begin an iteration of IPBT between trained weights and fresh."""

    def renew(self, state: State, fresh: State) -> State:
        """Return a state with shrunken weights, part of fresh ones, and no momentum."""
        return {**fresh, "weights": KEPT * state["weights"] + ADDED * fresh["weights"]}


def random(part: int) -> ramet.Strategy:
    return ramet.RandomSearch(population=MEMBERS, turn_steps=TURN_PARTS * part, synchronous=True)


def pbt(part: int) -> ramet.Strategy:
    return ramet.PBT(
        population=MEMBERS,
        turn_steps=TURN_PARTS * part,
        exploit=ramet.Truncation(0.25),
        synchronous=True,
    )


def pb2(part: int) -> ramet.Strategy:
    return ramet.PBT(
        population=MEMBERS,
        turn_steps=TURN_PARTS * part,
        exploit=ramet.Truncation(0.25),
        explore=ramet.GaussianProcess(),
        synchronous=True,
    )


def fire(part: int) -> ramet.Strategy:
    turn = TURN_PARTS * part
    return ramet.FIRE.for_workers(
        MEMBERS, turn_steps=turn, evaluate_every=max(1, turn // FIRE_SCORES)
    )


def mfpbt(part: int) -> ramet.Strategy:
    return ramet.MFPBT(population=MEMBERS, turn_steps=ROUND_PARTS * part, intervals=INTERVALS)


def ipbt(part: int, *, renew: bool = False) -> ramet.Strategy:
    return ramet.IPBT(population=MEMBERS, turn_steps=part, renew=renew)


METHODS: dict[str, Callable[[int], ramet.Strategy]] = {
    "random search": random,
    "pbt": pbt,
    "fire": fire,
    "mf-pbt": mfpbt,
    "pb2": pb2,
    "ipbt": ipbt,
}
# As in the paper. The tasks in JAX cannot renew weights.
RENEWED = "ipbt, renewed"
PAIRS = (
    *(("ipbt", method) for method in METHODS if method != "ipbt"),
    *((method, "random search") for method in METHODS if method not in ("ipbt", "random search")),
)


def train(variant: str, method: str, seed: int, setting: Setting) -> dict[str, float]:
    """Train a population; return its best score, and what its best weights are worth."""
    part = (QUICK_STEPS if setting.quick else PART_STEPS)[variant]
    task, space, test = _load_images() if variant == FASHION else _load_agents(variant, setting)
    strategy = ipbt(part, renew=True) if method == RENEWED else METHODS[method](part)
    result, member_steps = _run_within(
        task, space, strategy, part=part, seed=seed, engine=setting.engine
    )
    return {
        "score": result.best.score,
        "test": test(result.best.load(), seed),
        "member_steps": member_steps,
    }


def _run_within(
    task: Any,
    space: ramet.Space,
    strategy: ramet.Strategy,
    *,
    part: int,
    seed: int,
    engine: ramet.Engine,
) -> tuple[ramet.Result, int]:
    """Return a run with no more member-steps than 8 members train, and how many it has."""
    parts = PARTS
    while True:
        result = ramet.run(
            task, space, strategy, steps=parts * part, mode="max", seed=seed, engine=engine
        )
        trained = sum(row["stop"] - row["start"] for row in result.each_row("turns"))
        above = trained - MEMBERS * PARTS * part
        if above <= 0:
            return result, trained
        parts -= -(-above // (MEMBERS * part))


def _load_images() -> tuple[Any, ramet.Space, Callable[[Any, int], float]]:
    """Return the network, its hyperparameters, and what tests its state."""
    _, _, images = descent.load()

    def test(state: Any, seed: int) -> float:
        del seed  # All test images are the same.
        return 100 * descent.accuracy(state["weights"], images)

    return Renewed(), alternatives.make_space(alternatives.SGD), test


def _load_agents(
    variant: str, setting: Setting
) -> tuple[Any, ramet.Space, Callable[[Any, int], float]]:
    """Return the agents, their hyperparameters, and what plays with a state of theirs."""
    # Images need no JAX.
    import jax  # noqa: PLC0415 - see above

    import ramet.jax  # noqa: PLC0415 - see above
    from experiments import reinforcement  # noqa: PLC0415 - see above
    from experiments.compiling import keep_programs  # noqa: PLC0415 - see above

    keep_programs(setting)
    place = reinforcement.PLACES[variant.removeprefix("protocol-")]
    agents = place.agents(place.make_world())
    task = ramet.jax.Task(agents)
    ticks = 3 * place.longest_episode
    played = jax.jit(functools.partial(agents.play, environments=PLAYED_ENVIRONMENTS, ticks=ticks))

    def test(state: Any, seed: int) -> float:
        return float(played(task.as_state(state)["params"], jax.random.key(seed)))

    return task, place.space, test


def settings(variant: str, *, quick: bool) -> dict[str, Any]:
    """Return what results depend on."""
    part = (QUICK_STEPS if quick else PART_STEPS)[variant]
    return {
        "members": MEMBERS,
        "steps": PARTS * part,
        "turn_steps": TURN_PARTS * part,
        "round_steps": ROUND_PARTS * part,
        "intervals": INTERVALS,
        "fire_scores": FIRE_SCORES,
    }


EXPERIMENTS = [
    Experiment(
        name=variant,
        train=functools.partial(train, variant),
        methods=[*METHODS, RENEWED] if variant == FASHION else list(METHODS),
        settings=functools.partial(settings, variant),
        compared="test",
        headings={
            "score": "best score",
            "test": "test, %" if variant == FASHION else "return played",
            "member_steps": "member-steps",
        },
        pairs=PAIRS,
        seeds=SEEDS,
        engine="inline" if variant == FASHION else "vectorized",
    )
    for variant in PART_STEPS
]

if __name__ == "__main__":
    run_experiment(EXPERIMENTS, __doc__)
