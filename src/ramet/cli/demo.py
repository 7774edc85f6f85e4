"""`ramet demo`: PBT and random search train the same networks, and meet on the same test images."""

import time
from typing import Annotated, NamedTuple

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ramet.cli.digits import CLASSES, HIDDEN, PIXELS, SPACE, Arrays, Digits, Network, accuracy, load
from ramet.engine import run
from ramet.history import Result, Schedule
from ramet.strategies import PBT, Perturb, RandomSearch, Strategy

# Turns that each network is trained in.
TURNS = 20


class Found(NamedTuple):
    """The best that a strategy came to."""

    loss: float
    params: Arrays
    schedule: Schedule


def demo(
    *,
    members: Annotated[int, typer.Option(help="Networks in each of the two runs.")] = 20,
    steps: Annotated[int, typer.Option(help="Updates that each network gets.")] = 1_000,
    seed: Annotated[int, typer.Option(help="What all randomness comes from.")] = 0,
) -> None:
    """Train small networks on handwritten digits: PBT against random search.

    Both begin with the same networks and hyperparameters and get the same steps.
    The network with the lowest validation loss of each is then tested on images
    that neither has seen, and the schedule that PBT found is printed.

    Takes seconds. The data comes with scikit-learn, which the extra "demo" installs.
    """
    began = time.monotonic()
    console = Console(highlight=False)
    competitors = strategies(members, steps)
    digits = load()
    console.print(introduction(digits, members, steps), end="\n\n")
    found = {
        name: best_of(train(strategy, digits, name=name, steps=steps, seed=seed))
        for name, strategy in competitors.items()
    }
    console.print(comparison_table(found, digits))
    console.print(schedule_table(found["PBT"].schedule))
    console.print(verdict(found, digits))
    console.print(f"Took {time.monotonic() - began:.1f} s, with seed {seed}.")


def strategies(members: int, steps: int) -> dict[str, Strategy]:
    """Return the two that compete, which score the same members equally often."""
    ready = max(1, steps // TURNS)
    explore = Perturb((0.8, 1.25))
    return {
        # Each round compares networks that have all trained equally long.
        "PBT": PBT(population=members, ready=ready, explore=explore, synchronous=True),
        "random": RandomSearch(population=members, ready=ready, synchronous=True),
    }


def train(strategy: Strategy, digits: Digits, *, name: str, steps: int, seed: int) -> Result:
    """Run one of the two; the same seed gives both the same beginnings."""
    return run(Network(digits), SPACE, strategy, name=name, steps=steps, seed=seed, mode="min")


def best_of(result: Result) -> Found:
    """Return the network with the lowest validation loss, and what it was trained with."""
    winner = result.best
    return Found(winner.score, winner.load()["params"], result.schedule())


def introduction(digits: Digits, members: int, steps: int) -> str:
    """Say what is about to be trained on what."""
    train, validation, test = (len(part.labels) for part in digits[:3])
    return (
        f"Handwritten digits: {train} to learn from, {validation} to score by, {test} to test "
        f"with at the end. PBT and random search each train {members} networks of "
        f"{PIXELS}, {HIDDEN} and {CLASSES} units for {steps:,} steps."
    )


def comparison_table(found: dict[str, Found], digits: Digits) -> Table:
    """Return what each strategy's best network can do, and what it was trained with."""
    table = Table("", box=box.SIMPLE_HEAD)
    for name in found:
        table.add_column(name, justify="right")
    for label, part in (("test", digits.test), ("validation", digits.validation)):
        table.add_row(
            f"{label} accuracy", *(f"{accuracy(one.params, part):.1%}" for one in found.values())
        )
    table.add_row("validation loss", *(f"{one.loss:.4f}" for one in found.values()))
    for name in SPACE:
        table.add_row(name, *(_course(one.schedule, name) for one in found.values()))
    return table


def schedule_table(schedule: Schedule) -> Table:
    """Return what PBT's best network was trained with, from its first step."""
    title = Text("The schedule that PBT found", "bold")
    table = Table("steps", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in SPACE:
        table.add_column(name, justify="right")
    for piece in schedule.pieces:
        values = (f"{piece.hparams[name]:.3g}" for name in SPACE)
        table.add_row(f"{piece.start:,} to {piece.stop:,}", *values)
    return table


def verdict(found: dict[str, Found], digits: Digits) -> str:
    """Say how it ended, whoever won."""
    total = len(digits.test.labels)
    pbt, random = (round(total * accuracy(one.params, digits.test)) for one in found.values())
    return f"Of {total} test images, PBT recognises {pbt} and random search {random}."


def _course(schedule: Schedule, name: str) -> str:
    """Return a hyperparameter's first value and its last."""
    first, last = (
        f"{piece.hparams[name]:.3g}" for piece in (schedule.pieces[0], schedule.pieces[-1])
    )
    return first if first == last else f"{first} to {last}"
