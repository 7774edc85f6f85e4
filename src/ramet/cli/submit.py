"""`ramet submit`: workers on Slurm, or as jobs of this machine."""

import importlib
import importlib.util
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from ramet.blobs import DirectoryBlobs
from ramet.cli import options, screen
from ramet.cli.reading import whole
from ramet.cli.stores import StoreName
from ramet.cli.submitted import WorkerJob
from ramet.cli.train import outcome
from ramet.cli.view import View
from ramet.errors import RunFailed, StoreError, UsageError
from ramet.places import existing
from ramet.store.postgres.address import find_address
from ramet.wording import command, command_words, count

# Seconds between two looks at the run and its jobs.
LOOK_S = 1.0
# Of more jobs, only the first and the last are named.
MOST_NAMED = 4
# Seconds that a worker may need to leave after its grace, and that Slurm may be late.
MARGIN_S = 20
# Slurm gives no longer notice than 65,535 s.
MOST_GRACE_S = 65_000.0
# How often a job may be queued again when its time is over: more often than any run needs.
RESUBMISSIONS = 10_000
# Says what submitit logs; "NOCONFIG" leaves logging as it is.
LOG_LEVEL = "SUBMITIT_LOG_LEVEL"


SbatchOptions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<key=value>",
        help="Another option of sbatch, such as partition=gpu; may be repeated.",
        show_default=False,
    ),
]
JobGrace = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=MOST_GRACE_S,
        help="Seconds that a turn has to end before its job does; else it is given back.",
    ),
]


class SubmittedJob(Protocol):
    """What this command needs of a job of submitit's."""

    job_id: str
    # Where its log is.
    paths: Any

    @property
    def state(self) -> str:
        """What the scheduler calls its state."""
        ...

    def done(self) -> bool:
        """Return whether it has ended, for whatever reason."""
        ...

    def cancel(self, check: bool = ...) -> None:  # noqa: FBT001 - submitit's
        """Ask the scheduler to end it."""
        ...


def submit(
    store: StoreName,
    name: options.RunToJoin,
    target: options.TargetName,
    arguments: options.OwnArguments = None,
    *,
    workers: Annotated[
        int, typer.Option(min=1, help="How many workers, each a job of its own.")
    ] = 1,
    local: Annotated[
        bool, typer.Option("--local", metavar="", help="Start the jobs on this machine instead.")
    ] = False,
    minutes: Annotated[
        int, typer.Option(min=1, help="The time of each job; then another takes its place.")
    ] = 60,
    cpus: Annotated[int, typer.Option(min=1, help="Cores of each worker.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each worker.")] = 0,
    sbatch: SbatchOptions = None,
    folder: Annotated[
        Path, typer.Option(help="Where logs are written; all machines must reach it.")
    ] = Path("ramet-jobs"),
    grace: JobGrace = 60.0,
) -> None:
    """Send workers of a run to Slurm, and follow them until the run is over.

    The run must exist: see `ramet begin`. A worker that is pre-empted or out of time ends
    its turn, if it can within --grace seconds, and is sent again. Ctrl-C ends only this command.
    """
    _check_store(store, local=local)
    _check_grace(grace, minutes=minutes)
    where = existing(store)
    view = View(where.store, where.choose(name))
    _say_folder(where.blobs, local=local)
    executor = _make_executor(folder, notice_s=int(grace) + MARGIN_S, local=local)
    executor.update_parameters(
        name=f"ramet-{name}",
        timeout_min=minutes,
        cpus_per_task=cpus,
        # Slurm refuses even a 0 where there are no GPUs.
        gpus_per_node=gpus or None,
        slurm_array_parallelism=workers,
        slurm_additional_parameters=_read_options(sbatch or []),
    )
    job = WorkerJob(command_words([store, name, target], ["--grace", str(grace)], arguments or ()))
    jobs: Sequence[SubmittedJob] = executor.submit_array([job] * workers)
    _say_sent(jobs, folder)
    try:
        _follow(view, jobs)
    except KeyboardInterrupt as stopped:
        raise type(stopped)(_leave(jobs, store, name, local=local)) from None
    except StoreError as error:
        raise type(error)(f"{error}. {_say_how_to_follow(store, name)}") from error
    with whole(store, name) as result:
        screen.say(outcome(result))


def _check_store(store: str, *, local: bool) -> None:
    """Refuse a store that other machines cannot share, and a URL with a password in it."""
    address = find_address(store)
    if address is None and not local:
        raise UsageError(
            f"workers on several machines must share a database, but {store} is a file, which "
            f"SQLite can share only within one machine, even on a network file system; record the "
            f"run in postgresql://user@host/database, or start the jobs on this machine with "
            f"--local"
        )
    if address is not None and address.has_secret:
        raise UsageError(
            f"the password of {address} must not be in the URL, because the files of the jobs and "
            f"the list of processes would show it; leave it out, and put it into ~/.pgpass or "
            f"PGPASSWORD"
        )


def _check_grace(grace: float, *, minutes: int) -> None:
    """Refuse jobs so short that the scheduler could not tell their workers to leave in time."""
    if 60 * minutes <= grace + MARGIN_S:
        raise UsageError(
            f"a job must last longer than the grace of its worker and {MARGIN_S} s, because that "
            f"long before its end the worker is asked to leave, but got --minutes {minutes} "
            f"({60 * minutes} s) and --grace {grace:g}; raise --minutes, or lower --grace"
        )


def _say_folder(blobs: object, *, local: bool) -> None:
    if isinstance(blobs, DirectoryBlobs) and not local:
        screen.say(f"Checkpoints are in {blobs.path}: all machines must reach that folder.")


def _make_executor(folder: Path, *, notice_s: int, local: bool) -> Any:
    """Return what submits jobs; each gets a signal some seconds before its time is over."""
    if importlib.util.find_spec("submitit") is None:
        raise UsageError(
            "jobs are sent by submitit, but it is not installed; run pip install 'ramet[slurm]'"
        )
    # Of a login node; submitit would fall back to this machine.
    missing = [program for program in ("sbatch", "srun", "sacct") if shutil.which(program) is None]
    if missing and not local:
        raise UsageError(
            f"jobs must be sent from a machine with Slurm, but there is no {missing[0]} here; call "
            f"this on a login node, or start the jobs on this machine with --local"
        )
    again = {
        "slurm_max_num_timeout": RESUBMISSIONS,
        "local_max_num_timeout": RESUBMISSIONS,
    }
    library = _import_submitit()
    executor = library.AutoExecutor(folder, cluster="local" if local else "slurm", **again)
    # Local jobs have this parameter as well, but update_parameters takes it for Slurm only.
    executor.parameters["signal_delay_s"] = notice_s
    return executor


def _import_submitit() -> Any:
    """Import submitit, without letting it close the handlers of logging that others have set."""
    before = os.environ.get(LOG_LEVEL)
    os.environ[LOG_LEVEL] = "NOCONFIG"
    try:
        return importlib.import_module("submitit")
    finally:
        # Jobs inherit it.
        del os.environ[LOG_LEVEL]
        if before is not None:
            os.environ[LOG_LEVEL] = before


def _read_options(texts: Sequence[str]) -> dict[str, str]:
    """Return options of sbatch by name.

    >>> _read_options(["partition=gpu", "--gres=gpu:1"])
    {'partition': 'gpu', 'gres': 'gpu:1'}
    """
    pairs = [text.removeprefix("--").partition("=") for text in texts]
    for (key, _, value), text in zip(pairs, texts, strict=True):
        if not key or not value:
            raise UsageError(
                f"an option of sbatch must be written as key=value, as in partition=gpu, but got "
                f"{text!r}"
            )
    return {key: value for key, _, value in pairs}


def _say_sent(jobs: Sequence[SubmittedJob], folder: Path) -> None:
    ids = [job.job_id for job in jobs]
    # Local processes do not have numbers in a row.
    named = ", ".join(ids) if len(ids) <= MOST_NAMED else f"{ids[0]} to {ids[-1]}"
    screen.say(f"Sent {count(len(jobs), 'worker')}: {named}. Logs are in {folder}.")


def _follow(view: View, jobs: Sequence[SubmittedJob]) -> None:
    """Wait until a run is over and its workers have ended; raise RunFailed if they all end early.

    Jobs that have not started by then are cancelled.
    """
    while True:
        # Before the look at the run, which the last worker may just have ended.
        ended = all(job.done() for job in jobs)
        view.catch_up()
        if view.over:
            break
        if ended:
            raise RunFailed(_describe_failure(view, jobs[0]))
        time.sleep(LOOK_S)
    for job in jobs:
        if job.state == "PENDING":
            job.cancel(check=False)
    while not all(job.done() for job in jobs):
        time.sleep(LOOK_S)


def _describe_failure(view: View, job: SubmittedJob) -> str:
    log: Path = job.paths.stderr
    # The worker's own message, if it has said something; else that of the job.
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    # A job that was sent again goes on with its log.
    own = [line for line in lines if line.startswith("ramet: ")]
    said = next(reversed(own or lines), "nothing")
    return (
        f"workers must train until their run is over, but all have ended and run "
        f"{view.opening.name!r} is not over; the first, job {job.job_id}, is {job.state} and its "
        f"log {log} says: {said}"
    )


def _say_how_to_follow(store: str, name: str) -> str:
    follow = command("status", [store, name], ["--watch"])
    return (
        f"The workers go on without this command, which would send more of them if it were called "
        f"again; follow the run with {follow}"
    )


def _leave(jobs: Sequence[SubmittedJob], store: str, name: str, *, local: bool) -> str:
    """Return what an interrupt says; jobs of this machine end with this command."""
    if not local:
        first, *_ = jobs[0].job_id.split("_")
        stop = command("stop", [store, name])
        return (
            f"the workers go on without this command; {stop} ends them after their turns, and "
            f"scancel {first} at once"
        )
    for job in jobs:
        job.cancel()
    return f"the workers were asked to leave; the same command goes on with run {name!r}"
