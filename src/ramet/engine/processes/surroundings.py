"""What a worker process sets up, so that it is like its parent, before it reads its job."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from ramet.engine.processes import settings as process_settings
from ramet.engine.processes.arrival import find_own
from ramet.engine.processes.loading import AtCall, load
from ramet.engine.processes.portable import dump
from ramet.engine.processes.script import Script, path, this_script
from ramet.engine.processes.settings import Carried
from ramet.errors import NotPortable, UsageError
from ramet.frames import Cell, collect_cells, learn_cells


class Dismissed(SystemExit):
    """The parent wants this process to end, or is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The script, arguments, path and settings that a job needs in its process."""

    # None in notebooks, and in programs that run other people's code.
    script: Script | None
    # ``sys.argv`` as it is when training begins.
    arguments: list[str]
    # ``sys.path`` as it is when training begins.
    path: list[str]
    settings: Carried
    # Globals that cannot be pickled, with the reasons; the script defines them in each worker.
    left: dict[str, str]
    # The cells of the parent's notebook, which tracebacks quote.
    cells: list[Cell]

    @classmethod
    def here(cls, left: dict[str, str]) -> Self:
        """Return the surroundings of this process."""
        return cls(
            script=this_script(),
            arguments=list(sys.argv),
            path=path(),
            settings=process_settings.collect(dump),
            left=left,
            cells=collect_cells(),
        )

    def enter(self, at_call: AtCall, refuse: Callable[[UsageError], int]) -> None:
        """Run the script; if it calls ``ramet.run``, run ``at_call`` there and end the process."""
        sys.path[:] = self.path
        learn_cells(self.cells)
        try:
            load(self.script, at_call, refuse)
        except Dismissed:
            raise
        except (Exception, SystemExit) as error:
            raise _unloadable(error, self.script) from error

    def settle(self) -> None:
        """Apply the parent's arguments, path and settings."""
        sys.argv = list(self.arguments)
        # The script may have extended it again.
        sys.path[:] = self.path
        process_settings.apply(self.settings)

    def check(self) -> None:
        """Refuse to train if a global could not be sent and the script does not define it."""
        for name, why in self.left.items():
            if find_own(name) is None:
                raise NotPortable(
                    f"what training uses must be something that can be pickled, or that the "
                    f"script's top level defines in each worker, but {name!r} is neither: {why}. "
                    f"Make it before ramet.run and outside of `if __name__ == '__main__':`, or "
                    f"inside the training function"
                )


def _unloadable(error: BaseException, program: Script | None) -> UsageError:
    """Return an error that says where a script failed in a worker."""
    file = (program.file if program else "") or "<string>"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)]
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    at = f", line {lines[-1 - files[::-1].index(file)]}" if file in files else ""
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    return UsageError(
        f"a script runs again in each worker process, up to ramet.run or the end, with the same "
        f"arguments, but {file}{at} raised {what}; put what only the first process can do behind "
        f"`if __name__ == '__main__':`"
    )
