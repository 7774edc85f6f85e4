"""`ramet begin`: a run for workers to train."""

from ramet.blobs import DirectoryBlobs
from ramet.cli import options, screen
from ramet.cli.stores import AsJson
from ramet.cli.target import SPACE, STRATEGY, load
from ramet.cli.view import View
from ramet.engine.run.opening import Settings
from ramet.engine.run.run import Run
from ramet.engine.source import fingerprint
from ramet.engine.training import open_run
from ramet.errors import UsageError
from ramet.places import Place, Storage, place
from ramet.space import Space
from ramet.store import SQLiteStore
from ramet.store.postgres.address import leave_out_secrets
from ramet.wording import command, count


def begin(
    target: options.TargetName,
    arguments: options.OwnArguments = None,
    *,
    steps: options.Steps = None,
    store: options.StoreToWrite = "runs.db",
    blobs: options.BlobsOption = None,
    name: options.Name = None,
    seed: options.Seed = None,
    mode: options.ModeOption = None,
    enough: options.TargetScore = None,
    keep: options.KeepOption = None,
    extend: options.Extend = False,
    overwrite: options.Overwrite = False,
    space: options.SpaceName = SPACE,
    strategy: options.StrategyName = STRATEGY,
    as_json: AsJson = False,
) -> None:
    """Begin a run without training it, for `ramet worker` on other machines.

    The module is like that for `ramet run`. The same command resumes a run that was stopped; with
    --extend, the run gets more steps.
    """
    loaded = load(target, arguments)
    storage = Storage(store, blobs=blobs, keep=keep)
    settings = Settings(
        name=name or loaded.usual_name,
        space=Space.of(loaded.read(space)),
        strategy=loaded.read(strategy),
        steps=loaded.read_steps() if steps is None else steps,
        mode=loaded.read_mode() if mode is None else mode,
        seed=seed,
        keep=storage.kept,
        target=enough,
        code=fingerprint(loaded.train),
    )
    where = place(storage)
    try:
        _check_remembered(where, blobs)
        existing = options.choose_existing(extend=extend, overwrite=overwrite)
        run = open_run(settings, where, existing=existing)
        if as_json:
            screen.say_json(View(where.store, run.name).figures())
            return
        names = _name_others(space=space, strategy=strategy)
        named = [leave_out_secrets(store), run.name, target]
        screen.say(_describe(run, command("worker", named, names, arguments or ())))
    finally:
        where.close()


def _check_remembered(where: Place, blobs: str | None) -> None:
    """Refuse a folder that workers would not know of, because they get the store alone."""
    if blobs and isinstance(where.store, SQLiteStore) and isinstance(where.blobs, DirectoryBlobs):
        raise UsageError(
            f"workers must find the checkpoints of a run by its store, but {where.name} does not "
            f"remember the folder {blobs!r} (--blobs); leave --blobs out to keep them beside the "
            f"file, or name object storage, or a database as the store"
        )


def _name_others(*, space: str, strategy: str) -> list[str]:
    """Return the options that name what a worker would not find by itself."""
    asked = {"--space": (space, SPACE), "--strategy": (strategy, STRATEGY)}
    return [word for key, (name, usual) in asked.items() if name != usual for word in (key, name)]


def _describe(run: Run, worker: str) -> str:
    """Say what a run needs now; ``worker`` is the command that starts one for it."""
    if run.done:
        return f"Run {run.name!r} is done; there is nothing to train."
    population = run.population
    size = f"{count(len(population), 'member')} of {count(population.steps, 'step')}"
    return (
        f"Run {run.name!r} waits for workers: {size}, {count(population.turns, 'turn')} so far. "
        f"Start any number of them: {worker}"
    )
