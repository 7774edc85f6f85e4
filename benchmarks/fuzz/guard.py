"""What no trial may do, seen by Python's audit events: start, evaluate, or reach elsewhere."""

import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

STARTS = {
    "ctypes.dlopen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "socket.connect",
    "subprocess.Popen",
}
EVALUATES = {"code.__new__", "compile", "exec", "marshal.loads"}
# The events that begin with paths as arguments, and how many.
CHANGES = {
    "os.chmod": 1,
    "os.chown": 1,
    "os.link": 2,
    "os.mkdir": 1,
    "os.remove": 1,
    "os.rename": 2,
    "os.rmdir": 1,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.utime": 1,
    "shutil.rmtree": 1,
    "sqlite3.connect": 1,
}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Where Python and its libraries read what they need.
INSTALLED = tuple({os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, *sys.path) if p})


class Guard:
    """Notes what happens in this process that should not, between ``watch`` and ``rest``."""

    def __init__(self) -> None:
        self.escapes: list[str] = []
        self._folder: str | None = None
        sys.addaudithook(self._hook)

    def watch(self, folder: Path) -> None:
        """Begin to watch a trial that may use this folder."""
        self.escapes, self._folder = [], os.path.realpath(folder)

    def rest(self) -> None:
        """Watch nothing."""
        self._folder = None

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        folder = self._folder
        if folder is None:
            return
        # What the hook itself does is not watched.
        self._folder = None
        try:
            if self._escapes(event, args, folder):
                self.escapes.append(f"{event} {str(args)[:200]}")
        finally:
            self._folder = folder

    def _escapes(self, event: str, args: tuple[Any, ...], folder: str) -> bool:
        if event in STARTS:
            return True
        if event in EVALUATES:
            return not _importing(sys._getframe(1))  # noqa: SLF001 - there is no other way
        if event == "open":
            path, _, flags = args
            inside = (folder, "/dev/null") if flags & WRITES else (folder, "/proc", *INSTALLED)
            return not _within(path, inside)
        if event in CHANGES:
            return not all(_within(path, (folder,)) for path in args[: CHANGES[event]])
        return False


def _within(path: Any, folders: tuple[str, ...]) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return True  # An open file.
    named = os.fsdecode(path).removeprefix("file:").partition("?")[0]
    # By its name, without following links.
    text = os.path.normpath(Path.cwd() / named)
    return any(text == folder or text.startswith(folder + os.sep) for folder in folders)


def _importing(frame: FrameType | None) -> bool:
    """Say whether an import is under way, which evaluates what is installed."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
