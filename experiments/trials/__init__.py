"""What every experiment shares: trials on record, the comparison of methods, and the command."""

from experiments.trials.command import run_experiment
from experiments.trials.comparison import Comparison, compare
from experiments.trials.experiment import Experiment, Setting, summarise
from experiments.trials.page import make_tables
from experiments.trials.record import Record

__all__ = [
    "Comparison",
    "Experiment",
    "Record",
    "Setting",
    "compare",
    "make_tables",
    "run_experiment",
    "summarise",
]
