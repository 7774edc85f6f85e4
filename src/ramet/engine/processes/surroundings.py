"""What a worker process has in common with its parent before it is told what to train."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from ramet.engine.processes import settings as process_settings
from ramet.engine.processes.arrival import own
from ramet.engine.processes.loading import AtCall, load
from ramet.engine.processes.portable import dumped
from ramet.engine.processes.script import Script, path, this_script
from ramet.engine.processes.settings import Carried
from ramet.errors import NotPortable, UsageError


class Dismissed(SystemExit):
    """The parent wants this process to end, or is no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a process is to be like in which a job is done."""

    # Nothing in notebooks, and under programs that run the code of others.
    script: Script | None
    # ``sys.argv`` as it is when training begins.
    arguments: list[str]
    # ``sys.path``, the same.
    path: list[str]
    settings: Carried
    # Globals that could not be pickled, of which the script makes each worker its own; and why.
    left: dict[str, str]

    @classmethod
    def here(cls, left: dict[str, str]) -> Self:
        """Return what this process is like."""
        return cls(
            script=this_script(),
            arguments=list(sys.argv),
            path=path(),
            settings=process_settings.carried(dumped),
            left=left,
        )

    def enter(self, at_call: AtCall, refuse: Callable[[UsageError], int]) -> None:
        """Run the script; if it calls ``ramet.run``, do ``at_call`` there and end the process."""
        sys.path[:] = self.path
        try:
            load(self.script, at_call, refuse)
        except Dismissed:
            raise
        except (Exception, SystemExit) as error:
            raise _unloadable(error, self.script) from error

    def settle(self) -> None:
        """Take over what the parent's settings are when training begins."""
        sys.argv = list(self.arguments)
        # The script has added its own once more.
        sys.path[:] = self.path
        process_settings.apply(self.settings)

    def check(self) -> None:
        """Refuse to train without what could not be sent, if the script does not define it."""
        for name, why in self.left.items():
            if own(name) is None:
                raise NotPortable(
                    f"what training uses must be something that can be pickled, or that the "
                    f"script's top level defines in each worker, but {name!r} is neither: {why}. "
                    f"Make it before ramet.run and outside of `if __name__ == '__main__':`, or "
                    f"inside the training function"
                )


def _unloadable(error: BaseException, program: Script | None) -> UsageError:
    """Say where a script failed in a worker that did not in its parent."""
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
