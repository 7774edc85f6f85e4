"""Weights at the end of a turn, and all that belongs to them."""

from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from ramet import showing, wording
from ramet.blobs import Blobs
from ramet.errors import CheckpointMissing, NoBest, StateError
from ramet.events import RunOpened
from ramet.history.confirming import FreshScores
from ramet.history.states import read_state
from ramet.population import Checkpoint
from ramet.state.adapters import Variables
from ramet.state.tree import Tree, thaw

Into = TypeVar("Into")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A member's weights, with their score and the hyperparameters that they were trained with."""

    # The id of the member; for ``Result.best``, of the one that trained the weights.
    member: int
    # The reported score of these weights; NaN if there is none, or it was not finite.
    score: float
    # What the weights were last trained with; before the first turn, the first hyperparameters.
    hparams: dict[str, Any]
    # The steps behind the weights, along their lineage.
    step: int
    # Steps of its budget that the member had used.
    trained: int
    # What these weights scored when they were evaluated again; None unless the run was confirmed.
    confirmed: FreshScores | None = None
    # The metrics that they ended with, if the run has several objectives.
    metrics: dict[str, float] = field(default_factory=dict)
    _checkpoint: Checkpoint | None = field(repr=False)
    # Whether the run promises to keep the checkpoint.
    _kept: bool = field(repr=False, compare=False)
    _opening: RunOpened = field(repr=False, compare=False)
    _blobs: Blobs = field(repr=False, compare=False)

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the weights. A member that has ended no turn has none (NoBest)."""
        if self._checkpoint is None:
            raise NoBest(
                f"a checkpoint needs a turn that ended, but member {self.member} has ended none"
            )
        return self._checkpoint

    def _repr_html_(self) -> str:
        said = f"score {self.score:.6g} at step {self.step:,}"
        rows = [(name, wording.value(it)) for name, it in self.hparams.items()]
        metrics = [(name, wording.number(it)) for name, it in self.metrics.items()]
        return showing.join(
            [
                showing.headline(f"Weights of member {self.member}", said),
                showing.table(["hyperparameter", "value"], rows),
                *([showing.table(["metric", "value"], metrics)] if metrics else []),
            ]
        )

    @overload
    def load(self) -> Tree: ...

    @overload
    def load(self, *, into: Into) -> Into: ...

    def load(self, *, into: Any = None) -> Any:
        """Return the state with these weights, as the training code saved it.

        Args:
            into: An object to restore the state into, which is then returned: a dict of arrays
                like the one that was trained, or anything with ``restore(tree)``, such as a
                ``ramet.jax.State`` or a ``ramet.torch.State``, built as for training.
        """
        tree = self._read()
        if into is None:
            return thaw(tree)
        if isinstance(into, dict):
            _check_names(into, tree)
            Variables(into).restore(tree)
        elif callable(restore := getattr(into, "restore", None)):
            restore(tree)
        else:
            raise StateError(
                f"a state is loaded into a dict of arrays, or what has restore(tree), but got "
                f"an object of type {type(into).__name__}; ramet.torch.load_model(model, "
                f"result.best.load()) puts the weights alone into a model"
            )
        return into

    def _read(self) -> Tree:
        try:
            return read_state(self._blobs, self._opening.name, self.checkpoint)
        except CheckpointMissing as error:
            raise CheckpointMissing(self._why(error)) from error

    def _why(self, error: CheckpointMissing) -> str:
        """Say why a checkpoint is missing."""
        keep, run = self._opening.keep, self._opening.name
        if self._kept:
            return f"{error}; if the run has gone on since its result was read, open it again"
        law = f"a checkpoint must be one that its run keeps, but run {run!r} has {keep=}"
        if keep == "best":
            return (
                f"{law}, and once it was over it kept only the best, not member {self.member}'s: "
                f"result.best.load() has that; a run with keep='lineage' keeps both"
            )
        return (
            f"{law}, and keeps only what members stand on at the end, which the best is not: "
            f"result.final is the best of those; a run with keep='lineage' keeps both"
        )


def _check_names(into: dict[str, Any], tree: Tree) -> None:
    if not isinstance(tree, dict) or into.keys() != tree.keys():
        found = list(tree) if isinstance(tree, dict) else f"an object of type {type(tree).__name__}"
        raise StateError(
            f"a dict to load into must have the entries of the checkpoint, but that has {found} "
            f"and the dict {list(into)}; for what a ramet.jax.State or a ramet.torch.State saved, "
            f"give one, built as for training: into=ramet.jax.State(params)"
        )
