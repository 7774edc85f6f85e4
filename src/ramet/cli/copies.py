"""`ramet backup`: copies of a store."""

from pathlib import Path
from typing import Annotated

import typer

from ramet import history
from ramet.cli import screen
from ramet.cli.stores import AsJson, StoreName
from ramet.wording import count, encodable, size


def backup(
    store: StoreName,
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="The file of the copy, which must not exist yet."),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Copy a store and its checkpoints, even while runs go on.

    The copy shows the store at one moment. It is checked as by `ramet doctor`, and appears only
    when it is complete. On the same file system, checkpoints are hard links to the same files and
    take no extra space.
    """
    made = history.backup(store, target)
    if as_json:
        figures = {"runs": made.runs, "files": made.files, "bytes": made.size}
        screen.say_json({"run": None, "path": encodable(str(target), "utf-8"), **figures})
        return
    what = f"{count(made.runs, 'run')}, {count(made.files, 'checkpoint file')}"
    screen.say(f"{target}: {what}, {size(made.size)}")
