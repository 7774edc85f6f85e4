"""`ramet demo`: FIRE PBT, plain PBT and random search train networks on handwritten digits."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ramet.errors import UsageError
from ramet.schedule import Schedule
from ramet.strategies import FIRE, PBT, Perturb, RandomSearch, Strategy
from ramet.wording import count

if TYPE_CHECKING:
    from ramet.cli.digits import Digits, Found

MEMBERS, STEPS, WORKERS = 22, 2_400, 2
# Steps in a turn, and between two scores: FIRE needs about ten scores a turn.
TURN_STEPS, EVALUATE_EVERY = 60, 6
# The smallest population of FIRE: two sub-populations of two, and two evaluators.
FEWEST_MEMBERS = 6
REPORT = Path("ramet-demo-report.html")
# The learning rate at which a bar is empty, and the characters of a bar for a factor of ten.
BAR_START, BAR_CHARACTERS = 1e-4, 10


def demo(
    *,
    members: Annotated[
        int, typer.Option(min=FEWEST_MEMBERS, help="Networks in each of the runs.")
    ] = MEMBERS,
    steps: Annotated[int, typer.Option(help="Steps that each network trains.")] = STEPS,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 trains in this one.")] = WORKERS,
    seed: Annotated[int, typer.Option(help="What all randomness comes from.")] = 0,
    store: Annotated[
        Path | None, typer.Option(help="The file to record the runs in; by default temporary.")
    ] = None,
    report: Annotated[
        Path, typer.Option(help="The file to write a report of the FIRE run to.")
    ] = REPORT,
) -> None:
    """Train small networks on handwritten digits: FIRE PBT, plain PBT and random search.

    Each trains the same number of networks, from the same weights and learning rates, for the same
    number of steps. Then each strategy's network with the lowest validation loss is tested on
    images that it has not seen. The command prints the schedule that FIRE found, and writes a
    report of its run.

    It takes about a minute on two cores. The extra "demo" installs PyTorch, scikit-learn, which
    contains the data, and Matplotlib.
    """
    began = time.monotonic()
    competitors = strategies(members)
    try:
        from ramet.cli import digits  # noqa: PLC0415 - an extra, and slow to import
        from ramet.report import write  # noqa: PLC0415 - as above

        data = digits.load(seed)
    except ImportError as error:
        raise UsageError(
            f"the demo needs PyTorch to train with, scikit-learn for its data, and Matplotlib for "
            f"its report, but {error}; run: pip install 'ramet[demo]'"
        ) from None
    if not report.parent.is_dir():
        raise UsageError(f"a report must be written in a folder that exists, but got {report}")
    console = Console(highlight=False)
    console.print(introduction(data, members, steps, workers), end="\n\n")
    found, results = {}, {}
    for name, strategy in competitors.items():
        results[name] = digits.compete(
            strategy,
            data,
            name=f"{name}-{seed}",
            steps=steps,
            seed=seed,
            workers=workers,
            store=store,
        )
        found[name] = digits.best_of(results[name], data)
    total = len(data.test.labels)
    console.print(comparison_table(found, total))
    console.print(schedule_table(found["FIRE"].schedule))
    console.print(verdict(found, total))
    write(results["FIRE"], report)
    typer.echo(f"Took {time.monotonic() - began:.1f} s, with seed {seed}.")
    typer.echo(f"The whole FIRE run, to open in a browser: {report}")


def strategies(members: int) -> dict[str, Strategy]:
    """Return the strategies to compare, each with the same number of members."""
    explore = Perturb((0.8, 1.25))
    return {
        "FIRE": FIRE.for_workers(members, turn_steps=TURN_STEPS, evaluate_every=EVALUATE_EVERY),
        # Each round compares networks that have all trained equally long.
        "PBT": PBT(population=members, turn_steps=TURN_STEPS, explore=explore, synchronous=True),
        "random": RandomSearch(population=members, turn_steps=TURN_STEPS, synchronous=True),
    }


def introduction(digits: "Digits", members: int, steps: int, workers: int) -> str:
    """Return a paragraph about the data and the training."""
    train, validation, test = (len(part.labels) for part in digits)
    where = f"by {count(workers, 'worker')}" if workers else "in this process"
    return (
        f"Handwritten digits: {train} for training, {validation} for scores, {test} for the test "
        f"at the end. FIRE, PBT and random search each train {members} networks for "
        f"{steps:,} steps {where}, and choose their learning rates."
    )


def comparison_table(found: Mapping[str, "Found"], total: int) -> Table:
    """Return a table of each strategy's best network: its scores and learning rates."""
    table = Table("", box=box.SIMPLE_HEAD)
    for name in found:
        table.add_column(name, justify="right")
    table.add_row("test accuracy", *(f"{one.recognised / total:.1%}" for one in found.values()))
    table.add_row("validation loss", *(f"{one.loss:.4f}" for one in found.values()))
    table.add_row("learning rate", *(_course(one.schedule) for one in found.values()))
    return table


def schedule_table(schedule: Schedule) -> Table:
    """Return a table of the schedule of FIRE's best network."""
    title = Text("The schedule that FIRE found", "bold")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("steps", "learning rate"):
        table.add_column(name, justify="right")
    table.add_column("on a log scale", style="cyan")
    for piece, rate in zip(schedule.pieces, _rates(schedule), strict=True):
        table.add_row(f"{piece.start:,} to {piece.stop:,}", f"{rate:.2g}", _bar(rate))
    return table


def verdict(found: Mapping[str, "Found"], total: int) -> str:
    """Return a sentence with the result."""
    most = max(one.recognised for one in found.values())
    first = [name for name, one in found.items() if one.recognised == most]
    counts = " and ".join(
        (", ".join(f"{name} {one.recognised}" for name, one in found.items())).rsplit(", ", 1)
    )
    end = f"{first[0]} wins" if len(first) == 1 else f"{' and '.join(first)} tie"
    return f"Of {total} test images recognised: {counts}. {end}."


def _course(schedule: Schedule) -> str:
    """Return the first learning rate and the last."""
    rates = [f"{rate:.2g}" for rate in _rates(schedule)]
    first, last = rates[0], rates[-1]
    return first if first == last else f"{first} to {last}"


def _rates(schedule: Schedule) -> list[float]:
    return [hparams["lr"] for _, hparams in schedule]


def _bar(rate: float) -> str:
    return "━" * max(1, round(BAR_CHARACTERS * math.log10(rate / BAR_START)))
