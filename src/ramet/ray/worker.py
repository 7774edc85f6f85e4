"""A worker: an actor that trains turns of a run until it is over."""

import ray

from ramet.engine.processes.reports import Report
from ramet.engine.workers.loop import work
from ramet.process import set_watcher
from ramet.ray.cluster import find_home
from ramet.ray.needs import check_reach
from ramet.ray.packing import unpack


class Worker:
    """What runs in the actor."""

    def find_node(self) -> str:
        """Return the id of the node that it is on."""
        return str(ray.get_runtime_context().get_node_id())

    def train(self, packed: bytes, *, worker: str, watcher: str | None, home: str) -> Report | None:
        """Train until the run is over; return the error that ended it early."""
        try:
            set_watcher(watcher)
            job = unpack(packed, train=True)
            # Where a file is missing, SQLite would begin another one.
            check_reach(job.store, home=home, addresses=[find_home()])
            work(job.join(worker), job.train, watch=lambda _: None)
        except BaseException as error:  # noqa: BLE001 - the driver raises it, traceback and all
            return Report.of(error)
        return None
