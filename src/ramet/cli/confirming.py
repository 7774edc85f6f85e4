"""`ramet confirm`: evaluate the best turns of a run again."""

from typing import Annotated

import typer

from ramet.cli.options import OwnArguments, RunToJoin
from ramet.cli.stores import AsJson, StoreName
from ramet.cli.target import load
from ramet.cli.train import say_end
from ramet.engine.confirming import confirm as confirm_run
from ramet.history import load as load_result

# What the module calls the function that evaluates.
EVALUATE = "evaluate"


def confirm(
    store: StoreName,
    name: RunToJoin,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="script.py or package.module, and :function unless it is 'evaluate'.",
        ),
    ],
    arguments: OwnArguments = None,
    *,
    top: Annotated[int, typer.Option(help="How many of the best turns to evaluate again.")] = 5,
    times: Annotated[int, typer.Option(help="How often to evaluate each.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Once a run is over, evaluate its best turns again, and say which is then the best.

    The module defines a function `evaluate` of a state and a random generator; behind a colon,
    another function or a task may be named. If the command is killed, the same command goes on from
    there.
    """
    where, _, function = target.partition(":")
    loaded = load(f"{where}:{function or EVALUATE}", arguments)
    result = confirm_run(loaded.train, load_result(store, name), top=top, times=times)
    say_end(result, as_json=as_json)
