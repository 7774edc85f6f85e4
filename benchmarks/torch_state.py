"""What a turn costs beside training where the state is a PyTorch model of many megabytes."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import ramet
import ramet.torch
from ramet.events import TurnEnded

SPACE = ramet.Space(lr=ramet.LogUniform(1e-4, 1.0))
# Each turn is another member's than the last, and so restores a whole state.
MEMBERS, TURNS = 5, 40


def model(megabytes: int) -> torch.nn.Module:
    """Return a model of this many megabytes, in four equal layers."""
    width = int((megabytes * 1e6 / 4 / 4) ** 0.5)
    return torch.nn.Sequential(*(torch.nn.Linear(width, width, bias=False) for _ in range(4)))


def measure_state(*, megabytes: int, durability: Any) -> dict[str, Any]:
    """Time everything but the training, which is short; and plain saving and loading."""
    trained_s: list[float] = []

    def train(session: ramet.Session) -> None:
        net = model(megabytes)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for turn in session.turns(ramet.torch.State(net, optimizer)):
            list(turn)
            began = time.perf_counter()
            with torch.no_grad():
                for weights in net.parameters():
                    weights[:, 0] -= turn.hparams["lr"]
            turn.report(-float(turn.hparams["lr"]))
            trained_s.append(time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as folder:
        strategy = ramet.PBT(population=MEMBERS, turn_steps=1, synchronous=True)
        result = ramet.run(
            train,
            SPACE,
            strategy,
            steps=TURNS // MEMBERS,
            mode="max",
            seed=0,
            store=ramet.Storage(Path(folder, "runs.db"), durability=durability),
            engine=ramet.Inline(progress=False),
        )
        plain_s = plain(model(megabytes), Path(folder, "plain.pt"))
    ends = [logged.at for logged in result.log if isinstance(logged.event, TurnEnded)]
    # The first round builds models.
    turns_s = [
        after - before for before, after in zip(ends[MEMBERS:], ends[MEMBERS + 1 :], strict=False)
    ]
    own_s = statistics.median(turns_s) - statistics.median(trained_s)
    return {
        "megabytes": megabytes,
        "durability": durability,
        "own_s_a_turn": own_s,
        "torch_save_and_load_s": plain_s,
        "ratio": own_s / plain_s,
    }


def plain(net: torch.nn.Module, file: Path) -> float:
    """Return the seconds that torch.save and torch.load take for the same state."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    taken_s = []
    for _ in range(9):
        began = time.perf_counter()
        torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
        saved = torch.load(file)
        net.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        taken_s.append(time.perf_counter() - began)
    return statistics.median(taken_s)
