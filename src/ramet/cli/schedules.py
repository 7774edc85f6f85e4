"""`ramet schedule` and `ramet replay`: export the schedule that a run found, and train on it."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from ramet import wording
from ramet.cli import screen
from ramet.cli.options import OwnArguments, RunToJoin, TargetName
from ramet.cli.reading import whole
from ramet.cli.stores import STANDARD_OUTPUT, AsJson, RunName, StoreName, output_option
from ramet.cli.target import load
from ramet.cli.view import View
from ramet.engine.replaying import replay as replay_schedule
from ramet.errors import UsageError
from ramet.history import load as load_result
from ramet.history.replayed import Replayed
from ramet.schedule import Schedule
from ramet.visible import label


def schedule(
    store: StoreName,
    name: RunName = None,
    *,
    member: Annotated[
        int | None, typer.Option(help="The member to trace weights back from; by default the best.")
    ] = None,
    pieces: Annotated[
        int | None,
        typer.Option(help="Approximate it by this number of pieces, and print the error."),
    ] = None,
    stretch: Annotated[int | None, typer.Option(help="Stretch it to this number of steps.")] = None,
    python: Annotated[
        bool, typer.Option("--python", metavar="", help="Print a Python function for a script.")
    ] = False,
    output: Annotated[
        Path | None, output_option("The file to save it in as JSON; - prints it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the schedule that the best weights were trained on, across all copies."""
    with whole(store, name) as result:
        run, found = result.opening.name, result.schedule(member)
    deviation: dict[str, float] = {}
    if pieces is not None:
        found, deviation = found.smooth(pieces)
    if stretch is not None:
        found = found.stretch(stretch)
    if output == STANDARD_OUTPUT and (python or as_json):
        raise UsageError(
            "only one form of a schedule can be printed, but got -o - with "
            f"{'--python' if python else '--json'}; name a file, or leave one of them out"
        )
    if output is not None:
        found.save(output)
    if output == STANDARD_OUTPUT:
        _say_how_far_off(found, deviation, err=True)
        return
    if python:
        typer.echo(found.to_python(), nl=False)
    elif as_json:
        for piece in found.pieces:
            own = {"start": piece.start, "stop": piece.stop, "hparams": piece.hparams}
            screen.say_json({"run": run, "member": member, **own})
    else:
        _show(found, deviation)
    if output is not None:
        screen.say(f"saved in {output}", err=True)


def replay(
    store: StoreName,
    name: RunToJoin,
    target: TargetName,
    arguments: OwnArguments = None,
    *,
    seeds: Annotated[int, typer.Option(help="Networks to train, from seed 0 on.")] = 5,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            metavar="",
            help="One network, with the same random draws as the best weights.",
        ),
    ] = False,
    last_values: Annotated[
        bool,
        typer.Option("--last-values", metavar="", help="Use only its last values, as constants."),
    ] = False,
    schedule_file: Annotated[
        Path | None, typer.Option("--schedule", help="A saved schedule instead of the run's best.")
    ] = None,
    stretch: Annotated[int | None, typer.Option(help="Stretch it to this number of steps.")] = None,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 trains in this one.")] = 0,
    as_name: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="The name of the replay; else NAME-replay, NAME-replay-last-values or "
            "NAME-replay-exact.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train new networks on the schedule that a run found, and compare their scores.

    The replay is a run of its own in the same store. TARGET is the script of the first run.
    """
    result = load_result(store, name)
    found = result.schedule() if schedule_file is None else Schedule.load(schedule_file)
    if last_values:
        found = found.last_values()
    if stretch is not None:
        found = found.stretch(stretch)
    replayed = replay_schedule(
        load(target, arguments).train,
        found,
        seeds=None if exact else range(seeds),
        mode=result.opening.mode,
        name=as_name or f"{name}-{_kind(exact=exact, last_values=last_values)}",
        store=store,
        workers=workers,
    )
    if as_json:
        screen.say_json(_describe(replayed, of=name))
    else:
        screen.say(str(replayed))


def _describe(replayed: Replayed, *, of: str) -> dict[str, Any]:
    """Return a replay as an object, with null for a score that is not finite."""
    figures = View(replayed.result.store, replayed.result.opening.name).figures()
    scores = [score if math.isfinite(score) else None for score in replayed.scores]
    return {
        **figures,
        "of": of,
        "scores": scores,
        "mean": replayed.mean,
        "sd": replayed.sd,
        "original": replayed.original,
    }


def _kind(*, exact: bool, last_values: bool) -> str:
    if exact:
        return "replay-exact"
    return "replay-last-values" if last_values else "replay"


def _show(found: Schedule, deviation: dict[str, float]) -> None:
    table = screen.table("steps", *found.names)
    for piece in found.pieces:
        values = (wording.value_of(piece.hparams, name) for name in found.names)
        table.add_row(f"{piece.start:,} to {piece.stop:,}", *values)
    screen.show(table)
    _say_how_far_off(found, deviation)


def _say_how_far_off(found: Schedule, deviation: dict[str, float], *, err: bool = False) -> None:
    for name, part in deviation.items():
        averaged = name in found.names_to_average()
        if math.isinf(part):
            # No percentage says how far a value is off from 0.
            error = "not 0 at some steps where it was 0"
        elif averaged:
            error = f"off by at most {part:.2%}"
        else:
            error = f"different at {part:.2%} of the steps"
        screen.say(f"{label(name)} is {error}", err=err)
