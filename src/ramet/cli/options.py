"""Options of the commands that train."""

from typing import Annotated, Literal

import typer

from ramet.cli.completion import list_runs
from ramet.cli.stores import warn_if_shown
from ramet.cli.target import SPACE, STRATEGY
from ramet.engine.engines import Workers
from ramet.engine.run.opening import Existing
from ramet.errors import UsageError

# Headings in the help for options that few users need.
NAMES, LIMITS = "Names in the module", "Workers"


def parse_workers(text: str | int) -> Workers:
    """Return a number of worker processes, or "auto".

    Args:
        text: What the user typed.
    """
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a whole number nor 'auto'.") from None


def choose_existing(*, extend: bool, overwrite: bool) -> Existing:
    """Return what to do with a run of this name.

    Args:
        extend: Whether it gets more steps.
        overwrite: Whether it is deleted.
    """
    if extend and overwrite:
        raise UsageError(
            "a run on record can be extended or replaced, but --extend and --overwrite were both "
            "given; leave one of them out"
        )
    if overwrite:
        return "overwrite"
    return "extend" if extend else "resume"


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
        metavar="-- ARGUMENTS",
        help="Arguments for TARGET, which finds them in sys.argv.",
        show_default=False,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(help="How many steps each member trains; by default TARGET's `steps`."),
]
StoreToWrite = Annotated[
    str,
    typer.Option(
        help="The file, or the URL of the database, to record the run in.", callback=warn_if_shown
    ),
]
BlobsOption = Annotated[
    str | None,
    typer.Option(
        metavar="<folder|url>",
        help="Where checkpoints are kept, if not beside the store: a folder, s3://bucket/prefix, "
        "gs://... or az://... Credentials come from the environment.",
    ),
]
Name = Annotated[str | None, typer.Option(help="The run's name; by default that of the module.")]
WorkerProcesses = Annotated[
    object,
    typer.Option(
        metavar="<int|auto>",
        parser=parse_workers,
        help="Worker processes; 0 trains in this one, auto starts as many as fit the machine.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="The seed of all randomness.")]
ModeOption = Annotated[
    Literal["max", "min"] | None,
    typer.Option(help="Which scores are good; by default TARGET's `mode`."),
]
TargetScore = Annotated[
    float | None,
    typer.Option(
        "--target", metavar="<score>", help="The score that ends the run before its budget."
    ),
]
KeepOption = Annotated[
    Literal["lineage", "live", "best", "all"] | None,
    typer.Option(
        metavar="<which>",
        help="Checkpoints that stay: all members' and the best (lineage, the default), all "
        "members' (live), the best alone once the run is over (best), or all.",
    ),
]
DurabilityOption = Annotated[
    Literal["power", "process"],
    typer.Option(
        metavar="<what>",
        help="What ended turns survive: a loss of power, or only the end of a process (faster).",
    ),
]
Extend = Annotated[
    bool, typer.Option("--extend", metavar="", help="Give a run on record more steps.")
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", metavar="", help="Delete the run of this name, and begin again."),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", metavar="", help="Fail if the loop leaves a hyperparameter unread."),
]
SpaceName = Annotated[str, typer.Option(help="What the space is called.", rich_help_panel=NAMES)]
StrategyName = Annotated[
    str, typer.Option(help="What the strategy is called.", rich_help_panel=NAMES)
]
OwnSpaceName = Annotated[
    str | None,
    typer.Option(help=f"What the space is called, if not `{SPACE}`.", rich_help_panel=NAMES),
]
OwnStrategyName = Annotated[
    str | None,
    typer.Option(help=f"What the strategy is called, if not `{STRATEGY}`.", rich_help_panel=NAMES),
]
LeaseTtl = Annotated[
    float,
    typer.Option(
        help="Seconds of silence after which a worker's member is free for others.",
        rich_help_panel=LIMITS,
    ),
]
Grace = Annotated[
    float,
    typer.Option(
        help="Seconds that a turn has to end after SIGTERM, before it is given back.",
        rich_help_panel=LIMITS,
    ),
]
Only = Annotated[
    Literal["evaluators"] | None,
    typer.Option(
        metavar="evaluators",
        help="Train FIRE's evaluators only, and leave the others to other workers.",
        rich_help_panel=LIMITS,
    ),
]
Straggler = Annotated[
    float | None,
    typer.Option(
        help="Seconds until a round ends without the members that still train.",
        rich_help_panel=LIMITS,
    ),
]
Retries = Annotated[
    int,
    typer.Option(help="How often a turn that raised is tried again.", rich_help_panel=LIMITS),
]
Tolerate = Annotated[
    float,
    typer.Option(help="The fraction of the members that may be failing.", rich_help_panel=LIMITS),
]
Threads = Annotated[
    int | None,
    typer.Option(
        help="Threads of each worker; by default as the run began, or an equal share of the cores.",
        rich_help_panel=LIMITS,
    ),
]
Gpus = Annotated[
    float | None,
    typer.Option(help="GPUs of each worker, or a part of one.", rich_help_panel=LIMITS),
]
RunToJoin = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The run to work on; may be left out if there is only one, or one and its replays.",
        autocompletion=list_runs,
    ),
]
