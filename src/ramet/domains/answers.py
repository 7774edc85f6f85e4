"""Answers to domains that are written as other libraries write them."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ramet.errors import SpaceError

T = TypeVar("T")

# What other libraries call our arguments.
NAMES = {
    **dict.fromkeys(("lower", "min", "min_value", "minval"), "low"),
    **dict.fromkeys(("upper", "max", "max_value", "maxval"), "high"),
    **dict.fromkeys(("choices", "categories", "values", "sequence"), "options"),
    "q": "step",
}
RANGES = ("Uniform", "LogUniform", "Integer")
# What other libraries call our domains.
OTHER_NAMES = {
    **dict.fromkeys(("Float", "FloatDistribution", "UniformDistribution", "quniform"), "Uniform"),
    **dict.fromkeys(("Int", "IntDistribution", "randint", "lograndint", "qrandint"), "Integer"),
    **dict.fromkeys(("Categorical", "CategoricalDistribution", "GridSearch"), "Choice"),
    **dict.fromkeys(("choice", "grid_search", "Ordinal"), "Choice"),
    **dict.fromkeys(("loguniform", "qloguniform", "LogUniformDistribution"), "LogUniform"),
    "uniform": "Uniform",
}
# Options of a range with a step that an answer writes out.
MOST_OPTIONS = 20


def explain(kind: type[T]) -> type[T]:
    """Have a domain answer a call that does not fit it with the line that was probably meant."""
    plain_init: Callable[..., None] = kind.__init__
    signature = inspect.signature(kind)

    @functools.wraps(plain_init)
    def init(self: object, *values: Any, **named: Any) -> None:
        try:
            plain_init(self, *values, **named)
        except TypeError as error:
            raise _misfit(kind.__name__, signature, values, named) from error

    kind.__init__ = init  # type: ignore[method-assign]  # it takes the same arguments
    return kind


def suggest(value: object) -> str | None:
    """Return the domain that a value in a space probably stands for, as code.

    >>> suggest((1e-5, 1e-1)), suggest([32, 64]), suggest(range(1, 9))
    ('Uniform(1e-05, 0.1)', 'Choice([32, 64])', 'Integer(1, 8)')
    """
    match value:
        case range() if value.step == 1 and len(value) > 1:
            return f"Integer({value[0]}, {value[-1]})"
        case range() | list() | set() | frozenset() if value:
            return f"Choice({list(value)!r})"
        case (int() | float() as low, int() | float() as high):
            kind = "Integer" if isinstance(low, int) and isinstance(high, int) else "Uniform"
            return f"{kind}({low!r}, {high!r})"
        case _:
            return _suggest_for_distribution(value)


def _suggest_for_distribution(value: object) -> str | None:
    """Suggest a domain for a distribution of Optuna or Ray Tune, by its attributes."""
    options = getattr(value, "choices", getattr(value, "categories", None))
    if isinstance(options, list | tuple):
        return f"Choice({list(options)!r})"
    low = getattr(value, "low", getattr(value, "lower", None))
    high = getattr(value, "high", getattr(value, "upper", None))
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    sampler = type(getattr(value, "sampler", None)).__name__
    is_log = bool(getattr(value, "log", False)) or "LogUniform" in sampler
    kind = "Integer" if type(value).__name__.startswith("Int") else "Uniform"
    return _write_range(kind, low, high, is_log=is_log, step=getattr(value, "step", None))


def _misfit(
    kind: str, signature: inspect.Signature, values: Sequence[Any], named: Mapping[str, Any]
) -> SpaceError:
    shown = [*map(repr, values), *(f"{name}={value!r}" for name, value in named.items())]
    meant = _mean(kind, values, named)
    takes = ", ".join(
        f"{name}=" if each.kind is each.KEYWORD_ONLY else name
        for name, each in signature.parameters.items()
    )
    return SpaceError(
        f"{kind} takes ({takes}), but got {kind}({', '.join(shown)})"
        + (f"; write {meant}" if meant else "")
    )


def _mean(kind: str, values: Sequence[Any], named: Mapping[str, Any]) -> str | None:
    """Return the domain that was probably meant, as code."""
    given = {NAMES.get(name, name): value for name, value in named.items()}
    if kind not in RANGES:
        options = given.pop("options", None) if kind == "Choice" else None
        if options is None and len(values) > 1:
            options = values[1] if isinstance(values[1], list | tuple) else values
        return f"Choice({list(options)!r})" if isinstance(options, list | tuple) else None
    # Optuna's first argument is the hyperparameter's name, which stands in the space here.
    bounds = list(values[1:] if values and isinstance(values[0], str) else values)
    bounds += [given.pop(name) for name in ("low", "high") if name in given]
    is_log, step = bool(given.pop("log", kind == "LogUniform")), given.pop("step", None)
    if len(bounds) != len(("low", "high")) or given.keys() - {"base"}:
        return None
    low, high = bounds
    return _write_range(kind, low, high, is_log=is_log, step=step)


def _write_range(
    kind: str, low: Any, high: Any, *, is_log: bool, step: float | None = None
) -> str | None:
    if step is not None and not (kind == "Integer" and step == 1):
        return _write_steps(low, high, step)
    least, law = repr(low), ""
    if is_log and isinstance(low, int | float) and not low > 0:
        least, law = "low", ", with 0 < low"
    if kind == "Integer":
        return f"Integer({least}, {high!r}{', log=True' if is_log else ''}){law}"
    return f"{'LogUniform' if is_log else 'Uniform'}({least}, {high!r}){law}"


def _write_steps(low: Any, high: Any, step: Any) -> str | None:
    numbers = all(
        isinstance(each, int | float) and math.isfinite(each) for each in (low, high, step)
    )
    if not numbers or step <= 0 or not 0 < high - low < MOST_OPTIONS * step:
        return None
    count = int((high - low) / step + 1e-9)
    options = [float(f"{low + at * step:.12g}") for at in range(count + 1)]
    if isinstance(low, int) and isinstance(step, int):
        options = list(map(int, options))
    return f"Choice({options}, ordered=True)"
