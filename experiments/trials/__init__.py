"""What every experiment shares: trials on record, the comparison of methods, and the command."""

from experiments.trials.command import Experiment, Setting, run_experiment
from experiments.trials.comparison import Comparison, compare
from experiments.trials.record import Record

__all__ = ["Comparison", "Experiment", "Record", "Setting", "compare", "run_experiment"]
