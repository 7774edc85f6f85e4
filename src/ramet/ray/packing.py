"""A job as bytes for Ray's workers: functions of the script are sent with their code."""

import pickle
from dataclasses import replace

from ray import cloudpickle

from ramet.engine.processes.child import Job
from ramet.engine.processes.packing import find_culprit
from ramet.errors import NotPortable
from ramet.frames import collect_cells, learn_cells


def pack(job: Job) -> bytes:
    """Return a job as bytes; refuse one that cannot be pickled, and name the part at fault."""
    try:
        # Apart, so that what keeps the workers need not load what they train.
        parts = replace(job, train=None), job.train, collect_cells()
        packed = [cloudpickle.dumps(part) for part in parts]
    except Exception as error:
        raise NotPortable(
            f"what Ray's workers train must be something that can be sent to another process, but "
            f"{find_culprit(job)} cannot be pickled: {error!r}. Make it inside the training "
            f"function"
        ) from error
    return pickle.dumps(packed)


def unpack(packed: bytes, *, train: bool) -> Job:
    """Return a job, with or without what it trains."""
    first, second, cells = pickle.loads(packed)  # noqa: S301 - the driver packed it, and Ray carried it
    try:
        job: Job = cloudpickle.loads(first)
        if not train:
            return job
        # So that tracebacks quote the cells of the driver's notebook.
        learn_cells(cloudpickle.loads(cells))
        return replace(job, train=cloudpickle.loads(second))
    except ImportError as error:
        raise NotPortable(
            f"modules that training uses must be on every node of the Ray cluster, but {error}; "
            f"install them there, or send your own with ray.init(runtime_env={{'working_dir': "
            f"'.'}}) before ramet.run"
        ) from error
