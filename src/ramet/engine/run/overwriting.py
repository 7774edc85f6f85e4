"""Overwriting a run: its record is replaced at once, then its checkpoints are deleted."""

import logging

from ramet.blobs.base import Blobs
from ramet.engine.run.fitting import fit_to_budget
from ramet.engine.run.opening import Settings, make_opening
from ramet.store.base import Store

logger = logging.getLogger("ramet")


def overwrite(settings: Settings, *, store: Store, blobs: Blobs, worker: str) -> None:
    """Begin a run in place of the one of its name, if there is one.

    If the process dies, the store has the old run with all its checkpoints, or the new one. Old
    checkpoints that are then left over are pruned while the new run is trained.

    Args:
        settings: The settings of the new run.
        store: The store.
        blobs: Where the checkpoints are.
        worker: The name of this worker.
    """
    name = settings.name
    if name not in store.runs():
        return
    # Settings that cannot be are refused here, before anything is deleted.
    opening = make_opening(fit_to_budget(settings))
    outdated = blobs.sizes(name)
    store.overwrite_run(opening, worker=worker)
    blobs.delete(name, outdated)
    fields = {"run": name, "checkpoints": len(outdated)}
    logger.info(
        "run %(run)r is begun anew; the old one and its %(checkpoints)d checkpoints are deleted",
        fields,
        extra=fields,
    )
