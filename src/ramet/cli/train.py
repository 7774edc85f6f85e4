"""`ramet run` and `ramet worker`: training from the command line."""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from ramet.cli import screen
from ramet.cli.stores import StorePath
from ramet.cli.target import MODE, SPACE, STEPS, STRATEGY, load, space_and_strategy
from ramet.engine.launch import run as train_run
from ramet.engine.launch import this_worker
from ramet.engine.processes.resources import Share, settle_threads
from ramet.engine.progress import Progress
from ramet.engine.run.notices import say_doubts
from ramet.engine.run.opening import Settings
from ramet.engine.run.options import Options
from ramet.engine.run.run import Run
from ramet.engine.run.unfinished import Failures
from ramet.engine.workers.loop import as_function, work
from ramet.errors import NoBest
from ramet.history import Result
from ramet.history.following import Follower
from ramet.places import existing
from ramet.population import Population
from ramet.wording import count, number

# Headings in the help, for what not everybody needs.
NAMES, LIMITS = "Names in the module", "Workers"

TargetName = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="script.py or package.module, and :function unless it is 'train'.",
    ),
]
OwnArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="-- ARGUMENTS", help="What TARGET finds in sys.argv.", show_default=False
    ),
]
LeaseTtl = Annotated[
    float,
    typer.Option(
        help="Seconds until the member of a silent worker is free.", rich_help_panel=LIMITS
    ),
]
Straggler = Annotated[
    float | None,
    typer.Option(
        help="Seconds until a round ends without those who still train.", rich_help_panel=LIMITS
    ),
]
Retries = Annotated[
    int,
    typer.Option(help="How often a turn that raised is tried again.", rich_help_panel=LIMITS),
]
Tolerate = Annotated[
    float,
    typer.Option(help="The part of the members that may be failing.", rich_help_panel=LIMITS),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", metavar="", help="Fail if the loop leaves a hyperparameter unread."),
]


def run(
    target: TargetName,
    arguments: OwnArguments = None,
    *,
    steps: Annotated[
        int | None, typer.Option(help="How many steps each member trains; else `steps`.")
    ] = None,
    store: Annotated[Path, typer.Option(help="The file to record the run in.")] = Path("runs.db"),
    name: Annotated[str | None, typer.Option(help="The run's name; else the module's.")] = None,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 trains in this one.")] = 0,
    seed: Annotated[int | None, typer.Option(help="What all randomness comes from.")] = None,
    mode: Annotated[
        Literal["max", "min"] | None, typer.Option(help="Which scores are good; else `mode`.")
    ] = None,
    enough: Annotated[
        float | None,
        typer.Option(
            "--target", metavar="<score>", help="The score that ends the run before its budget."
        ),
    ] = None,
    keep: Annotated[
        Literal["lineage", "live", "best", "all"] | None,
        typer.Option(
            metavar="<which>",
            help="Checkpoints that stay: all members' and the best (lineage, the default), all "
            "members' (live), the best alone once the run is over (best), or all.",
        ),
    ] = None,
    durability: Annotated[
        Literal["power", "process"],
        typer.Option(
            metavar="<what>",
            help="The loss that ended turns survive: of power, or only of a process (faster).",
        ),
    ] = "power",
    extend: Annotated[
        bool, typer.Option("--extend", metavar="", help="Give a run on record more steps.")
    ] = False,
    strict: Strict = False,
    space: Annotated[
        str, typer.Option(help="What the space is called.", rich_help_panel=NAMES)
    ] = SPACE,
    strategy: Annotated[
        str, typer.Option(help="What the strategy is called.", rich_help_panel=NAMES)
    ] = STRATEGY,
    lease_ttl_s: LeaseTtl = 60.0,
    straggler_timeout_s: Straggler = None,
    retries: Retries = 1,
    tolerate: Tolerate = 0.5,
    threads_per_worker: Annotated[
        int | None,
        typer.Option(
            help="Threads of each; else as the run was begun, or the cores are shared.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(help="GPUs of each, or a part of one.", rich_help_panel=LIMITS),
    ] = None,
) -> None:
    """Train a run, or go on with one that was stopped or killed.

    The module defines a training function or task `train`, a `space`, a `strategy`, how many
    `steps` each member trains, and in `mode` which scores are good, "max" or "min".
    Ctrl-C stops the run; the same command goes on with it.
    """
    loaded = load(target, arguments)
    result = train_run(
        loaded.train,
        loaded.find(space),
        loaded.find(strategy),
        steps=loaded.find(STEPS, otherwise=" unless --steps is given") if steps is None else steps,
        store=store,
        name=name or loaded.module.__name__.rpartition(".")[2],
        workers=workers,
        seed=seed,
        mode=loaded.find(MODE, otherwise=" ('max' or 'min') unless --mode is given")
        if mode is None
        else mode,
        target=enough,
        keep=keep,
        durability=durability,
        extend=extend,
        strict=strict,
        lease_ttl_s=lease_ttl_s,
        straggler_timeout_s=straggler_timeout_s,
        retries=retries,
        tolerate=tolerate,
        threads_per_worker=threads_per_worker,
        gpus_per_worker=gpus_per_worker,
    )
    screen.say(outcome(result))


def worker(
    store: StorePath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The run to work on.")],
    target: TargetName,
    arguments: OwnArguments = None,
    *,
    strict: Strict = False,
    space: Annotated[
        str | None,
        typer.Option(help="What the space is called, if not `space`.", rich_help_panel=NAMES),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="What the strategy is called, if not `strategy`.",
            rich_help_panel=NAMES,
        ),
    ] = None,
    lease_ttl_s: LeaseTtl = 60.0,
    straggler_timeout_s: Straggler = None,
    retries: Retries = 1,
    tolerate: Tolerate = 0.5,
) -> None:
    """Train members of a run that somebody began, until it is over.

    Start as many as you like, and kill any of them. A module without a `space` or a `strategy`
    gets those that the run was begun with.
    """
    # A worker waits for as long as it takes.
    where = existing(store, read_only=False, patience_s=math.inf)
    loaded = load(target, arguments)
    view = Follower(where.store, where.chosen(name))
    its_space, its_strategy = space_and_strategy(
        loaded, view.opening, space=space, strategy=strategy
    )
    settings = Settings(
        name=name,
        space=its_space,
        strategy=its_strategy,
        steps=view.population.steps,
        seed=view.opening.seed,
        mode=view.opening.mode,
    )
    opened = Run(
        settings,
        Options(
            strict=strict,
            failures=Failures(retries=retries, tolerate=tolerate),
            lease_ttl_s=lease_ttl_s,
            straggler_timeout_s=straggler_timeout_s,
        ),
        store=where.store,
        blobs=where.blobs,
        worker=this_worker(),
        resume=False,
    )
    if not opened.done:
        settle_threads(opened, Share(workers=0))
    with Progress(name, shown=None) as watch:
        watch(opened)
        try:
            work(opened, as_function(loaded.train), watch)
        except KeyboardInterrupt as stopped:
            left = f"this worker left run {name!r}, which others may go on with"
            raise type(stopped)(f"{left}; the same command joins it again") from None
    say_doubts(result := opened.result())
    screen.say(outcome(result))


def outcome(result: Result) -> str:
    """Say what a run has come to."""
    population = result.population
    end = "done" if population.done else _stopped(population) or "not over"
    best = _best(result) if population.best else "no finite score yet"
    counts = ", ".join(
        (
            count(len(population), "member"),
            count(population.turns, "turn"),
            count(population.copies, "copy"),
        )
    )
    over = population.done or not population.stopped
    how = " without its target" if population.why_stopped == "target" else ""
    more = "" if over else f"; `ramet run`{how} goes on with it"
    return f"Run {result.opening.name!r} is {end}: {counts}, {best}, seed {result.seed}{more}."


def _best(result: Result) -> str:
    """Say the best score, and that of the best member as they stand, where it is another."""
    best = result.best
    said = f"best {number(best.score)}"
    try:
        final = result.final
    except NoBest:
        return said
    if final.checkpoint == best.checkpoint:
        return said
    return f"{said} ({number(final.score)} {'at the end' if result.population.done else 'now'})"


def _stopped(population: Population) -> str | None:
    """Say how a run was stopped, if it was."""
    match population.why_stopped:
        case "target":
            return "at its target"
        case "loop":
            return "stopped by its training loop"
        case _:
            return "stopped" if population.stopped else None
