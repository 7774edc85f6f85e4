"""JAX: pytrees as states, and tasks that train a whole population as one program."""

try:
    import jax  # noqa: F401 - looked for here, where the extra that it comes with can be named
except ImportError as error:
    raise ImportError(
        f"ramet.jax needs JAX, but {error}; install it: pip install 'ramet[jax]'"
    ) from error

from ramet.jax.state import State
from ramet.jax.task import Task

__all__ = ["State", "Task"]
