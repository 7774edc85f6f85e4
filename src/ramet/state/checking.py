"""Whether hyperparameters took effect in a state, and are still there at the end of a turn."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ramet.domains import Value
from ramet.errors import HyperparameterOverwritten, StateError
from ramet.state.adapters import Bindable, Explaining, Setting

# A value may come back from a framework that keeps it in 32 bits.
ROUNDING = 1e-6


def check_absent(state: Bindable, absent: Mapping[str, str]) -> None:
    """Refuse a hyperparameter that is not there and that the state sets while it is.

    Training would go on with whatever value was set last, by any member.

    Args:
        state: The state.
        absent: The hyperparameters that are not there, each with what must hold for it to be.
    """
    if not isinstance(state, Setting):
        return
    for name in absent:
        if state.sets(name):
            raise StateError(
                f"a hyperparameter that the state sets must always be there, because what it is "
                f"set to otherwise would be left to chance, but {name!r} is there only when "
                f"{absent[name]}; do not bind it (bind={{{name!r}: None}} if its name is that of "
                f"an optimizer's entry), and set it in the loop: "
                f"turn.hparams.get({name!r}, 0.0)"
            )


def check_applied(state: Bindable, hparams: Mapping[str, Value], when: str) -> frozenset[str]:
    """Refuse a hyperparameter that is no longer as it was set; return the names that are set.

    Args:
        state: The state that sets them.
        hparams: The values that were set, by name.
        when: What an error says about when the value was read.
    """
    found = state.read_back()
    check_stayed(found, hparams, when, state.explain if isinstance(state, Explaining) else None)
    return frozenset(found)


def check_stayed(
    found: Mapping[str, Value],
    hparams: Mapping[str, Value],
    when: str,
    explain: Callable[[str], str | None] | None = None,
) -> None:
    """Refuse a hyperparameter that is no longer as it was set.

    Args:
        found: The values now, by name.
        hparams: The values that were set, by name.
        when: What an error says about when the value was read.
        explain: Returns what overwrites a hyperparameter, if that is known.
    """
    for name, value in found.items():
        if not is_unchanged(hparams[name], value):
            explained = explain(name) if explain is not None else None
            raise HyperparameterOverwritten(
                f"hyperparameter {name!r} must stay as applied, {hparams[name]!r}, but {when} it "
                f"was {value!r}: {explained or _guess(name)}"
            )


def is_unchanged(wanted: Value, found: Any) -> bool:
    """Say whether a value is still the one that was set, apart from rounding to 32 bits."""
    if isinstance(wanted, str | bool | None) or isinstance(found, str):
        return bool(found == wanted)
    try:
        return math.isclose(float(found), wanted, rel_tol=ROUNDING)
    except (TypeError, ValueError):
        return False


def _guess(name: str) -> str:
    return (
        f"a scheduler, a restored optimizer or the loop itself set it; if the loop is to set it, "
        f"do not bind it and read turn.hparams[{name!r}] there, or take it out of the space"
    )
