"""`ramet run` and `ramet worker`: training from the command line."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ramet.cli.stores import StorePath, existing
from ramet.cli.target import load, space_and_strategy
from ramet.engine import run as train_run
from ramet.engine.launch import this_worker
from ramet.engine.opening import Settings
from ramet.engine.options import Options
from ramet.engine.progress import Progress
from ramet.engine.run import Run
from ramet.engine.worker import as_function, work
from ramet.history import Result
from ramet.history.follower import Follower

TargetName = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="What to train: package.module:function or script.py:function; the name is "
        "'train' unless given.",
    ),
]
LeaseTtl = Annotated[
    float, typer.Option(help="Seconds until the member of a silent worker is taken over.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse training that leaves a hyperparameter unread.")
]


def run(
    target: TargetName,
    *,
    steps: Annotated[
        int | None, typer.Option(help="The budget of each member; else the module's `steps`.")
    ] = None,
    store: Annotated[Path, typer.Option(help="The file to record the run in.")] = Path("runs.db"),
    name: Annotated[str | None, typer.Option(help="The run's name; else the module's.")] = None,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 trains in this one.")] = 0,
    seed: Annotated[int | None, typer.Option(help="What all randomness comes from.")] = None,
    mode: Annotated[Literal["max", "min"], typer.Option(help="Which scores are good.")] = "max",
    space: Annotated[str, typer.Option(help="The name of the space in the module.")] = "space",
    strategy: Annotated[
        str, typer.Option(help="The name of the strategy in the module.")
    ] = "strategy",
    keep: Annotated[
        Literal["best", "live", "lineage", "all"] | None,
        typer.Option(help="Which checkpoints stay; a new run's default is lineage."),
    ] = None,
    durability: Annotated[
        Literal["power", "process"],
        typer.Option(help="What an ended turn survives: a loss of power, or of a process."),
    ] = "power",
    extend: Annotated[
        bool, typer.Option("--extend", help="Give an existing run more steps.")
    ] = False,
    strict: Strict = False,
    lease_ttl_s: LeaseTtl = 60.0,
    straggler_timeout_s: Annotated[
        float | None, typer.Option(help="Seconds until a round ends without who still trains.")
    ] = None,
    threads_per_worker: Annotated[
        int | None, typer.Option(help="Threads of each worker; else the cores are shared out.")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="GPUs of each worker, or a part of one.")
    ] = None,
) -> None:
    """Train a run, or go on with one of that name.

    The module has the training function or task, a `space` and a `strategy`. Ctrl-C stops the
    run; the same command goes on with it.
    """
    loaded = load(target)
    result = train_run(
        loaded.train,
        loaded.named(space),
        loaded.named(strategy),
        steps=loaded.named("steps") if steps is None else steps,
        store=store,
        name=name or loaded.module.__name__.rpartition(".")[2],
        workers=workers,
        seed=seed,
        mode=mode,
        keep=keep,
        durability=durability,
        extend=extend,
        strict=strict,
        lease_ttl_s=lease_ttl_s,
        straggler_timeout_s=straggler_timeout_s,
        threads_per_worker=threads_per_worker,
        gpus_per_worker=gpus_per_worker,
    )
    Console(highlight=False).print(outcome(result))


def worker(
    store: StorePath,
    name: Annotated[str, typer.Argument(help="The run to work on.")],
    target: TargetName,
    *,
    strict: Strict = False,
    lease_ttl_s: LeaseTtl = 60.0,
) -> None:
    """Work on a run that exists until it is over: one more worker, whoever began it.

    Start as many as you like, wherever the store can be reached, and kill any of them.
    """
    where, loaded = existing(store), load(target)
    view = Follower(where.store, where.store.opening(name).name)
    space, strategy = space_and_strategy(loaded, view.opening)
    settings = Settings(
        name=name,
        space=space,
        strategy=strategy,
        steps=view.population.steps,
        seed=view.opening.seed,
        mode=view.opening.mode,
    )
    opened = Run(
        settings,
        Options(strict=strict, lease_ttl_s=lease_ttl_s),
        store=where.store,
        blobs=where.blobs,
        worker=this_worker(),
        resume=False,
    )
    with Progress(name, sign=1 if view.opening.mode == "max" else -1, shown=None) as watch:
        watch(opened)
        work(opened, as_function(loaded.train), watch)
    Console(highlight=False).print(outcome(opened.result()))


def outcome(result: Result) -> str:
    """Say what a run has come to."""
    population = result.population
    end = "done" if population.done else "stopped" if population.stopped else "not over"
    best = f"best {result.best.score:.6g}" if population.best else "no finite score yet"
    return (
        f"Run {result.opening.name!r} is {end}: {len(population)} members, "
        f"{population.turns:,} turns, {population.copies:,} copies, {best}, seed {result.seed}."
    )
