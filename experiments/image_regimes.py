"""How networks are trained on images: the variants of ``experiments.image``."""

from dataclasses import dataclass, replace

from experiments.fashion_mnist import VALIDATION

# The rows and columns of the images.
SIDE = 7


@dataclass(frozen=True, slots=True)
class Regime:
    """How a network is trained."""

    batch: int
    rounds: int
    turn_steps: int
    network: str = "linear"
    # Between which the first rates of members are drawn. Others are there to be reached.
    first: tuple[float, float] = (1e-4, 3e-2)
    # The part of the training images with labels that were drawn anew.
    drawn_labels: float = 0.0
    # Scores in a turn, and of how many images each is.
    scores: int = 8
    scored_images: int = VALIDATION

    @property
    def steps(self) -> int:
        """The steps of each member."""
        return self.rounds * self.turn_steps

    @property
    def evaluate_every(self) -> int:
        """Steps between two scores."""
        return self.turn_steps // self.scores


def _for_layers(network: str) -> Regime:
    """Return how networks with hidden layers are trained: what two cores train in minutes."""
    return Regime(
        16,
        25,
        120,
        network,
        first=(1e-3, 1e-1),
        drawn_labels=0.4,
        scores=4,
        scored_images=2_000,
    )


# Chosen with seeds from 1000 on, which are not reported; docs/results/image.md says what was tried.
REGIMES = {
    "image": Regime(4, 60, 120, drawn_labels=0.4),
    "clean": Regime(4, 60, 120),
    "large-batches": Regime(256, 60, 16, first=(1e-3, 3e-1)),
    "one-layer": _for_layers("one-layer"),
    "residual": _for_layers("residual"),
}
QUICK = {name: replace(regime, rounds=4, turn_steps=80) for name, regime in REGIMES.items()}
