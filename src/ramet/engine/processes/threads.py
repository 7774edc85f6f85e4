"""How many threads the libraries of a run's processes have, which sums of floats depend on."""

import logging
import os

from ramet.engine.processes.allowance import own_threads, usable_cores
from ramet.engine.processes.resources import Share
from ramet.engine.run.run import Run
from ramet.events import Conditions
from ramet.wording import count

logger = logging.getLogger("ramet")


def settle_threads(run: Run, share: Share) -> int:
    """Return the threads of each process: those that are set, else those on record.

    A new run records them. If they differ from the record, a warning says so.

    Args:
        run: The run.
        share: The worker processes.
    """
    wanted = share.asked if share.workers else own_threads(os.environ)
    run.keep_to(Conditions(threads=wanted or share.default))
    recorded = run.threads or share.default
    threads = wanted or recorded
    if threads != recorded:
        _say_other(run, threads, recorded)
    elif threads * share.workers > max(usable_cores(), share.workers) and not wanted:
        _say_many(run, threads, share.workers)
    return threads


def _say_other(run: Run, threads: int, recorded: int) -> None:
    fields = {"run": run.name, "threads": threads, "recorded": recorded}
    before = count(recorded, "thread")
    logger.warning(
        "run %(run)r has been trained with %(before)s a process and goes on with "
        "%(threads)d, so that sums may be rounded differently; to keep to it, set "
        "OMP_NUM_THREADS=%(recorded)d (or torch.set_num_threads), or with workers "
        "engine=ramet.Processes(..., threads=%(recorded)d)",
        {**fields, "before": before},
        extra=fields,
    )


def _say_many(run: Run, threads: int, workers: int) -> None:
    fields = {"run": run.name, "threads": threads, "workers": workers, "cores": usable_cores()}
    logger.warning(
        "run %(run)r keeps to the %(threads)d threads a process that it was begun with, which for "
        "%(workers)d workers is more than %(cores)d cores; engine=ramet.Processes(..., threads=N) "
        "may be faster, but sums may then be rounded differently",
        fields,
        extra=fields,
    )
