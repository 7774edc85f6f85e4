"""PyTorch: models, optimisers and all that trains them as a member's state, changed in place."""

try:
    import torch  # noqa: F401 - looked for here, where the extra that it comes with can be named
except ImportError as error:
    raise ImportError(
        f"ramet.torch needs PyTorch, but {error}; install it: pip install 'ramet[torch]'"
    ) from error

from ramet.torch.compiling import Dropout, replace_dropout
from ramet.torch.dropouts import dropout
from ramet.torch.functional import SGD, AdamW
from ramet.torch.modules import load_model
from ramet.torch.places import Slot, param_group
from ramet.torch.rng import seed
from ramet.torch.schedules import base_lr
from ramet.torch.state import State
from ramet.torch.task import Task

__all__ = [
    "SGD",
    "AdamW",
    "Dropout",
    "Slot",
    "State",
    "Task",
    "base_lr",
    "dropout",
    "load_model",
    "param_group",
    "replace_dropout",
    "seed",
]
