"""JAX: pytrees as states, and tasks that can train a whole population as one program."""

try:
    import jax  # noqa: F401 - imported here to name the extra that installs it
except ImportError as error:
    raise ImportError(
        f"ramet.jax needs JAX, but {error}; install it: pip install 'ramet[jax]'"
    ) from error

from ramet.jax.convolution import conv
from ramet.jax.state import State
from ramet.jax.task import Task

__all__ = ["State", "Task", "conv"]
