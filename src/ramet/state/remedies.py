"""What to write instead of an object of PyTorch or JAX that was given where a state must be.

Frameworks are recognised by the names of types, so that none has to be imported.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping

TORCH = "state = ramet.torch.State(model=model, optimizer=optimizer)"
# What stands beside a model and its optimizer, and its name in a remedy.
TORCH_PARTS: Mapping[str, str] = {
    "DataLoader": "loader",
    "Generator": "generator",
    "GradScaler": "scaler",
    "LRScheduler": "scheduler",
}
JAX = "state = ramet.jax.State((params, opt_state))"
# What to write if no framework is known.
ANY = f"write state = {{'weights': weights}} for arrays, {TORCH} or {JAX}"
JAX_PACKAGES = {"equinox", "flax", "jax", "jaxlib", "optax"}
# The keys of an optimizer's state_dict() in PyTorch.
OPTIMIZER_KEYS = {"state", "param_groups"}


def find_foreign(thing: object) -> tuple[str, object] | None:
    """Return the first object of a framework in nested containers, and the path to it.

    >>> find_foreign({"w": [0.0, 1.0]})
    >>> find_foreign({"optimizer": {"state": {}, "param_groups": [{"params": [0]}]}})
    ("['optimizer']", {'state': {}, 'param_groups': [{'params': [0]}]})
    """
    return next((found for found in _parts(thing) if remedy_for(found[1]) is not None), None)


def remedy_for_parts(parts: Iterable[object]) -> str:
    """Return what to write for the parts of a state that were given one by one.

    >>> remedy_for_parts([{"w": 0.0}, {"step": 0}])
    "write state = {'weights': weights} for arrays, state = ramet.torch.State(model=model, \
optimizer=optimizer) or state = ramet.jax.State((params, opt_state))"
    """
    inner = [one for part in parts if (one := find_foreign(part)) is not None]
    found = [remedy for _, part in inner if (remedy := remedy_for(part)) is not None]
    # A scheduler comes last, and its remedy has the model and the optimizer in it.
    return found[-1] if found else ANY


def remedy_for(thing: object) -> str | None:
    """Return what to write for an object of PyTorch or JAX; None for any other object."""
    if _is_optimizer_state(thing):
        return f"pass the optimizer itself, not its state_dict(): {TORCH}"
    return _remedy_for_type(type(thing))  # type: ignore[arg-type]  # every type is hashable


@functools.lru_cache(maxsize=256)
def _remedy_for_type(kind: type) -> str | None:
    modules = [base.__module__ for base in kind.__mro__]
    packages = {module.split(".")[0] for module in modules}
    if "torch" in packages:
        return _torch_remedy(kind)
    if any(module.startswith("flax.nnx") for module in modules):
        return "with flax.nnx, write state = ramet.jax.State((model, optimizer))"
    if packages & JAX_PACKAGES:
        return f"with JAX, write {JAX}, and in the loop state.value = params, opt_state"
    return None


def part_name(part: object) -> str:
    """Return the usual name of a variable that holds an object of PyTorch, such as a scheduler."""
    return _part_name(type(part)) or "other"


def _part_name(kind: type) -> str | None:
    return next(
        (TORCH_PARTS[one] for base in kind.__mro__ if (one := base.__name__) in TORCH_PARTS), None
    )


def _torch_remedy(kind: type) -> str:
    names = {base.__name__ for base in kind.__mro__}
    if "Tensor" in names and "Parameter" not in names:
        return f"pass the objects themselves, not their tensors or state_dict(): {TORCH}"
    if (part := _part_name(kind)) is not None:
        return f"with PyTorch, write state = ramet.torch.State(model, optimizer, {part})"
    return f"with PyTorch, write {TORCH}"


def _is_optimizer_state(thing: object) -> bool:
    if not isinstance(thing, dict) or not thing.keys() >= OPTIMIZER_KEYS:
        return False
    groups = thing["param_groups"]
    return isinstance(groups, list) and any(
        isinstance(group, dict) and "params" in group for group in groups
    )


def _parts(thing: object) -> Iterator[tuple[str, object]]:
    """Yield containers and all that is in them, each container once, with the path to it."""
    ahead: list[tuple[str, object]] = [("", thing)]
    seen: set[int] = set()
    while ahead:
        path, part = ahead.pop()
        if id(part) in seen:
            continue
        yield path, part
        if isinstance(part, dict | list | tuple):
            seen.add(id(part))
            pairs = part.items() if isinstance(part, dict) else enumerate(part)
            ahead += [(f"{path}[{key!r}]", inner) for key, inner in pairs][::-1]
