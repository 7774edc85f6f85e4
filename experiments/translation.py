"""Machine translation: learning rates and dropouts of a small Transformer, from English to German.

    python -m experiments.translation --quick
    python -m experiments.translation

The counterpart of the machine translation of the PBT paper (Jaderberg et al., 2017, section 4.2),
in which a Transformer learns from WMT 2014. Here a Transformer with one layer learns short
sentences of LibreOffice's help texts by Adam. The search is over the learning rate and three
dropouts: of attention, behind ReLU, and of what is added to the residual stream. The score is BLEU
on development sentences, which has no gradient.

With all methods 8 networks train in all, each for as many steps. ``optuna`` has a warm-up and an
inverse square root as the schedule of the rate. It trains four networks at a time, and its next
values follow from those that ended. The rates of ``random search`` are constant.

``development`` is the best score. ``test`` is the BLEU of the best weights on test sentences; by it
methods are compared. ``replay`` is that of a fresh network that was trained with the schedule.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ramet
import ramet.jax
from experiments import help_texts
from experiments.subwords import learn
from experiments.transformer import DROPOUTS, Sizes
from experiments.translator import Sentences, Translator, encode_pairs
from experiments.trials import Experiment, Setting, run_experiment
from ramet.history import Snapshot

MEMBERS = 8
# How many networks Optuna trains at a time.
ASKED = 4
WORDS = 1_000
# Subwords of a sentence, with its end.
LENGTH = 16
DEVELOPMENT, TEST = 1_000, 1_000
LOWEST, HIGHEST = 1e-3, 3e-2
# What dropouts start from at most.
MOST_DROPPED = 0.3
SPACE = ramet.Space(
    lr=ramet.LogUniform(1e-5, 1e-1, start=(LOWEST, HIGHEST)),
    attention=ramet.Uniform(0.0, 0.5, start=(0.0, MOST_DROPPED)),
    relu=ramet.Uniform(0.0, 0.5, start=(0.0, MOST_DROPPED)),
    residual=ramet.Uniform(0.0, 0.5, start=(0.0, MOST_DROPPED)),
)
FACTORS = (0.8, 1.2)
# The part of the training in which the rate of the hand-tuned schedule rises.
WARMUP = 0.1


@dataclass(frozen=True, slots=True)
class Regime:
    """How networks are trained."""

    batch: int
    rounds: int
    turn_steps: int
    width: int
    hidden: int
    development: int
    test: int
    layers: int = 1
    # Scores in a turn of FIRE, which compares curves. The others need one at its end.
    scores: int = 4

    @property
    def steps(self) -> int:
        """The steps of each member."""
        return self.rounds * self.turn_steps


FULL = Regime(16, 10, 400, 48, 96, DEVELOPMENT, TEST)
QUICK = Regime(16, 3, 8, 16, 16, 32, 32)


@functools.cache
def load(regime: Regime) -> tuple[Translator, Sentences]:
    """Return what trains, and the test sentences."""
    corpus = help_texts.load()
    subwords = learn([text for pair in corpus.train for text in pair], WORDS)
    train, score, test = (encode_pairs(pairs, subwords, LENGTH) for pairs in corpus)
    score, test = thin(score, regime.development), thin(test, regime.test)
    sizes = Sizes(len(subwords), regime.width, regime.hidden, regime.layers)
    return Translator(train, score, subwords, sizes, regime.batch), test


def thin(sentences: Sentences, most: int) -> Sentences:
    """Return sentences from all files, and no more than ``most``."""
    every = -(-len(sentences.references) // most)
    sources, targets, references = sentences
    return Sentences(sources[::every], targets[::every], references[::every])


def random(regime: Regime) -> ramet.Strategy:
    """Random search over constants."""
    return ramet.RandomSearch(population=MEMBERS, turn_steps=regime.turn_steps, synchronous=True)


def pbt(regime: Regime) -> ramet.Strategy:
    """PBT as in the paper, with a quarter of its members."""
    return ramet.PBT(
        population=MEMBERS,
        turn_steps=regime.turn_steps,
        exploit=ramet.BinaryTournament(),
        explore=ramet.Perturb(FACTORS),
        synchronous=True,
    )


def fire(regime: Regime) -> ramet.Strategy:
    """FIRE: two sub-populations of three members, and two evaluators."""
    return ramet.FIRE.for_workers(
        MEMBERS,
        turn_steps=regime.turn_steps,
        evaluate_every=regime.turn_steps // regime.scores,
    )


STRATEGIES: dict[str, Callable[[Regime], ramet.Strategy]] = {
    "random search": random,
    "pbt": pbt,
    "fire": fire,
}
OPTUNA = "optuna"
PAIRS = (
    ("pbt", "random search"),
    ("pbt", OPTUNA),
    ("fire", "pbt"),
    ("fire", OPTUNA),
    ("pbt/replay", "random search/replay"),
    ("pbt/replay", f"{OPTUNA}/replay"),
    ("pbt/test", "pbt/replay"),
)


def train(method: str, seed: int, setting: Setting) -> dict[str, float]:
    """Train a population, and a fresh network with its schedule; return their BLEU."""
    regime = QUICK if setting.quick else FULL
    functions, sentences = load(regime)
    setting, task = replace(setting, engine=fix_chunk(setting.engine)), ramet.jax.Task(functions)
    name = f"translation-{method}-{seed}"
    if method == OPTUNA:
        result = search(task, regime, seed, setting)
    else:
        result = _run(task, STRATEGIES[method](regime), setting, seed=seed, name=name)
    replayed = ramet.replay(
        task,
        result.schedule(),
        seeds=[seed],
        store=setting.store,
        name=f"{name}-replay",
        engine=setting.engine,
    )

    def test(kept: Snapshot) -> float:
        return functions.test(task.as_state(kept.load())["params"], sentences)

    return {
        "development": result.best.score,
        "test": test(result.best),
        "replay": test(replayed.result.final),
    }


def search(task: ramet.jax.Task, regime: Regime, seed: int, setting: Setting) -> ramet.Result:
    """Search with Optuna for the peak and the dropouts; return the run with the best network."""
    try:
        import optuna  # noqa: PLC0415 - says how to install it
    except ImportError:
        raise SystemExit("this experiment needs Optuna: make .venv/experiments") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rates = {kind: optuna.distributions.FloatDistribution(0.0, MOST_DROPPED) for kind in DROPOUTS}
    peak = optuna.distributions.FloatDistribution(LOWEST, HIGHEST, log=True)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=MEMBERS // 2)
    study, results = optuna.create_study(direction="maximize", sampler=sampler), []
    for nth in range(MEMBERS // ASKED):
        trials = [study.ask({"lr": peak, **rates}) for _ in range(ASKED)]
        strategy = ramet.HandTuned(
            population=ASKED,
            turn_steps=regime.turn_steps,
            shapes={"lr": rise_then_fall},
            synchronous=True,
            initial=[trial.params for trial in trials],
        )
        name = f"translation-{OPTUNA}-{seed}-{nth}"
        results.append(_run(task, strategy, setting, seed=MEMBERS * seed + nth, name=name))
        for trial, member in zip(trials, results[-1].members, strict=True):
            study.tell(trial, member.score)
    return max(results, key=lambda result: result.best.score)


def fix_chunk(engine: ramet.Engine) -> ramet.Engine:
    """Have all members trained at once. To measure what is fastest would compile three programs."""
    return replace(engine, chunk=MEMBERS) if isinstance(engine, ramet.Vectorized) else engine


def rise_then_fall(part: float) -> float:
    """Return the factor of the rate: a linear warm-up, then an inverse square root.

    >>> [round(rise_then_fall(part), 2) for part in (0.05, 0.1, 0.4)]
    [0.5, 1.0, 0.5]
    """
    return min(part / WARMUP, math.sqrt(WARMUP / part))


def _run(
    task: ramet.jax.Task,
    strategy: ramet.Strategy,
    setting: Setting,
    *,
    seed: int,
    name: str,
) -> ramet.Result:
    return ramet.run(
        task,
        SPACE,
        strategy,
        steps=(QUICK if setting.quick else FULL).steps,
        mode="max",
        seed=seed,
        store=setting.store,
        name=name,
        engine=setting.engine,
    )


def settings(*, quick: bool) -> dict[str, Any]:
    """Return what results depend on."""
    regime = QUICK if quick else FULL
    return {
        "batch": regime.batch,
        "steps": regime.steps,
        "turn_steps": regime.turn_steps,
        "members": MEMBERS,
        "width": regime.width,
        "hidden": regime.hidden,
        "layers": regime.layers,
        "subwords": WORDS,
        "length": LENGTH,
        "words": help_texts.MAX_WORDS,
        "development_sentences": regime.development,
        "test_sentences": regime.test,
    }


EXPERIMENTS = [
    Experiment(
        name="translation",
        train=train,
        methods=[*STRATEGIES, OPTUNA],
        settings=settings,
        compared="test",
        headings={
            "development": "development, BLEU",
            "test": "test, BLEU",
            "replay": "replay, test, BLEU",
        },
        pairs=PAIRS,
        seeds=5,
    )
]

if __name__ == "__main__":
    run_experiment(EXPERIMENTS, __doc__)
