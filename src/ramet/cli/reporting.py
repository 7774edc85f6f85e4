"""`ramet report`: a run as a page to open, print and send."""

from pathlib import Path
from typing import Annotated

from ramet.cli import screen
from ramet.cli.reading import without_log
from ramet.cli.stores import STANDARD_OUTPUT, AsJson, RunName, StoreName, output_option
from ramet.errors import UsageError
from ramet.wording import encodable, size


def report(
    store: StoreName,
    name: RunName = None,
    *,
    output: Annotated[Path, output_option("The file to write or replace; - prints it.")] = Path(
        "report.html"
    ),
    as_json: AsJson = False,
) -> None:
    """Write a report of a run, finished or not, as one HTML file that needs no network.

    It shows the settings, the best score, the schedule and how to replay it, which changes paid
    off, where all weights came from, failures, and the time and disk space that the run took.
    """
    if as_json and output == STANDARD_OUTPUT:
        raise UsageError(
            "only one thing can be printed, but got -o - with --json; name a file for the "
            "report, or leave --json out"
        )
    try:
        from ramet.report import write  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(str(error)) from None
    with without_log(store, name) as result:
        written = write(result, output)
        run = result.opening.name
    if as_json:
        screen.say_json({"run": run, "path": encodable(str(output), "utf-8"), "bytes": written})
        return
    screen.say(f"{output}: {size(written)}, run {run!r}", err=True)
