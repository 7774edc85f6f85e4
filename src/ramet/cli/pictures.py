"""`ramet plot`: a run as a picture."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from ramet.cli import screen
from ramet.cli.reading import whole
from ramet.cli.stores import STANDARD_OUTPUT, StoreName, output_option
from ramet.errors import UsageError
from ramet.history import Result
from ramet.history import load as load_result
from ramet.history.metrics import metric_names
from ramet.places import existing
from ramet.wording import shell_word

Kind: TypeAlias = Literal[
    "scores",
    "hyperparameter",
    "importance",
    "metric",
    "front",
    "tree",
    "lineage",
    "parallel",
    "workers",
    "best-so-far",
]


def plot(
    store: StoreName,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="The run; may be left out if there is only one. best-so-far takes several.",
        ),
    ] = None,
    *,
    kind: Annotated[
        Kind,
        typer.Argument(
            metavar="KIND",
            help="scores, hyperparameter, importance, metric, front, tree, lineage, parallel, "
            "workers or best-so-far.",
        ),
    ],
    hyperparameter: Annotated[
        str | None, typer.Option(help="The hyperparameter to show; needed if there are several.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric to show; needed if there are several.")
    ] = None,
    color: Annotated[
        str, typer.Option(help="What colours the tree: a hyperparameter's name, or score.")
    ] = "score",
    output: Annotated[
        Path | None, output_option("The PNG, SVG or PDF; by default KIND.png.")
    ] = None,
) -> None:
    """Draw a run: scores, hyperparameters, metrics, copies between members, or workers.

    In best-so-far, runs with names that differ only in a number at the end are one line: their
    median.
    """
    try:
        from ramet import plots  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(str(error)) from error
    if output == STANDARD_OUTPUT:
        raise UsageError(
            "a plot must go to a file with a name that ends with .png, .svg or .pdf, but got -o -, "
            f"standard output; write -o {kind}.png"
        )
    path = Path(f"{kind}.png") if output is None else output
    if kind == "best-so-far":
        drawn = plots.best_so_far(_group_by_label(store, names or []))
        plots.save(drawn, path)
        screen.say(f"{path}", err=True)
        return
    named = {"hyperparameter": hyperparameter, "metric": metric, "color": color}
    with whole(store, _only(names or [], kind)) as result:
        plots.save(_draw(plots, result, kind, **named), path)
    screen.say(f"{path}", err=True)


def _draw(
    plots: Any,
    result: Result,
    kind: Kind,
    *,
    hyperparameter: str | None,
    metric: str | None,
    color: str | None,
) -> Any:
    match kind:
        case "hyperparameter":
            return plots.hyperparameter(result, hyperparameter or _sole(result))
        case "metric":
            return plots.metric(result, metric or _sole_metric(result))
        case "tree":
            return plots.tree(result, color)
        case _:
            return getattr(plots, kind)(result)


def _sole(result: Result) -> str:
    """Return the name of the only hyperparameter."""
    names: list[str] = result.opening.space["names"]
    if len(names) > 1:
        raise UsageError(
            f"a hyperparameter must be named unless it is the only one, but the run has {names}; "
            f"add {shell_word(f'--hyperparameter={names[0]}')}"
        )
    return names[0]


def _sole_metric(result: Result) -> str:
    """Return the name of the only metric."""
    names = metric_names(result.events)
    if not names:
        raise UsageError(
            f"a metric must have been logged to be drawn, but run {result.opening.name!r} has "
            f"none; turn.log(loss=...) logs one"
        )
    if len(names) > 1:
        raise UsageError(
            f"a metric must be named unless it is the only one, but the run has {names}; add "
            f"--metric {shell_word(names[0])}"
        )
    return names[0]


def _only(names: Sequence[str], kind: Kind) -> str | None:
    if len(names) > 1:
        raise UsageError(
            f"{kind} must be of one run, but got {list(names)}; only best-so-far takes several"
        )
    return names[0] if names else None


def _group_by_label(store: str, names: Sequence[str]) -> dict[str, list[Result]]:
    """Return runs by label: names that differ only in a number at the end share one."""
    where = existing(store)
    chosen = [where.choose(name) for name in names] or where.store.runs()
    labelled: defaultdict[str, list[str]] = defaultdict(list)
    for name in chosen:
        labelled[re.sub(r"[-_ .]?\d+$", "", name) or name].append(name)
    return {
        label if len(its) > 1 else its[0]: [load_result(store, name) for name in its]
        for label, its in labelled.items()
    }
