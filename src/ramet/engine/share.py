"""What each worker process gets of the machine."""

import os
from dataclasses import dataclass

from ramet.engine.resources import (
    THREADS,
    check_gpus,
    environment_of,
    own_threads,
    threads_given,
    usable_cores,
    visible_gpus,
)
from ramet.errors import StrategyError
from ramet.strategies.base import check_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many worker processes, and what each gets of the machine."""

    workers: int
    threads: int | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        check_count("workers", self.workers, "worker processes; 0 trains in this one", least=0)
        if self.threads is not None:
            check_count("threads_per_worker", self.threads, "threads of each worker process")
        if self.workers == 0 and (self.threads, self.gpus) != (None, None):
            raise StrategyError(
                f"threads_per_worker and gpus_per_worker are for worker processes, but got "
                f"(workers=0, threads_per_worker={self.threads}, gpus_per_worker={self.gpus}); "
                f"set workers, or leave them out"
            )

    def check_gpus(self) -> None:
        """Refuse a share of GPUs that is more than there is."""
        check_gpus(visible_gpus(os.environ), workers=self.workers, per_worker=self.gpus)

    @property
    def asked(self) -> int | None:
        """The threads of each process that the user asks for, here or for all programs."""
        return self.threads or threads_given(os.environ)

    @property
    def default(self) -> int:
        """The threads of each process where nothing is asked for."""
        return max(1, usable_cores() // self.workers) if self.workers else own_threads(os.environ)

    def environments(self, threads: int) -> list[dict[str, str]]:
        """Return the environment of each worker, with so many threads."""
        gpus = visible_gpus(os.environ)
        # What is asked for here is meant more than what the environment says for all programs.
        given = {
            name: value
            for name, value in os.environ.items()
            if not (self.threads and name in THREADS)
        }
        return [
            environment_of(
                index, threads=threads, gpus=gpus, gpus_per_worker=self.gpus, given=given
            )
            for index in range(self.workers)
        ]
