"""Averaged weights: kept beside a model's own, shown to evaluations, and never forgotten."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ramet
import ramet.torch
from ramet.averaging import Average
from ramet.errors import StateError, StateWarning
from ramet.events import Copied
from tests.torch.training import Net, Training, adamw, sgd, written
from tests.values import STRICT, alike

RATES = ramet.Space(lr=ramet.LogUniform(1e-3, 0.1))
KINDS = [ramet.PolynomialAverage(power=4), ramet.ExponentialAverage(decay=0.8)]


def training(average: Average | None = KINDS[0], **settings: Any) -> Training:
    ramet.torch.seed(1)
    return Training(adamw, average=average, rng=False, **settings)


def entries(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(model: nn.Module, expected: dict[str, torch.Tensor]) -> None:
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


def weighted_mean(rows: list[torch.Tensor], average: Average) -> torch.Tensor:
    """Return the mean of all weights so far, by the weight that each has in the definition."""
    shares = [average.share(t) for t in range(1, len(rows) + 1)]
    left = np.cumprod([1.0, *(1 - share for share in reversed(shares[1:]))])[::-1]
    weights = [share * rest for share, rest in zip(shares, left, strict=True)]
    assert sum(weights) == pytest.approx(1.0)
    return sum(weight * row for weight, row in zip(weights, rows, strict=True))


@pytest.mark.parametrize("average", KINDS, ids=str)
def test_the_average_is_of_the_weights_after_each_step_and_of_batch_statistics(
    average: Average,
) -> None:
    one = training(average)
    rows: list[dict[str, torch.Tensor]] = []
    for _ in range(9):
        one.step()
        rows.append(entries(one.model))
    with one.state.averaged():
        for name, shown in one.model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                assert shown == 9
                continue
            expected = weighted_mean([row[name].double() for row in rows], average)
            assert torch.allclose(shown.double(), expected, atol=1e-6), name
            assert not torch.equal(shown, rows[-1][name]), name


def test_training_finds_the_same_objects_and_numbers_after_an_evaluation() -> None:
    one = training()
    before = [id(param) for param in one.model.parameters()]
    losses = []
    for _ in range(6):
        losses.append(one.step())
        # Evaluated in training mode, which draws numbers and changes batch statistics.
        with torch.random.fork_rng(), one.state.averaged():
            one.model(torch.ones(3, 4))
    assert [id(param) for param in one.model.parameters()] == before
    assert one.optimizer.param_groups[0]["params"][0] is next(one.model.parameters())
    ramet.torch.seed(1)
    assert Training(adamw, rng=False).steps(6) == losses


def test_weights_come_back_after_an_exception_and_after_nested_use() -> None:
    one = training()
    one.steps(3)
    before = entries(one.model)
    with one.state.averaged():
        shown = entries(one.model)
        with one.state.averaged():
            assert_same(one.model, shown)
        assert_same(one.model, shown)
    assert_same(one.model, before)

    def evaluate() -> None:
        with one.state.averaged():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate()
    assert_same(one.model, before)
    with torch.inference_mode(), one.state.averaged():
        assert_same(one.model, shown)
    assert_same(one.model, before)


def test_a_buffer_that_the_module_replaces_is_averaged_and_comes_back() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))
            self.register_buffer("mean", torch.zeros(1))

        def forward(self) -> torch.Tensor:
            self.mean = self.mean + 1.0
            return self.weight.sum()

    model = Counting()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    state = ramet.torch.State(model, optimizer, average=ramet.PolynomialAverage(power=0))
    for _ in range(3):
        model().backward()
        optimizer.step()
    with state.averaged():
        assert model.mean == pytest.approx(2.0)  # (1 + 2 + 3) / 3
        model()
    assert model.mean == 3.0


def test_tied_weights_are_averaged_once_and_loaded_under_both_names() -> None:
    def make() -> nn.Module:
        model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
        model[1].weight = model[0].weight
        return model

    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state = ramet.torch.State(model, optimizer, average=KINDS[0])
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    other = make()
    ramet.torch.load_model(other, written(state))
    with state.averaged():
        assert torch.equal(other[1].weight, model[0].weight)
    assert other[0].weight is other[1].weight


def test_narrow_weights_are_averaged_as_wide_numbers() -> None:
    """In bfloat16 a late share of 1 in 1,000 would change nothing."""
    model = nn.Linear(1, 1, bias=False).bfloat16()
    state = ramet.torch.State(model, average=ramet.PolynomialAverage(power=0))
    for step in range(2_000):
        with torch.no_grad():
            model.weight.fill_(1.0 if step < 1_000 else 2.0)
        state.update_average()
    with state.averaged():
        assert model.weight.item() == pytest.approx(1.5, abs=0.01)
        assert model.weight.dtype == torch.bfloat16


def test_a_model_may_still_be_moved_and_loaded_before_its_first_step() -> None:
    model = nn.Linear(1, 1)
    state = ramet.torch.State(model, average=KINDS[0])
    model.double()
    nn.init.constant_(model.weight, 5.0)
    with state.averaged():
        assert model.weight == 5.0
    state.update_average()
    with state.averaged():
        assert model.weight == 5.0


@pytest.mark.parametrize("average", KINDS, ids=str)
def test_going_on_from_a_checkpoint_is_the_same_to_the_bit(average: Average) -> None:
    ramet.torch.seed(1)
    one = Training(sgd, average=average)
    one.steps(5)
    saved = written(one.state)
    one.steps(6)
    expected = written(one.state)
    ramet.torch.seed(2)
    other = Training(sgd, average=average)
    other.steps(2)
    other.state.restore(saved)
    assert alike(written(other.state), saved)
    other.steps(6)
    assert alike(written(other.state), expected)


class ByHand:
    """The average as it should be, computed by a loop itself and kept in the state beside it."""

    def __init__(self, average: Average) -> None:
        self.average = average
        self.kept: dict[str, Any] = {"mean": np.zeros((1, 4)), "count": 0}

    def update(self, weight: torch.Tensor) -> None:
        self.kept["count"] += 1
        share = self.average.share(self.kept["count"])
        self.kept["mean"] += share * (weight.detach().double().numpy() - self.kept["mean"])


def descend(session: ramet.Session) -> None:
    """Learn a sum with noise, and hold the average to one that is computed by hand."""
    torch.set_num_threads(1)
    ramet.torch.seed(session.seed)
    model = nn.Linear(4, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters())
    by_hand = ByHand(KINDS[0])
    state = ramet.torch.State(model, optimizer, by_hand.kept, average=KINDS[0])
    for turn in session.turns(state):
        for _ in turn:
            x = torch.randn(8, 4)
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), x.sum(1, keepdim=True) + torch.randn(8, 1)).backward()
            optimizer.step()
            by_hand.update(model.weight)
        own = model.weight.detach().clone()
        with state.averaged():
            assert np.allclose(model.weight.detach().numpy(), by_hand.kept["mean"], atol=1e-5)
            assert not torch.equal(model.weight, own)
            turn.report((model.weight - 1).square().sum())
        assert by_hand.kept["count"] == turn.stop


def pbt(population: int = 6, **settings: Any) -> ramet.PBT:
    return ramet.PBT(population=population, turn_steps=5, **{"synchronous": True, **settings})


def run(strategy: ramet.Strategy | None = None, **settings: Any) -> ramet.Result:
    settings = {"steps": 40, "engine": STRICT, **settings}
    return ramet.run(descend, RATES, strategy or pbt(), mode="min", seed=0, **settings)


@pytest.mark.parametrize(
    "settings", [{}, {"copies": "weights"}, {"copies": "hparams"}, {"synchronous": False}], ids=str
)
def test_the_average_follows_members_through_copies(settings: dict[str, Any]) -> None:
    result = run(pbt(**settings))
    assert sum(isinstance(event, Copied) for event in result.events) > 3


def test_a_run_that_was_cut_off_ends_like_one_that_was_not(tmp_path: Path) -> None:
    whole = run().best.load()
    run(steps=20, store=tmp_path / "runs.db", name="a")
    cut = run(steps=40, store=tmp_path / "runs.db", name="a", existing="extend")
    assert alike(cut.best.load(), whole)


def test_a_replay_with_the_same_draws_has_the_same_average() -> None:
    result = run()
    replayed = ramet.replay(descend, result.schedule(), seeds=None, engine=STRICT)
    assert replayed.result.best.score == result.best.score
    assert alike(replayed.result.best.load()["average"], result.best.load()["average"])


def test_a_model_gets_the_weights_that_the_score_is_of() -> None:
    result = run()
    tree = result.best.load()
    model = nn.Linear(4, 1, bias=False)

    def loss() -> float:
        return (model.weight - 1).square().sum().item()

    ramet.torch.load_model(model, tree)
    assert loss() == result.best.score
    ramet.torch.load_model(model, tree, averaged=True)
    assert loss() == result.best.score
    ramet.torch.load_model(model, tree, averaged=False)
    assert loss() != result.best.score
    assert np.array_equal(model.weight.detach().numpy(), tree["model"]["weight"])

    by_hand = ByHand(KINDS[0])
    optimizer = torch.optim.SGD(model.parameters())
    state = ramet.torch.State(model, optimizer, by_hand.kept, average=KINDS[0])
    result.best.load(into=state)
    with state.averaged():
        assert loss() == result.best.score


def test_a_model_gets_its_own_weights_if_scores_are_not_of_the_average() -> None:
    one = training(ramet.PolynomialAverage(scored=False))
    one.steps(3)
    model = Net()
    ramet.torch.load_model(model, written(one.state))
    assert_same(model, entries(one.model))
    ramet.torch.load_model(model, written(one.state), averaged=True)
    with one.state.averaged():
        assert_same(model, entries(one.model))


def test_averaged_weights_that_are_not_there_are_not_loaded() -> None:
    one = training(average=None)
    with pytest.raises(StateError, match="this one has no average of its model; train with"):
        ramet.torch.load_model(Net(), written(one.state), averaged=True)
    with pytest.raises(StateError, match=r"made without; write .*average=ramet\.Polynomial"):
        one.state.averaged()
    with pytest.raises(StateError, match="made without"):
        one.state.update_average()


def test_only_the_parts_that_are_named_are_averaged() -> None:
    head, trunk = nn.Linear(1, 1), nn.Linear(1, 1)
    state = ramet.torch.State(trunk, None, head, average=ramet.PolynomialAverage(of="others[0]"))
    assert sorted(state.capture()["average"]["weights"]) == ["others[0].bias", "others[0].weight"]
    ramet.torch.load_model(nn.Linear(1, 1), state.capture())
    with pytest.raises(StateError, match=r"nothing to average in 'head'.*\['model', 'others\[0\]'"):
        ramet.torch.State(trunk, None, head, average=ramet.PolynomialAverage(of="head"))


def test_another_average_is_not_restored() -> None:
    one = training(ramet.PolynomialAverage(power=4))
    one.steps(2)
    for average in (ramet.PolynomialAverage(power=8), ramet.ExponentialAverage(0.9), None):
        with pytest.raises(StateError, match=r"average: PolynomialAverage\(power=4"):
            training(average).state.restore(written(one.state))
    damaged = written(one.state)
    for broken in ({}, {**damaged["average"], "updates": -1}, 3):
        with pytest.raises(StateError, match="Nothing was restored"):
            training().state.restore({**damaged, "average": broken})


def loop(
    body: Callable[[ramet.Turn, ramet.torch.State, nn.Module, torch.optim.Optimizer], None],
    *,
    by_name: bool = True,
    scored: bool = True,
) -> Callable[[ramet.Session], None]:
    """Return a training function with an average."""

    def train(session: ramet.Session) -> None:
        model = nn.Linear(1, 1, bias=False)
        optimizer = torch.optim.SGD(model.parameters())
        average = ramet.PolynomialAverage(scored=scored)
        state = ramet.torch.State(
            model, optimizer if by_name else None, bind={"lr": None}, average=average
        )
        for turn in session.turns(state):
            for _ in turn:
                optimizer.zero_grad()
                model(torch.full((1, 1), turn.hparams["lr"])).sum().backward()
                body(turn, state, model, optimizer)

    return train


def train(train: Callable[[ramet.Session], None]) -> ramet.Result:
    return ramet.run(train, RATES, pbt(5), steps=10, mode="max", seed=0)


def report_own(turn: ramet.Turn, state: Any, model: nn.Module, optimizer: Any) -> None:
    optimizer.step()
    turn.report(model.weight)


def report_average(turn: ramet.Turn, state: Any, model: nn.Module, optimizer: Any) -> None:
    optimizer.step()
    with state.averaged():
        turn.report(model.weight)


def test_a_score_of_the_weights_themselves_is_refused_unless_it_was_asked_for() -> None:
    with pytest.raises(StateError, match=r"without with state\.averaged\(\).*scored=False\)"):
        train(loop(report_own))
    train(loop(report_average))
    train(loop(report_own, scored=False))


def test_an_average_that_is_never_updated_is_refused() -> None:
    with pytest.raises(StateError, match=r"no optimizer.*call state\.update_average\(\) after"):
        train(loop(report_average, by_name=False))

    def remedied(turn: ramet.Turn, state: Any, model: nn.Module, optimizer: Any) -> None:
        optimizer.step()
        state.update_average()
        with state.averaged():
            turn.report(model.weight)

    train(loop(remedied, by_name=False))
    with pytest.raises(StateError, match=r"updated once a step.*leave that out"):
        train(loop(remedied))


def test_steps_that_are_compiled_are_noticed() -> None:
    def step_compiled(turn: ramet.Turn, state: Any, model: nn.Module, optimizer: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.compile(optimizer.step, backend="eager")()
        with state.averaged():
            turn.report(model.weight)

    with pytest.raises(StateError, match="took no step that Python sees; if steps are compiled"):
        train(loop(step_compiled))


def test_a_turn_that_trains_nothing_only_warns() -> None:
    def wait(turn: ramet.Turn, state: Any, model: nn.Module, optimizer: Any) -> None:
        with state.averaged():
            turn.report(model.weight)

    with pytest.warns(StateWarning, match="was not updated in a turn: the state's SGD took no"):
        train(loop(wait))


def test_training_within_the_averaged_weights_is_refused() -> None:
    def step_within(turn: ramet.Turn, state: Any, model: nn.Module, optimizer: Any) -> None:
        optimizer.step()
        with state.averaged():
            optimizer.step()

    with pytest.raises(StateError, match="weights must be trained outside of with state"):
        train(loop(step_within))


def test_a_turn_that_ends_within_the_averaged_weights_is_refused() -> None:
    @contextmanager
    def inside(state: ramet.torch.State) -> Iterator[None]:
        with state.averaged():
            yield

    one = training()
    one.state.apply({"lr": 0.1})
    one.step()
    saved = written(training().state)
    with inside(one.state):
        before = entries(one.model)
        with pytest.raises(StateError, match="a state must be restored outside of with state"):
            one.state.restore(saved)
        assert_same(one.model, before)
        with pytest.raises(StateError, match="a turn must end outside of with state"):
            one.state.capture()
        with pytest.raises(StateError, match="a turn must begin outside of with state"):
            one.state.apply({"lr": 0.1})


@pytest.mark.parametrize("average", [0.999, 8, True, "ema", ramet.PolynomialAverage])
def test_what_is_no_average_is_refused_with_the_line_that_works(average: Any) -> None:
    with pytest.raises(StateError, match=r"must be ramet\.PolynomialAverage\(power=8\) or"):
        ramet.torch.State(nn.Linear(1, 1), average=average)


def test_a_model_without_shapes_is_refused() -> None:
    with pytest.raises(StateError, match="call the model once before the state is made"):
        ramet.torch.State(nn.LazyLinear(1), average=KINDS[0])


def test_a_model_without_floating_point_numbers_is_refused() -> None:
    with pytest.raises(StateError, match="the state has no floating-point numbers"):
        ramet.torch.State(nn.ReLU(), average=ramet.PolynomialAverage(of="model"))


class Masked(nn.Module):
    """A model with a mask of infinities in its checkpoint, as transformers have."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.linear(x) + self.mask).logsumexp(-1)


def updates_of(state: ramet.torch.State) -> int:
    return int(state.capture()["average"]["updates"])


def take_steps(model: nn.Module, *optimizers: torch.optim.Optimizer, steps: int = 1) -> None:
    for _ in range(steps):
        model(torch.randn(3, 3)).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def test_masks_stay_and_weights_that_began_as_anything_are_averaged() -> None:
    model = Masked()
    mask = model.mask.clone()
    with torch.no_grad():
        model.linear.bias.fill_(torch.nan)
    state = ramet.torch.State(model, optimizer := sgd(model.parameters()), average=KINDS[0])
    with torch.no_grad():
        model.linear.bias.zero_()
    take_steps(model, optimizer, steps=3)
    saved = state.capture()
    take_steps(model, optimizer)
    for _ in range(2):
        with state.averaged():
            assert torch.equal(model.mask, mask)
            assert all(bool(value.isfinite().all()) for value in model.parameters())
        state.restore(saved)
        take_steps(model, optimizer)


class Sharp(torch.optim.Optimizer):
    """An optimizer around another, which takes two steps with it and tells PyTorch of its own."""

    def __init__(self, base: torch.optim.Optimizer) -> None:
        super().__init__(base.param_groups, {})
        self.base, self.param_groups = base, base.param_groups

    def step(self, closure: Any = None) -> None:
        self.base.step()
        self.base.step()


def test_a_wrapper_that_takes_several_steps_updates_once() -> None:
    model = Masked()
    sharp = Sharp(sgd(model.parameters()))
    state = ramet.torch.State(model, sharp, average=KINDS[0])
    take_steps(model, sharp, steps=5)
    assert updates_of(state) == 5


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_a_scaler_skips_does_not_count(fused: bool) -> None:  # noqa: FBT001 - a parameter
    model = Masked()
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    state = ramet.torch.State(model, optimizer, average=KINDS[0])
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for nth in range(6):
        factor = torch.inf if nth % 2 else 1.0
        scaler.scale(model(torch.randn(3, 3)).sum() * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert updates_of(state) == 3


def test_a_turn_without_a_step_in_which_a_buffer_changes_is_no_mistake() -> None:
    model = Masked()
    state = ramet.torch.State(model, sgd(model.parameters()), average=KINDS[0])

    def train(session: ramet.Session) -> None:
        for turn in session.turns(state):
            for _ in turn:
                model.mask.mul_(1.0)
            with state.averaged():
                turn.report(0.0)

    with pytest.warns(StateWarning, match="was not updated in a turn"):
        ramet.run(
            train,
            RATES,
            ramet.RandomSearch(population=1, turn_steps=2),
            steps=2,
            mode="max",
            seed=0,
        )


def test_steps_of_another_optimizer_are_refused_while_the_average_is_in_use() -> None:
    model, other = Masked(), Masked()
    first, second = sgd(model.parameters()), torch.optim.Adam(other.parameters())
    state = ramet.torch.State(model, first, other, second, average=KINDS[0])
    take_steps(model, first)
    other(torch.randn(3, 3)).sum().backward()
    with state.averaged(), pytest.raises(StateError, match="weights must be trained outside"):
        second.step()
    assert not second.state


def test_updates_by_hand_take_over_from_steps_that_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Masked()
    state = ramet.torch.State(model, optimizer := sgd(model.parameters()), average=KINDS[0])
    take_steps(model, optimizer, steps=3)
    with torch.no_grad():
        model.linear.bias.add_(1.0)
    state.update_average()
    assert updates_of(state) == 4
    with pytest.raises(StateError, match="an average must be updated once a step"):
        take_steps(model, optimizer)
    monkeypatch.setattr("ramet.torch.averages._is_capturing", lambda: True)
    with pytest.raises(StateError, match="outside of a CUDA graph"):
        state.update_average()
