"""The program that called ``ramet.run``; its top level runs in each worker process, too."""

import builtins
import contextlib
import logging
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ramet.engine.processes.definitions import look_up
from ramet.errors import NotPortable

logger = logging.getLogger("ramet")

# The name of the script's module in a worker while its top level runs, as in multiprocessing.
LOADING = "__mp_main__"
NAMES = frozenset({"__main__", LOADING})
# Programs that run other people's code, and have nothing of the user's at their own top level.
LAUNCHERS = frozenset({"IPython", "ipykernel", "ipykernel_launcher", "pytest", "ramet"})
# The code that execnet (pytest-xdist) starts its workers with.
EXECNET = "import sys;exec(eval(sys.stdin.readline()))"
# Options of the interpreter that take a value: the rest of the word, or the next word.
OPTIONS_WITH_VALUE = "mWX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A program as it was started."""

    # Its text when ramet was imported, even if the file has changed since.
    source: bytes
    # Empty for ``python -c``.
    file: str
    # Its name if it was started with ``python -m``, or empty.
    module: str
    # ``sys.argv`` and the working directory at the start of the program.
    arguments: list[str]
    folder: str


# Whether this process is a worker, and the script that it runs, if any.
_worker = False
_script: Script | None = None
# Whether a warning has said that the program cannot run again.
_warned = False
# Ids of the globals of ``__main__`` when training first began. A worker runs no further.
_first: dict[str, int] | None = None


def this_script() -> Script | None:
    """Return the program of this process, or None if a worker cannot run it."""
    if _worker:
        return _script
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    # A folder or an archive has a spec of that name, but is no module.
    module = "" if spec is None or spec.name == "__main__" else str(spec.name)
    if file is None:
        return _command()
    source = _source_of(main)
    if _launches(module, Path(file)) or source is None or not _compiles(source):
        return None
    begun_as = module.removesuffix(".__main__") or "".join(sys.argv[:1])
    return _script_of(source, begun_as, file=str(file), module=module)


def warn_unless_it_runs_again(train: object) -> None:
    """Warn once if the training function belongs to a program that workers cannot run."""
    global _warned  # noqa: PLW0603 - a process has one program
    interactive = hasattr(sys, "ps1") or hasattr(builtins, "__IPYTHON__")
    if _warned or interactive or getattr(train, "__module__", None) not in NAMES or this_script():
        return
    _warned = True
    fields = {"program": " ".join(sys.orig_argv)}
    logger.warning(
        "worker processes cannot run this program again (%(program)s): they get its functions and "
        "values, but not what its top level does besides, such as patching a library or "
        "registering an environment; start it as `python train.py` or `python -m package.train`",
        fields,
        extra=fields,
    )


def path() -> list[str]:
    """Return the strings of ``sys.path``; Python ignores anything else in it."""
    places: list[object] = [*sys.path]
    return [str(place) for place in places if isinstance(place, str)]


def first_path() -> list[str]:
    """Return ``sys.path`` as it was when this process imported ramet.

    A worker imports ramet by this path, so that both import it from the same place.
    """
    return [str(Path(_folder, place)) for place in _path]


def become(script: Script | None) -> None:
    """Note that this process is a worker, and its script."""
    global _worker, _script
    _worker, _script = True, script


def note_globals() -> None:
    """Note the globals of ``__main__`` when training first begins."""
    global _first  # noqa: PLW0603 - a process has one program
    if _first is None:
        _first = {name: id(value) for name, value in vars(sys.modules["__main__"]).items()}


def check_unchanged(names: Iterable[str]) -> None:
    """Refuse globals that cannot be pickled and have changed since training first began."""
    for name in names:
        value = look_up(vars(sys.modules["__main__"]), name)
        if _first is not None and "." not in name and _first.get(name) != id(value):
            raise NotPortable(
                f"what changes between one ramet.run and the next must be something that can be "
                f"pickled, but {name!r} ({type(value).__qualname__}) cannot, and a worker that "
                f"runs the script has the first; make it inside the training function, or train "
                f"in this process, workers=0"
            )


def _launches(module: str, file: Path) -> bool:
    """Return whether a program is one that runs other people's code."""
    scripts = {Path(sysconfig.get_path("scripts")), Path(sys.executable).parent}
    standard_library = Path(sysconfig.get_path("stdlib")) in file.parents
    installed = "site-packages" in file.parts
    return (
        module.partition(".")[0] in LAUNCHERS
        or (standard_library and not installed)
        or file.parent in scripts
    )


def _command() -> Script | None:
    """Return the code of ``python -c``, unless it runs other people's code."""
    code = _code_in(sys.orig_argv[1:])
    # Processes of multiprocessing are started with code that reads what to run.
    serves = "multiprocessing.process" in sys.modules and (
        sys.modules["multiprocessing.process"].parent_process() is not None
    )
    if code is None or code == EXECNET or serves or hasattr(builtins, "__IPYTHON__"):
        return None
    return _script_of(code.encode(), code, file="", module="")


def _source_of(main: ModuleType) -> bytes | None:
    """Return the text of a program as it was at the first call."""
    file = str(getattr(main, "__file__", None))
    if file not in _sources:
        with contextlib.suppress(OSError):
            _sources[file] = Path(file).read_bytes()
    if file not in _sources:
        # It is in an archive. A loader that has no source is not an error.
        with contextlib.suppress(AttributeError, ImportError):
            _sources[file] = main.__spec__.loader.get_source("__main__").encode()  # type: ignore[union-attr]  # caught above
    return _sources.get(file)


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _script_of(source: bytes, begun_as: str, *, file: str, module: str) -> Script:
    arguments = _arguments_behind(begun_as)
    return Script(source=source, file=file, module=module, arguments=arguments, folder=_folder)


def _code_in(words: list[str]) -> str | None:
    """Return the code behind -c in an interpreter's command line.

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
            if letter in OPTIONS_WITH_VALUE:
                if letter == "m":
                    return None
                if not word[place:]:
                    next(rest, None)
                break
    return None


def _arguments_behind(begun_as: str) -> list[str]:
    """Return ``sys.argv`` as it was at the start, or as it is now if that is unknown."""
    words = sys.orig_argv
    if begun_as not in words:
        return list(sys.argv)
    return [*sys.argv[:1], *words[words.index(begun_as) + 1 :]]


def here() -> str:
    """Return the working directory, or an empty text if it was deleted."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # It was deleted.
        return ""


# The working directory and sys.path when ramet was imported, and texts of programs by file.
_folder = here()
_path = path()
_sources: dict[str, bytes] = {}
_source_of(sys.modules["__main__"])
