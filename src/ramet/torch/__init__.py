"""PyTorch: a model, its optimizer and other parts as the state of a member."""

try:
    import torch  # noqa: F401 - imported here to name the extra that installs it
except ImportError as error:
    raise ImportError(
        f"ramet.torch needs PyTorch, but {error}; install it: pip install 'ramet[torch]'"
    ) from error

from ramet.torch.compiling import Dropout, replace_dropout
from ramet.torch.dropouts import dropout
from ramet.torch.functional import SGD, AdamW
from ramet.torch.keyed import derive_key, draw_integers, draw_keys, draw_normal, draw_uniform
from ramet.torch.loading import load_model
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
    "derive_key",
    "draw_integers",
    "draw_keys",
    "draw_normal",
    "draw_uniform",
    "dropout",
    "load_model",
    "param_group",
    "replace_dropout",
    "seed",
]
