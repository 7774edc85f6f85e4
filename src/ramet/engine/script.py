"""The program that called ``ramet.run``, whose top level runs in every worker process as well."""

import builtins
import contextlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

from ramet.engine.definitions import found
from ramet.errors import NotPortable, UsageError

# What a worker calls the script while its top level runs, as multiprocessing does.
LOADING = "__mp_main__"
NAMES = frozenset({"__main__", LOADING})
# What starts the code of others, and has nothing of the user's at its own top level.
LAUNCHERS = frozenset({"IPython", "ipykernel", "ipykernel_launcher", "pytest", "ramet"})
# Options of the interpreter whose value is the rest of the word, or the next one.
VALUED = "mWX"


class Reached(BaseException):
    """A worker that loads its script has come to the call that trains; the loading ends there.

    It is no Exception, which scripts may catch.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A program as it was started."""

    # As it was when training began, whatever becomes of the file.
    source: bytes
    # Empty for ``python -c``.
    file: str
    # The name that ``python -m`` gave it, if it did.
    module: str
    # ``sys.argv`` and the working directory as the program found them.
    arguments: list[str]
    folder: str


# Where this process was when ramet was imported.
_folder = str(Path.cwd())
# Whether this process is a worker, the script that it runs if there is one, and whether the top
# level of that is still running.
_worker = _loading = False
_script: Script | None = None
# What the globals of ``__main__`` were when training first began: a worker may come no further.
_first: dict[str, int] | None = None


def this_script() -> Script | None:
    """Return the program of this process, if it is one that a worker can run as well."""
    if _worker:
        return _script
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    # A folder or an archive that is run has a spec of that name, and is no module.
    module = "" if spec is None or spec.name == "__main__" else str(spec.name)
    if file is None:
        return _command()
    if _launches(module, Path(file)) or not file.endswith(".py"):
        return None
    begun_as = module.removesuffix(".__main__") or "".join(sys.argv[:1])
    with contextlib.suppress(OSError):
        return _script_of(Path(file).read_bytes(), begun_as, file=str(file), module=module)
    return None


def end_loading() -> None:
    """Go no further if this process only loads the script; called before anything is begun."""
    global _first  # noqa: PLW0603 - a process has one program
    if _loading:
        raise Reached
    if _first is None:
        _first = {name: id(value) for name, value in vars(sys.modules["__main__"]).items()}
    process = sys.modules.get("multiprocessing.process")
    if process is not None and getattr(process.current_process(), "_inheriting", False):
        raise UsageError(
            "a script must begin its training behind `if __name__ == '__main__':` if it starts "
            "processes of its own, such as a DataLoader's with 'spawn' or 'forkserver', but one of "
            "these came to ramet.run while it imported the script; put that call behind the guard"
        )


def check_unchanged(names: Iterable[str]) -> None:
    """Refuse that a worker has its own of what was bound since training first began."""
    for name in names:
        value = found(vars(sys.modules["__main__"]), name)
        if _first is not None and "." not in name and _first.get(name) != id(value):
            raise NotPortable(
                f"what changes between one ramet.run and the next must be something that can be "
                f"pickled, but {name!r} ({type(value).__qualname__}) cannot, and a worker that "
                f"runs the script has the first; make it inside the training function, or train "
                f"in this process, workers=0"
            )


def load(script: Script | None) -> None:
    """Run a script's top level up to where it would train, and have it be ``__main__``."""
    global _worker, _script, _loading  # noqa: PLW0603 - a process has one program
    _worker, _script = True, script
    if script is None:
        # There, what comes from the parent's finds its globals, and can be pickled by name.
        sys.modules["__main__"] = main = ModuleType("__main__")
        main.__dict__["__builtins__"] = builtins
        return
    module = _module_of(script)
    sys.modules["__main__"] = sys.modules[LOADING] = module
    _loading = True
    try:
        with contextlib.suppress(Reached), _as_it_began(script):
            code = compile(script.source, script.file or "<string>", "exec", dont_inherit=True)
            exec(code, vars(module))  # noqa: S102 - the user's own program
    finally:
        _loading = False
    module.__name__ = "__main__"
    _name_as_in_parent(module, set())


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Leave out what is printed, which the parent has printed already."""
    if sys.stdout is None:
        yield
        return
    sys.stdout.flush()
    number = sys.__stdout__.fileno() if sys.__stdout__ else 1
    kept, nothing = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    # The file and not ``sys.stdout``, which loggers of the script may hold on to.
    os.dup2(nothing, number)
    os.close(nothing)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, AttributeError):  # It was closed, or put away.
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
def _as_it_began(script: Script) -> Iterator[None]:
    """Have the arguments and the folder that the script found; put those that it left back."""
    arguments, folder, environment = sys.argv, Path.cwd(), dict(os.environ)
    sys.argv = list(script.arguments)
    with contextlib.suppress(OSError):  # It is gone: no script can rely on it.
        os.chdir(script.folder)
    try:
        yield
    finally:
        sys.argv = arguments
        os.chdir(folder)
        # The share of the machine that this worker was given among them.
        os.environ.clear()
        os.environ.update(environment)


def _name_as_in_parent(thing: ModuleType | type, seen: set[int]) -> None:
    """Have functions and classes say that they are of ``__main__``, as the parent's do."""
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


def _launches(module: str, file: Path) -> bool:
    """Say whether a program is one that runs the code of others."""
    scripts = {Path(sysconfig.get_path("scripts")), Path(sys.executable).parent}
    python_s_own = Path(sysconfig.get_path("stdlib")) in file.parents
    installed = "site-packages" in file.parts
    return (
        module.partition(".")[0] in LAUNCHERS
        or (python_s_own and not installed)
        or file.parent in scripts
    )


def _command() -> Script | None:
    """Return the code of ``python -c``, unless it starts the code of others."""
    code = _code_in(sys.orig_argv[1:])
    # Those who start processes send them code that reads what to do.
    serves = "multiprocessing.process" in sys.modules and (
        sys.modules["multiprocessing.process"].parent_process() is not None
    )
    if code is None or "stdin" in code or serves or hasattr(builtins, "__IPYTHON__"):
        return None
    return _script_of(code.encode(), code, file="", module="")


def _script_of(source: bytes, begun_as: str, *, file: str, module: str) -> Script:
    arguments = _arguments_behind(begun_as)
    return Script(source=source, file=file, module=module, arguments=arguments, folder=_folder)


def _code_in(words: list[str]) -> str | None:
    """Return what stands behind -c in an interpreter's command line.

    >>> _code_in(["-Xdev", "-W", "error", "-Ic", "print()", "-c"]), _code_in(["a.py", "-c", "b"])
    ('print()', None)
    """
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            return None
        if word.startswith("--"):
            continue
        for place, letter in enumerate(word[1:], 2):
            if letter == "c":
                return word[place:] or next(rest, None)
            if letter in VALUED:
                if letter == "m":
                    return None
                if not word[place:]:
                    next(rest, None)
                break
    return None


def _arguments_behind(begun_as: str) -> list[str]:
    """Return ``sys.argv`` as it was in the beginning, or as it is where that cannot be found."""
    words = sys.orig_argv
    if begun_as not in words:
        return list(sys.argv)
    return [*sys.argv[:1], *words[words.index(begun_as) + 1 :]]
