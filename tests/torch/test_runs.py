"""Whole runs of PyTorch's training loops."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import ramet
import ramet.torch
from ramet.errors import HyperparameterOverwritten, StateError
from ramet.events import Copied, canonical
from tests.torch.loops import SPACE, descend, pbt
from tests.values import STRICT

RATES = ramet.Space(lr=ramet.LogUniform(1e-4, 0.1))


def slope(model: nn.Module, x: torch.Tensor) -> None:
    """Have the gradient of every weight be what it was called with."""
    model.zero_grad()
    model(x).sum().backward()


def test_the_next_step_uses_the_explored_rate_though_the_winners_optimizer_was_restored() -> None:
    """Where an optimiser's state brings its rate along, a member would train with the winner's."""
    used: list[float] = []

    def train(session: ramet.Session) -> None:
        model = nn.Linear(1, 1, bias=False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for turn in session.turns(ramet.torch.State(model, optimizer)):
            list(turn)
            before = model.weight.item()
            slope(model, torch.ones(1))
            optimizer.step()
            used.append(before - model.weight.item())
            assert used[-1] == pytest.approx(turn.hparams["lr"], rel=1e-2, abs=1e-6)
            turn.report(turn.hparams["lr"])

    result = ramet.run(train, RATES, pbt(population=8), steps=40, mode="max", seed=0, engine=STRICT)
    assert result.population.copies > 4
    assert max(used) > 2 * min(used)


def test_the_next_step_uses_the_explored_dropout() -> None:
    space = ramet.Space(dropout=ramet.Uniform(0.0, 0.9))

    def train(session: ramet.Session) -> None:
        model = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        bind = {"dropout": ramet.torch.dropout(model)}
        for turn in session.turns(ramet.torch.State(model, optimizer, bind=bind)):
            list(turn)
            # What is kept is scaled by one over the probability to be kept.
            kept = model[1](torch.ones(1_000)).max().item()
            assert 1 - 1 / kept == pytest.approx(turn.hparams["dropout"], abs=1e-5)
            slope(model, torch.ones(1))
            optimizer.step()
            turn.report(-turn.hparams["dropout"])

    result = ramet.run(train, space, pbt(population=8), steps=40, mode="max", seed=0)
    assert result.population.copies > 4


def test_the_next_step_uses_the_explored_base_of_a_schedule() -> None:
    def train(session: ramet.Session) -> None:
        model = nn.Linear(1, 1, bias=False).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        halving = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
        bind = {"lr": ramet.torch.base_lr(halving)}
        for turn in session.turns(ramet.torch.State(model, optimizer, halving, bind=bind)):
            for step in turn:
                before = model.weight.item()
                slope(model, torch.ones(1, dtype=torch.float64))
                optimizer.step()
                halving.step()
                expected = turn.hparams["lr"] * 0.5 ** (step // 5)
                assert before - model.weight.item() == pytest.approx(expected)
            turn.report(turn.hparams["lr"])

    result = ramet.run(train, RATES, pbt(population=8), steps=40, mode="max", seed=0, engine=STRICT)
    assert result.population.copies > 4


def test_a_schedule_that_nobody_bound_stops_the_run_before_its_first_step() -> None:
    steps: list[int] = []

    def train(session: ramet.Session) -> None:
        model = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100)
        for turn in session.turns(ramet.torch.State(model, optimizer, scheduler)):
            steps.extend(turn)
            turn.report(0.0)

    with pytest.raises(HyperparameterOverwritten, match=r"StepLR \(others\[0\]\) sets the optim"):
        ramet.run(train, RATES, pbt(), steps=10, mode="max", seed=0)
    assert steps == []


def decay_by_hand(bind: dict[str, None] | None, used: list[tuple[int, float, float]]) -> None:
    """Train with a schedule that the loop writes into the optimiser itself."""

    def train(session: ramet.Session) -> None:
        model = nn.Linear(1, 1, bias=False).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for turn in session.turns(ramet.torch.State(model, optimizer, bind=bind)):
            for step in turn:
                for group in optimizer.param_groups:
                    group["lr"] = turn.hparams["lr"] * 0.5 ** (step + 1)
                before = model.weight.item()
                slope(model, torch.ones(1, dtype=torch.float64))
                optimizer.step()
                used.append((step, turn.hparams["lr"], before - model.weight.item()))
            turn.report(turn.hparams["lr"])

    ramet.run(train, RATES, pbt(), steps=20, mode="max", seed=0, engine=STRICT)


def test_a_schedule_in_the_loop_stops_the_run_at_its_first_step_and_the_advice_works() -> None:
    used: list[tuple[int, float, float]] = []
    with pytest.raises(HyperparameterOverwritten, match=r"first step.*bind=\{'lr': None\} leaves"):
        decay_by_hand(None, used)
    assert used == []

    decay_by_hand({"lr": None}, used)
    assert len(used) > 20
    assert all(
        moved == pytest.approx(rate * 0.5 ** (step + 1), rel=1e-6) for step, rate, moved in used
    )


def test_a_state_needs_no_optimizer() -> None:
    def train(session: ramet.Session) -> None:
        ramet.torch.seed(session.seed)
        model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Dropout())
        bind = {"dropout": ramet.torch.dropout(model)}
        for turn in session.turns(ramet.torch.State(model, bind=bind)):
            for _ in turn:
                with torch.no_grad():
                    model[0].weight += turn.hparams["lr"]
            turn.report(model[0].weight)

    space = ramet.Space(lr=ramet.LogUniform(1e-4, 0.1), dropout=ramet.Uniform(0.0, 0.9))
    result = ramet.run(train, space, pbt(), steps=40, mode="max", seed=0, engine=STRICT)
    weights = result.best.load()["model"]["0.weight"]
    assert weights.item() == pytest.approx(result.best.score)
    with pytest.raises(ramet.RametError, match=r"'lr' is bound to 'lr' and the state has none"):
        ramet.torch.State(nn.Linear(1, 1), bind={"lr": "lr"})


@pytest.fixture(scope="module")
def alone() -> ramet.Result:
    return ramet.run(descend, SPACE, pbt(), steps=40, mode="max", seed=0)


@pytest.mark.slow
def test_a_run_is_the_same_for_any_number_of_processes(tmp_path: Path, alone: ramet.Result) -> None:
    together = ramet.run(
        descend, SPACE, pbt(), steps=40, mode="max", seed=0, store=tmp_path / "runs.db", workers=2
    )
    assert canonical(together.events) == canonical(alone.events)
    assert together.population == alone.population


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    tmp_path: Path, alone: ramet.Result
) -> None:
    def pull_the_plug(turn: ramet.Turn) -> None:
        if (turn.member, turn.number) == (2, 3):
            raise KeyboardInterrupt

    store, cut_off = tmp_path / "runs.db", partial(descend, before=pull_the_plug)
    with pytest.raises(KeyboardInterrupt):
        ramet.run(cut_off, SPACE, pbt(), steps=40, mode="max", seed=0, store=store)
    resumed = ramet.run(descend, SPACE, pbt(), steps=40, mode="max", seed=0, store=store)
    assert resumed.population == alone.population


def test_a_copy_is_a_reference_and_writes_no_weights(alone: ramet.Result) -> None:
    copies = [event for event in alone.events if isinstance(event, Copied)]
    assert copies
    assert all(copy.weights.checkpoint.member == copy.source for copy in copies)


def test_the_best_is_loaded_into_a_state_built_as_for_training(alone: ramet.Result) -> None:
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    state = ramet.torch.State(model, optimizer, scheduler)
    assert alone.best.load(into=state) is state
    weights = alone.best.load()["model"]["0.weight"]
    assert (model[0].weight.numpy(force=True) == weights).all()
    assert scheduler.last_epoch == alone.best.step


def test_what_is_no_such_state_is_refused(alone: ramet.Result) -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(StateError, match="must fit what is there, but there were model"):
        alone.best.load(into=ramet.torch.State(model, torch.optim.SGD(model.parameters())))
    with pytest.raises(
        StateError, match=r"but got an object of type Linear; ramet.torch.load_model\(model, "
    ):
        alone.best.load(into=model)


def test_the_best_is_a_network_that_was_trained(alone: ramet.Result) -> None:
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 1)).eval()
    x = torch.randn(256, 4)
    before = nn.functional.mse_loss(model(x), x.sum(dim=1, keepdim=True))
    ramet.torch.load_model(model, alone.best.load())
    assert nn.functional.mse_loss(model(x), x.sum(dim=1, keepdim=True)) < before / 2
