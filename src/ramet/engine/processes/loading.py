"""How a worker process runs the user's program up to ``ramet.run``, and trains from there."""

import builtins
import contextlib
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, FunctionType, ModuleType
from typing import Never, TypeAlias

from ramet.engine.processes.leaving import leave
from ramet.engine.processes.script import LOADING, NAMES, Script, become, here, note_globals
from ramet.errors import UsageError
from ramet.frames import is_users

logger = logging.getLogger("ramet")

# What a worker does at the script's call of ramet.run; returns the process's exit code.
AtCall: TypeAlias = Callable[[], int]

# Seconds after which a worker that still runs the script's top level says so.
LATE_S = 30.0

# What this process does when it reaches ramet.run, while it is loading code.
_at_call: AtCall | None = None
# Set in a worker process: reports a misuse, and returns the exit code.
_refuse: Callable[[UsageError], int] | None = None


def end_loading(*, workers: int = 0) -> None:
    """Train and end here if this process is a worker that is loading code.

    ``ramet.run`` calls this first. In a worker, no code after that call runs.
    """
    if _at_call is not None:
        if threading.current_thread() is threading.main_thread():
            leave(_at_call())
        # Only this thread ends: the script's top level goes on to its end, or to a call of its own.
        raise SystemExit
    if _refuse is not None:
        _check_worker(workers, _refuse)
        return
    note_globals()
    process = sys.modules.get("multiprocessing.process")
    if process is not None and getattr(process.current_process(), "_inheriting", False):
        raise UsageError(
            "a script must begin its training behind `if __name__ == '__main__':` if it starts "
            "processes of its own, such as a DataLoader's with 'spawn' or 'forkserver', but one of "
            "these reached ramet.run while it imported the script; put that call behind the guard"
        )


def load(script: Script | None, at_call: AtCall, refuse: Callable[[UsageError], int]) -> None:
    """Run a script's top level as ``__main__``.

    Where the script calls ``ramet.run``, run ``at_call`` instead and end the process.
    """
    global _at_call, _refuse  # noqa: PLW0603 - a process has one program
    _at_call, _refuse = at_call, refuse
    become(script)
    if script is None:
        # Functions from the parent find their globals in it, and can be pickled by name.
        sys.modules["__main__"] = main = ModuleType("__main__")
        main.__dict__["__builtins__"] = builtins
        return
    module = _module_of(script)
    sys.modules["__main__"] = sys.modules[LOADING] = module
    with contextlib.ExitStack() as loading:
        loading.callback(_name_main, module)
        loading.enter_context(_silence_output())
        loading.enter_context(_restore_start(script))
        loading.enter_context(warn_when_late(LATE_S))

        def arrive() -> int:
            global _at_call  # noqa: PLW0603 - as above
            loading.close()
            _at_call = at_call
            _end_imports()
            return at_call()

        _at_call = arrive
        code = compile(script.source, script.file or "<string>", "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 - the user's own program
    _at_call = at_call


def end() -> None:
    """Let calls of ramet.run train from now on."""
    global _at_call  # noqa: PLW0603 - as above
    _end_imports()
    _at_call = None


def is_loading() -> bool:
    """Return whether this process is a worker that is still loading code."""
    return _at_call is not None


class Reached(BaseException):
    """Ends the import of a module at its call of ramet.run.

    It is no Exception, because scripts may catch those.
    """


@contextlib.contextmanager
def importing_up_to_training(name: str) -> Iterator[Callable[[], ModuleType]]:
    """End the import of a module in this block where its top level calls ``ramet.run``.

    Yield a function that returns the module. Other modules must not reach that call.
    """
    global _at_call  # noqa: PLW0603 - as above
    reached: list[ModuleType] = []

    def stop() -> Never:
        frame = next(filter(_is_import, _frames(sys._getframe(1))))  # noqa: SLF001 - as above
        if frame.f_globals["__name__"] != name:
            raise _make_guard_error(frame)
        reached.append(sys.modules[name])
        raise Reached

    _at_call = stop
    try:
        with contextlib.suppress(Reached):
            yield lambda: sys.modules[name]
    finally:
        _at_call = None
    if reached and name not in sys.modules:
        # Python drops a module that raises.
        sys.modules[name] = reached[0]


@contextlib.contextmanager
def warn_when_late(after_s: float) -> Iterator[None]:
    """Warn if the block takes long, and name the line that it has reached."""
    timer = threading.Timer(after_s, _say_late, (threading.get_ident(), after_s))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say_late(thread: int, after_s: float) -> None:
    frames = _frames(sys._current_frames().get(thread))  # noqa: SLF001 - as faulthandler does
    lines = [f"{frame.f_code.co_filename}:{frame.f_lineno}" for frame in frames if _is_users(frame)]
    fields = {"seconds": after_s, "at": lines[0] if lines else "an unknown line"}
    logger.warning(
        "a worker process has run the script's top level for %(seconds)g s, is at %(at)s, and has "
        "not reached ramet.run yet; imports may be slow on a busy machine, but if it waits for "
        "something that the first process holds, such as the lock of a file, put that behind "
        "`if __name__ == '__main__':`",
        fields,
        extra=fields,
    )


def _check_worker(workers: int, refuse: Callable[[UsageError], int]) -> None:
    """Refuse calls of ramet.run in a worker that would train again in each worker."""
    module = next((frame for frame in _job_frames() if _is_import(frame)), None)
    if module is not None:
        leave(refuse(_make_guard_error(module)))
    if workers:
        raise UsageError(
            f"a worker process must not start workers of its own, but ramet.run was called in one "
            f"with {workers=}; use workers=0 there, or train before the outer ramet.run"
        )


def _make_guard_error(module: FrameType) -> UsageError:
    name, file = module.f_globals["__name__"], module.f_code.co_filename
    return UsageError(
        f"a module that is imported must call ramet.run behind `if __name__ == '__main__':`, but "
        f"{name!r} reached that call when it was imported ({file}:{module.f_lineno}); put the call "
        f"behind the guard"
    )


def _job_frames() -> Iterator[FrameType]:
    """Yield the frames of this call that belong to the job that the worker trains."""
    for frame in _frames(sys._getframe(1)):  # noqa: SLF001 - as `warnings` does
        if frame.f_globals.get("__name__") == "ramet.engine.processes.child":
            return
        yield frame


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_users(frame: FrameType) -> bool:
    return is_users(frame.f_code.co_filename)


def _is_import(frame: FrameType) -> bool:
    return frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") not in NAMES


def _end_imports() -> None:
    """Mark modules as imported if their import ended at ramet.run."""
    for frame in filter(_is_import, _frames(sys._getframe(1))):  # noqa: SLF001 - as above
        spec = frame.f_globals.get("__spec__")
        if spec is not None:
            # Otherwise other threads that import it would wait for ever.
            spec._initializing = False  # noqa: SLF001 - as importlib sets it


@contextlib.contextmanager
def _silence_output() -> Iterator[None]:
    """Discard what is printed; the parent has printed it already."""
    if sys.stdout is None:
        yield
        return
    sys.stdout.flush()
    number = sys.__stdout__.fileno() if sys.__stdout__ else 1
    kept, nothing = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    # The descriptor, not ``sys.stdout``: loggers of the script may keep a reference to that.
    os.dup2(nothing, number)
    os.close(nothing)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # It was closed, or replaced by the script.
            sys.stdout.flush()
        os.dup2(kept, number)
        os.close(kept)


def _module_of(script: Script) -> ModuleType:
    module = ModuleType(LOADING)
    module.__dict__["__builtins__"] = builtins
    spec = importlib.util.find_spec(script.module) if script.module else None
    module.__spec__ = spec
    if spec is not None:
        module.__package__, module.__loader__ = spec.parent, spec.loader
    if script.file:
        module.__file__ = script.file
    return module


@contextlib.contextmanager
def _restore_start(script: Script) -> Iterator[None]:
    """Give the script the arguments and folder that it was started with, then restore ours."""
    arguments, folder, environment = sys.argv, here(), dict(os.environ)
    sys.argv = list(script.arguments)
    with contextlib.suppress(OSError):  # The folder is gone, so no script can rely on it.
        os.chdir(script.folder)
    try:
        yield
    finally:
        sys.argv = arguments
        with contextlib.suppress(OSError):
            os.chdir(folder)
        # They include this worker's share of the machine.
        os.environ.clear()
        os.environ.update(environment)


def _name_main(module: ModuleType) -> None:
    module.__name__ = "__main__"
    _name_as_in_parent(module, set())


def _name_as_in_parent(thing: ModuleType | type, seen: set[int]) -> None:
    """Set the module of functions and classes to ``__main__``, as in the parent."""
    for value in list(vars(thing).values()):
        inner = getattr(value, "__func__", value)
        ours = isinstance(inner, FunctionType | type) and inner.__module__ == LOADING
        if not ours or id(inner) in seen:
            continue
        seen.add(id(inner))
        with contextlib.suppress(AttributeError, TypeError):  # A metaclass may forbid it.
            inner.__module__ = "__main__"
        if isinstance(inner, type):
            _name_as_in_parent(inner, seen)
