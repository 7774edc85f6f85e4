"""`ramet run` and `ramet worker`: training from the command line."""

from typing import cast

from ramet.cli import options, screen
from ramet.cli.stores import AsJson, StoreName
from ramet.cli.target import SPACE, STRATEGY, load
from ramet.cli.view import View
from ramet.engine.engines import Engine, Inline, Processes, Workers
from ramet.engine.joining import join
from ramet.engine.launch import run as train_run
from ramet.engine.run.failures import Failures
from ramet.engine.run.fitting import describe_pace
from ramet.errors import NoBest, UsageError
from ramet.history import Result
from ramet.history.confirming import say_both
from ramet.places import Storage
from ramet.population import Population
from ramet.wording import count, number


def run(
    target: options.TargetName,
    arguments: options.OwnArguments = None,
    *,
    steps: options.Steps = None,
    store: options.StoreToWrite = "runs.db",
    blobs: options.BlobsOption = None,
    name: options.Name = None,
    workers: options.WorkerProcesses = "0",
    seed: options.Seed = None,
    mode: options.ModeOption = None,
    enough: options.TargetScore = None,
    keep: options.KeepOption = None,
    durability: options.DurabilityOption = "power",
    extend: options.Extend = False,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    space: options.SpaceName = SPACE,
    strategy: options.StrategyName = STRATEGY,
    lease_ttl_s: options.LeaseTtl = 60.0,
    straggler_timeout_s: options.Straggler = None,
    retries: options.Retries = 1,
    tolerate: options.Tolerate = 0.5,
    threads: options.Threads = None,
    gpus: options.Gpus = None,
    as_json: AsJson = False,
) -> None:
    """Train a run, or resume one that was stopped or killed.

    The module defines a training function or task `train`, a `space`, a `strategy`, how many
    `steps` each member trains, and in `mode` which scores are good, "max" or "min".
    Ctrl-C stops the run; the same command resumes it.
    """
    loaded = load(target, arguments)
    failures = Failures(
        retries=retries,
        tolerate=tolerate,
        lease_ttl_s=lease_ttl_s,
        straggler_timeout_s=straggler_timeout_s,
        strict=strict,
    )
    asked = loaded.read(strategy)
    with screen.progress_in_file(as_json=as_json):
        result = train_run(
            loaded.train,
            loaded.read(space),
            asked,
            steps=loaded.read_steps() if steps is None else steps,
            mode=loaded.read_mode() if mode is None else mode,
            store=Storage(store, blobs=blobs, durability=durability, keep=keep),
            name=name or loaded.usual_name,
            existing=options.choose_existing(extend=extend, overwrite=overwrite),
            seed=seed,
            target=enough,
            engine=_choose_engine(cast(Workers, workers), failures, threads=threads, gpus=gpus),
        )
    pace = describe_pace(asked, result.opening)
    say_end(result, as_json=as_json, more=f" It had {pace}." if pace else "")


def worker(
    store: StoreName,
    name: options.RunToJoin,
    target: options.TargetName,
    arguments: options.OwnArguments = None,
    *,
    strict: options.Strict = False,
    space: options.OwnSpaceName = None,
    strategy: options.OwnStrategyName = None,
    only: options.Only = None,
    grace: options.Grace = 5.0,
    lease_ttl_s: options.LeaseTtl = 60.0,
    straggler_timeout_s: options.Straggler = None,
    retries: options.Retries = 1,
    tolerate: options.Tolerate = 0.5,
    as_json: AsJson = False,
) -> None:
    """Train members of a run that another command began, until it is over.

    Start as many as you like, and kill any of them. After SIGTERM a worker ends its turn, if it can
    within --grace seconds, and leaves; a second signal makes it leave at once. A module without a
    `space` or a `strategy` gets those that the run began with.
    """
    loaded = load(target, arguments)
    failures = Failures(
        retries=retries,
        tolerate=tolerate,
        lease_ttl_s=lease_ttl_s,
        straggler_timeout_s=straggler_timeout_s,
        strict=strict,
    )
    with screen.progress_in_file(as_json=as_json):
        result = join(
            loaded.train,
            store,
            name=name,
            space=loaded.find(space, usual=SPACE),
            strategy=loaded.find(strategy, usual=STRATEGY),
            engine=Inline(failures=failures, grace_s=grace, only=only),
        )
    say_end(result, as_json=as_json)


def say_end(result: Result, *, as_json: bool, more: str = "") -> None:
    """Print what a run has come to, or the object that `ramet runs --json` has for it.

    Args:
        result: The run.
        as_json: Whether the object is printed.
        more: What is said behind the sentence.
    """
    if as_json:
        screen.say_json(View(result.store, result.opening.name).figures())
    else:
        screen.say(f"{outcome(result)}{more}")


def _choose_engine(
    workers: Workers, failures: Failures, *, threads: int | None, gpus: float | None
) -> Engine:
    if workers != 0:
        return Processes(workers, threads=threads, gpus=gpus, failures=failures)
    if (threads, gpus) != (None, None):
        raise UsageError(
            f"--threads and --gpus are for worker processes, but got --workers 0 with "
            f"threads={threads} and gpus={gpus}; set --workers, or leave them out"
        )
    return Inline(failures=failures)


def outcome(result: Result) -> str:
    """Say what a run has come to."""
    population = result.population
    end = "done" if population.done else _describe_stop(population) or "not over"
    none = "no turn within its bounds yet" if population.goals else "no finite score yet"
    best = _best(result) if population.best else none
    facts = [
        count(len(population), "member"),
        count(population.turns, "turn"),
        count(population.copies, "copy"),
        *([count(population.failures, "failed attempt")] if population.failures else []),
    ]
    counts = ", ".join(facts)
    over = population.done or not population.stopped
    how = " without its target" if population.why_stopped == "target" else ""
    more = "" if over else f"; `ramet run`{how} goes on with it"
    return f"Run {result.opening.name!r} is {end}: {counts}, {best}, seed {result.seed}{more}."


def _best(result: Result) -> str:
    """Say the best score, and that of the best member as they stand, where it is another."""
    best = result.best
    if best.confirmed is not None:
        return f"best {say_both(best.score, best.confirmed)}"
    said = f"best {number(best.score)}"
    try:
        final = result.final
    except NoBest:
        return said
    if final.checkpoint == best.checkpoint:
        return said
    return f"{said} ({number(final.score)} {'at the end' if result.population.done else 'now'})"


def _describe_stop(population: Population) -> str | None:
    """Say how a run was stopped, if it was."""
    match population.why_stopped:
        case "target":
            return "at its target"
        case "loop":
            return "stopped by its training loop"
        case _:
            return "stopped" if population.stopped else None
