"""Settings of libraries that training depends on, copied from the parent to its workers.

A worker that runs the script makes the script's settings again. These copies cover what was set in
a notebook, behind a guard or inside ``main()``, in libraries that the parent has imported. A worker
applies them as soon as it has imported the library.
"""

import importlib.util
import logging
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

from ramet.errors import StrategyWarning

# The settings of a library by name; pickled settings by library and name.
Values: TypeAlias = dict[str, Any]
Carried: TypeAlias = dict[str, dict[str, bytes | None]]


class Library(NamedTuple):
    """How to read the settings of a library, and how to set one."""

    read: Callable[[Any], Values]
    set: Callable[[Any, str, Any], None]


def collect(dumps: Callable[[Any], bytes]) -> Carried:
    """Return the settings of this process, with None for values that cannot be pickled."""
    return {
        name: {setting: _dump(value, dumps) for setting, value in values.items()}
        for name, library in LIBRARIES.items()
        if (module := sys.modules.get(name)) is not None and (values := _read(library.read, module))
    }


def apply(settings: Carried) -> None:
    """Apply settings to libraries now, or as soon as they are imported."""
    waiting = {name: values for name, values in settings.items() if name not in sys.modules}
    for name in settings.keys() - waiting.keys():
        _set(sys.modules[name], LIBRARIES[name], settings[name])
    sys.meta_path.insert(0, ApplyOnImport(waiting))


class ApplyOnImport(MetaPathFinder):
    """Applies the settings of libraries as soon as they are imported."""

    def __init__(self, settings: Carried) -> None:
        self._settings = settings

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002 - the same
    ) -> ModuleSpec | None:
        """Find a module in the ordinary way, and apply its settings after its import."""
        values = self._settings.pop(fullname, None)
        spec = None if values is None else importlib.util.find_spec(fullname)
        if values is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _set(module, LIBRARIES[fullname], values)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # for this module alone
        return spec


def _dump(value: Any, dumps: Callable[[Any], bytes]) -> bytes | None:
    try:
        return dumps(value)
    except Exception:  # noqa: BLE001 - whatever a value's own code raises
        return None


def _set(module: ModuleType, library: Library, values: dict[str, bytes | None]) -> None:
    here = library.read(module)
    for name, data in values.items():
        try:
            if data is None:
                if name not in here:
                    raise TypeError("it cannot be pickled")  # noqa: TRY301 - reported like any other
                continue
            value = pickle.loads(data)  # noqa: S301 - from the parent's pipe, never kept
            if name not in here or here[name] != value:
                library.set(module, name, value)
        except Exception as error:  # noqa: BLE001 - what a library makes of it
            warnings.warn(
                f"a worker process is to have the settings of the one that started it, but "
                f"{name!r} of {module.__name__} cannot be set there: {error}; set it inside the "
                f"training function, or at the top level of the script",
                StrategyWarning,
                stacklevel=2,
            )


def _jax(jax: Any) -> Values:
    return {name: value for name, value in jax.config.values.items() if value is not None}


def _set_jax(jax: Any, name: str, value: Any) -> None:
    jax.config.update(name, value)


# For each setting of PyTorch, how to read it and how to set it.
TORCH: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], None]]] = {
    "default dtype": (
        lambda torch: torch.get_default_dtype(),
        lambda torch, value: torch.set_default_dtype(value),
    ),
    "default device": (
        lambda torch: torch.get_default_device(),
        lambda torch, value: torch.set_default_device(value),
    ),
    "float32 matmul precision": (
        lambda torch: torch.get_float32_matmul_precision(),
        lambda torch, value: torch.set_float32_matmul_precision(value),
    ),
    "deterministic algorithms": (
        lambda torch: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda torch, value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
    ),
}
# Switches of PyTorch behind torch.backends.
BACKENDS = {
    "cudnn": ("enabled", "benchmark", "deterministic", "allow_tf32"),
    "cuda.matmul": (
        "allow_tf32",
        "allow_fp16_reduced_precision_reduction",
        "allow_bf16_reduced_precision_reduction",
    ),
    "mkldnn": ("enabled", "deterministic"),
}


# Newer versions have these in place of some of the above. After one is set, reading the old ones
# fails.
PRECISIONS = [
    f"backends.{place}fp32_precision"
    for place in (
        "",
        "cuda.matmul.",
        "cudnn.",
        "cudnn.conv.",
        "cudnn.rnn.",
        "mkldnn.",
        "mkldnn.conv.",
        "mkldnn.rnn.",
        "mkldnn.matmul.",
    )
]
REPLACED = {
    "float32 matmul precision",
    "backends.cuda.matmul.allow_tf32",
    "backends.cudnn.allow_tf32",
}


def _torch(torch: Any) -> Values:
    values = {name: _read(read, torch) for name, (read, _) in TORCH.items()}
    switches = [f"backends.{place}.{name}" for place, names in BACKENDS.items() for name in names]
    values |= {name: _read(partial(_at, place=name), torch) for name in switches}
    if any(values[name] is None for name in REPLACED):
        values |= {name: _read(partial(_at, place=name), torch) for name in PRECISIONS}
    elif _read(partial(_at, place="backends.mkldnn.matmul.fp32_precision"), torch) == "none":
        # It was not set. Its value follows from that of CUDA, and setting it would change more.
        del values["float32 matmul precision"]
    return {name: value for name, value in values.items() if value is not None}


def _set_torch(torch: Any, name: str, value: Any) -> None:
    place, _, switch = name.rpartition(".")
    read, put = TORCH.get(
        name,
        (partial(_at, place=name), lambda torch, value: setattr(_at(torch, place), switch, value)),
    )
    # Another setting may have set it already.
    if _read(read, torch) != value:
        put(torch, value)


def _read(read: Callable[[Any], Any], library: Any) -> Any:
    """Return settings, or None in versions that do not have them in this form."""
    try:
        return read(library)
    except (AttributeError, RuntimeError):
        return None


def _at(thing: Any, place: str) -> Any:
    for name in place.split("."):
        thing = getattr(thing, name)
    return thing


def _gymnasium(gymnasium: Any) -> Values:
    """Return the registered environments that are not part of the library."""
    return {
        name: spec
        for name, spec in gymnasium.registry.items()
        if not str(spec.entry_point).startswith(f"{gymnasium.__name__}.envs.")
        and getattr(spec.entry_point, "__module__", "").split(".")[0] != gymnasium.__name__
    }


def _set_gymnasium(gymnasium: Any, name: str, value: Any) -> None:
    gymnasium.registry[name] = value


def _numpy(numpy: Any) -> Values:
    return {f"errors, {name}": value for name, value in numpy.geterr().items()}


def _set_numpy(numpy: Any, name: str, value: Any) -> None:
    numpy.seterr(**{name.removeprefix("errors, "): value})


def _multiprocessing(module: Any) -> Values:
    method = module.get_start_method(allow_none=True)
    return {} if method is None else {"start method": method}


def _set_multiprocessing(module: Any, _: str, value: Any) -> None:
    module.set_start_method(value)


def _logging(module: Any) -> Values:
    """Return the levels of loggers, and the streams of the root logger's handlers."""
    levels = {
        name: logger.level
        for name, logger in list(module.root.manager.loggerDict.items())
        if isinstance(logger, module.Logger) and logger.level
    }
    return {"": module.root.level, **levels, "handlers": list(_streams(module.root))}


def _streams(root: logging.Logger) -> Iterator[tuple[str, int, str | None, str | None]]:
    for handler in root.handlers:
        stream = getattr(handler, "stream", None)
        formatter = handler.formatter
        if type(handler) is logging.StreamHandler and stream in (sys.stderr, sys.stdout):
            name = "stderr" if stream is sys.stderr else "stdout"
            plain = formatter if type(formatter) is logging.Formatter else logging.Formatter()
            yield name, handler.level, plain._fmt, plain.datefmt  # noqa: SLF001 - nothing else says it


def _set_logging(module: Any, name: str, value: Any) -> None:
    if name != "handlers":
        module.getLogger(name).setLevel(value)
    elif not module.root.handlers:
        for stream, level, form, dates in value:
            handler = module.StreamHandler(getattr(sys, stream))
            handler.setLevel(level)
            handler.setFormatter(module.Formatter(form, dates))
            module.root.addHandler(handler)


LIBRARIES = {
    "jax": Library(_jax, _set_jax),
    "torch": Library(_torch, _set_torch),
    "gymnasium": Library(_gymnasium, _set_gymnasium),
    "numpy": Library(_numpy, _set_numpy),
    "logging": Library(_logging, _set_logging),
    "multiprocessing": Library(_multiprocessing, _set_multiprocessing),
}
