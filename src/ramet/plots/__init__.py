"""Plots of runs. Each function takes a result and returns the Axes that it drew on."""

try:
    import matplotlib as mpl  # noqa: F401 - looked for here, where the extra that it comes with can be named
except ImportError as error:
    raise ImportError(
        f"ramet.plots needs Matplotlib, but {error}; install it: pip install 'ramet[plots]'"
    ) from error

from ramet.plots.best_so_far import best_so_far
from ramet.plots.drawing import save
from ramet.plots.front import front
from ramet.plots.hyperparameter import hyperparameter
from ramet.plots.importance import importance
from ramet.plots.lineage import lineage
from ramet.plots.metric import metric
from ramet.plots.parallel import parallel
from ramet.plots.scores import scores
from ramet.plots.tree import tree
from ramet.plots.workers import workers

__all__ = [
    "best_so_far",
    "front",
    "hyperparameter",
    "importance",
    "lineage",
    "metric",
    "parallel",
    "save",
    "scores",
    "tree",
    "workers",
]
