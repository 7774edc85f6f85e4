"""A GAN: which learning rates its generator and its discriminator should have when.

    python -m experiments.gan --quick
    python -m experiments.gan

The counterpart of the GANs of the PBT paper (Jaderberg et al., 2017, section 4.3), in which 45
DCGANs learn CIFAR-10. Here ten small ones learn to draw Fashion-MNIST at 14 by 14 pixels. The
learning rates of generator and discriminator are searched, each by itself. The score is the
Inception score of 500 images, by a classifier that is trained once on the same data; it is at most
10, and real images have the score that the command prints first.

``inception`` is the score of 10,000 fresh images from the best weights, and by it methods are
compared. ``replay`` is that of a fresh GAN that was trained with the schedule. What that one draws
as it learns is drawn to a PNG file in the folder.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import ramet
import ramet.jax
from experiments import fashion_mnist
from experiments.dcgan import BATCH, DCGAN, NOISE, generate
from experiments.fashion_mnist import Images
from experiments.judge import load_judge, measure_accuracy, score_images
from experiments.trials import Experiment, Setting, run_experiment
from ramet import plots
from ramet.history import Snapshot

SIDE, MEMBERS = 14, 10
SCORED, FRESH = 500, 10_000
FACTORS = (0.5, 2.0)
RATE = ramet.LogUniform(1e-6, 1e-1, start=(1e-5, 1e-2))
SPACE = ramet.Space(generator_lr=RATE, discriminator_lr=RATE)
# Rows are moments of the training, and columns are images, always from the same noise.
MOMENTS, COLUMNS = 5, 10


@dataclass(frozen=True, slots=True)
class Size:
    """How long everything is trained."""

    rounds: int
    turn_steps: int
    judge_steps: int

    @property
    def steps(self) -> int:
        """The steps of each member."""
        return self.rounds * self.turn_steps


FULL, QUICK = Size(20, 50, 4_000), Size(5, 4, 200)


def random(size: Size) -> ramet.Strategy:
    return ramet.RandomSearch(population=MEMBERS, turn_steps=size.turn_steps, synchronous=True)


def anneal(part: float) -> float:
    """Halve the rate eight times, evenly: it ends at less than a hundredth."""
    return 0.5 ** int(9 * part)


def annealed(size: Size) -> ramet.Strategy:
    return ramet.HandTuned(
        population=MEMBERS,
        turn_steps=size.turn_steps,
        shapes={"generator_lr": anneal, "discriminator_lr": anneal},
        synchronous=True,
    )


def pbt(exploit: Any, size: Size) -> ramet.Strategy:
    return ramet.PBT(
        population=MEMBERS,
        turn_steps=size.turn_steps,
        exploit=exploit,
        explore=ramet.Perturb(FACTORS),
        synchronous=True,
    )


METHODS: dict[str, Callable[[Size], ramet.Strategy]] = {
    "random search": random,
    "annealed": annealed,
    "pbt, truncation": functools.partial(pbt, ramet.Truncation()),
    "pbt, binary tournament": functools.partial(pbt, ramet.BinaryTournament()),
}
PAIRS = (
    ("pbt, truncation", "random search"),
    ("pbt, binary tournament", "random search"),
    ("pbt, truncation", "annealed"),
    ("pbt, binary tournament", "annealed"),
    ("pbt, truncation", "pbt, binary tournament"),
    ("pbt, truncation/replay", "random search/replay"),
)


_generate, _score = jax.jit(generate), jax.jit(score_images)


@functools.cache
def _load(part: str) -> Images:
    """Return images with pixels from -1 to 1, as a generator draws them."""
    images = fashion_mnist.load(part, side=SIDE)
    # They come with a mean of about 0 and a deviation of about 1.
    low, high = images.pixels.min(), images.pixels.max()
    pixels = 2 * (images.pixels - low) / (high - low) - 1
    return images._replace(pixels=pixels[..., None])


@functools.cache
def _load_judge(folder: Path, steps: int) -> Any:
    judge, real = load_judge(folder / f"judge-{steps}.npz", _load("train"), steps), _load("t10k")
    accuracy, score = measure_accuracy(judge, real), float(_score(judge, real.pixels))
    print(
        f"the judge knows {accuracy:.1%} of the test images, whose score is {score:.2f}",
        file=sys.stderr,
    )
    return judge


def train(method: str, seed: int, setting: Setting) -> dict[str, float]:
    """Train GANs; return the scores of the best one, and of a fresh one on its schedule."""
    size, folder = QUICK if setting.quick else FULL, Path(setting.store).parent
    judge = _load_judge(folder, size.judge_steps)
    task = ramet.jax.Task(DCGAN(_load("train").pixels, judge, SCORED))
    kept: dict[str, Any] = {"store": setting.store, "engine": setting.engine}
    name = f"{method}-{seed}"
    result = ramet.run(
        task,
        SPACE,
        METHODS[method](size),
        steps=size.steps,
        mode="max",
        seed=seed,
        name=name,
        **kept,
    )

    def draw(found: Snapshot, images: int) -> Any:
        noise = jax.random.normal(jax.random.key(seed), (images, NOISE))
        net = task.as_state(found.load())["nets"]["generator"]
        # Batches as large as those that score, because images are normalised over them.
        batches = noise.reshape(-1, SCORED, NOISE)
        return np.concatenate([_generate(net, batch) for batch in batches])

    grid, schedule = [], result.schedule()
    final = result.final
    for moment in range(1, MOMENTS + 1):
        replayed = ramet.replay(
            task,
            schedule,
            seeds=[seed],
            steps=size.steps * moment // MOMENTS,
            existing="extend",
            name=f"{name}-replay",
            **kept,
        )
        final = replayed.result.final
        grid.append((final.step, draw(final, SCORED)[:COLUMNS]))
    draw_grid(grid, folder / f"{name}{'-quick' if setting.quick else ''}.png")
    return {
        "score": result.best.score,
        "inception": float(_score(judge, draw(result.best, FRESH))),
        "replay": float(_score(judge, draw(final, FRESH))),
    }


def draw_grid(grid: list[tuple[int, Any]], path: Path) -> None:
    """Draw images: a row for each moment of the training."""
    with mpl.rc_context({"axes.titlesize": "medium"}):
        figure = Figure(figsize=(COLUMNS * 0.7, len(grid) * 0.7), layout="constrained")
        rows = figure.subplots(len(grid), COLUMNS, squeeze=False)
        for row, (step, images) in zip(rows, grid, strict=True):
            for axes, image in zip(row, images, strict=True):
                axes.imshow(image[..., 0], cmap="gray", vmin=-1, vmax=1)
                axes.set(xticks=[], yticks=[])
            row[0].set_ylabel(f"{step:,}", rotation=0, ha="right", va="center")
        figure.supylabel("steps")
        plots.save(figure, path)


def settings(*, quick: bool) -> dict[str, Any]:
    """Return what results depend on."""
    size = QUICK if quick else FULL
    return {
        "members": MEMBERS,
        "steps": size.steps,
        "turn_steps": size.turn_steps,
        "judge_steps": size.judge_steps,
        "batch": BATCH,
        "scored": SCORED,
    }


EXPERIMENTS = [
    Experiment(
        name="gan",
        train=train,
        methods=list(METHODS),
        settings=settings,
        compared="inception",
        headings={
            "score": "best score",
            "inception": "Inception score",
            "replay": "Inception score of a replay",
        },
        pairs=PAIRS,
        seeds=5,
    )
]

if __name__ == "__main__":
    run_experiment(EXPERIMENTS, __doc__)
