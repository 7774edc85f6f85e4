"""`ramet lineage` and `ramet export`: the contents of a log, for people and for programs."""

import io
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ramet import files, wording
from ramet.cli import screen
from ramet.cli.reading import whole
from ramet.cli.stores import STANDARD_OUTPUT, AsJson, RunName, StoreName, output_option
from ramet.errors import UsageError
from ramet.history import Result, Trained
from ramet.history.ancestry import Payoff, describe_survivors, payoffs
from ramet.history.exporting import Format, export
from ramet.history.frames import Table, columns
from ramet.visible import label


def lineage(
    store: StoreName,
    name: RunName = None,
    *,
    member: Annotated[
        int | None, typer.Option(help="The member to trace weights back from; by default the best.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where weights come from: which members trained them, with which values.

    Also show which members' first weights survive, and what changes of each hyperparameter did to
    the score in the next turn. "paid off" is the share of changes after which the score gained more
    than the median of the other members did in their turn of the same number, "ahead" by how much
    more, as the median of all changes. A lower loss is a gain.
    """
    with whole(store, name) as result:
        _lineage(result, member, as_json=as_json)


def _lineage(result: Result, member: int | None, *, as_json: bool) -> None:
    tree = result.lineage()
    # Without a best there may still be changes to show.
    no_best = member is None and result.population.best is None and bool(tree.turns)
    if no_best and not as_json:
        behind = []
    else:
        behind = tree.behind(result.best.checkpoint if member is None else tree.weights(member))
    if as_json:
        for turn in behind:
            screen.say_json({"run": result.opening.name, **_as_json(turn)})
        return
    members = wording.count(len(result.population), "member")
    screen.say(f"{label(result.opening.name)}: {members}. {describe_survivors(tree)}\n")
    which = f"of member {member}" if member is not None else "with the best score"
    if no_best:
        typer.echo(
            "No score was finite, so there is no best. Name a member to trace back: --member."
        )
    else:
        typer.echo(f"The history of the weights {which}:")
        screen.show(_path(behind, result.opening.space["names"]))
    if effects := list(tree.effects()):
        typer.echo("\nWhat changes did to the score in the turn that followed:")
        screen.show(_payoffs(payoffs(effects, result.opening.space["names"])))


def export_(
    store: StoreName,
    name: RunName = None,
    *,
    table: Annotated[
        Table,
        typer.Option(
            metavar="<which>", help="turns, copies, members, scores, metrics or confirmations."
        ),
    ] = "turns",
    format_: Annotated[
        Format, typer.Option("--format", metavar="<kind>", help="csv, jsonl or parquet.")
    ] = "csv",
    output: Annotated[
        Path | None, output_option("The file to write; without it, or with -, print the table.")
    ] = None,
) -> None:
    """Write a run as a table: its turns, copies, members, scores, metrics or confirmations.

    A pipe or a file gets the text unchanged; a terminal gets escapes for control characters.
    Parquet needs Polars, and a file or a pipe to write to.
    """
    printed = output is None or output == STANDARD_OUTPUT
    if format_ == "parquet" and (output is None or (printed and screen.on_terminal())):
        raise UsageError("parquet must be written to a file, but none is named; add -o FILE")
    with whole(store, name) as result:
        number, names = itertools.count(), columns(table, result.opening)
        # Count rows as they pass: a list of them takes more memory than the run.
        rows = (row for row, _ in zip(result.each_row(table), number, strict=False))
        written = io.BytesIO()
        export(rows, names, written, format_)
    if output is None or (printed and format_ != "parquet"):
        screen.say_table(written.getvalue(), json=format_ == "jsonl")
        return
    files.write(output, written.getvalue())
    screen.say(f"{output}: {wording.count(next(number), 'row')} of {table}", err=True)


def _path(behind: Sequence[Trained], every: Sequence[str]) -> Any:
    """Return a table of turns, those of one member with the same values as one row."""
    names = [name for name in every if any(name in turn.hparams for turn in behind)]
    table = screen.table("steps", "member", "by", "score", *names, left=("by",))
    groups = itertools.groupby(
        behind, key=lambda turn: (turn.member, turn.edge not in {"own", "fresh"}, turn.hparams)
    )
    for _, group in groups:
        first, *others = group
        last = others[-1] if others else first
        table.add_row(
            f"{first.start:,} to {last.stop:,}",
            str(first.member),
            "" if first.edge == "own" else first.edge,
            wording.number(last.score),
            *(wording.value_of(last.hparams, name) for name in names),
        )
    return table


def _payoffs(found: Iterable[Payoff]) -> Any:
    table = screen.table("hyperparameter", "changes", "paid off", "ahead", left=("hyperparameter",))
    for payoff in found:
        if payoff.ahead is not None:
            table.add_row(
                payoff.name,
                f"{payoff.changes:,}",
                f"{payoff.paid_off:.0%}",
                f"{payoff.ahead:+.3g}",
            )
    return table


def _as_json(turn: Trained) -> dict[str, Any]:
    return {
        "member": turn.member,
        "turn": turn.number,
        "start": turn.start,
        "stop": turn.stop,
        "edge": turn.edge,
        "score": turn.score,
        "hparams": turn.hparams,
    }
