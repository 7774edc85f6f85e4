"""Hyperparameters go where they are bound, and are read back there."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import ramet.torch
from ramet.errors import HyperparameterOverwritten, StateError, StateWarning, UnknownHyperparameter
from ramet.state import check_applied
from tests.torch.training import Net, Training, adamw, sgd


def stays(state: ramet.torch.State, **hparams: Any) -> frozenset[str]:
    """Return which values are applied and stayed; the engine asks so at the end of a turn."""
    return check_applied(state, hparams, "at the end of the turn")


def test_what_has_the_name_of_an_entry_goes_there() -> None:
    training = Training(sgd)
    group = training.optimizer.param_groups[0]

    training.state.apply({"lr": 0.5, "weight_decay": 0.25, "dropout": 0.9})

    assert (group["lr"], group["weight_decay"], training.model.dropout.p) == (0.5, 0.25, 0.25)
    assert stays(training.state, lr=0.5, weight_decay=0.25, dropout=0.9) == {"lr", "weight_decay"}


def test_what_is_told_wins_over_names() -> None:
    model, clips = Net(), list[float]()
    optimizer, other = adamw(model.parameters()), sgd(model.head.parameters())
    bind = {
        "lr": ramet.torch.param_group(other, "lr", group=0),
        "beta1": "betas[0]",
        "dropout": ramet.torch.dropout(model),
        "momentum": (model.body[1], "momentum"),
        "clip": clips.append,
        "eps": None,
    }
    hparams = {"lr": 0.5, "beta1": 0.8, "dropout": 0.75, "momentum": 0.3, "clip": 2.0, "eps": 0.1}
    state = ramet.torch.State(model, optimizer, other, bind=bind)

    state.apply(hparams)

    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (0.01, (0.8, 0.999), 1e-8)
    assert other.param_groups[0]["lr"] == 0.5
    assert (model.dropout.p, model.body[1].momentum, clips) == (0.75, 0.3, [2.0])
    assert stays(state, **hparams) == {"lr", "beta1", "dropout", "momentum", "clip"}


def test_an_empty_binding_binds_nothing() -> None:
    training = Training(sgd, bind={})
    training.state.apply({"lr": 0.5})
    assert training.optimizer.param_groups[0]["lr"] == 0.05
    assert stays(training.state, lr=0.5) == frozenset()


def test_a_rate_that_is_a_tensor_is_filled_where_it_is() -> None:
    model, rate = Net(), torch.tensor(0.1)
    state = ramet.torch.State(model, torch.optim.Adam(model.parameters(), lr=rate))
    state.apply({"lr": 0.3})
    assert rate == torch.tensor(0.3)
    assert stays(state, lr=0.3) == {"lr"}


class Keeps:
    """A place of one's own."""

    def __init__(self) -> None:
        self.value: Any = None

    def write(self, value: Any) -> None:
        self.value = 2 * value

    def read(self) -> list[Any]:
        return [self.value / 2]


def test_a_place_of_ones_own_is_written_and_read() -> None:
    keeps = Keeps()
    training = Training(sgd, bind={"x": keeps})
    training.state.apply({"x": 3.0})
    assert keeps.value == 6.0
    assert stays(training.state, x=3.0) == {"x"}


def two_groups(**settings: Any) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = Net()
    groups = [
        {"params": model.body.parameters(), "weight_decay": 0.5},
        {"params": model.head.parameters(), "weight_decay": 0.0},
    ]
    return model, torch.optim.SGD(groups, lr=0.1, **settings)


def test_groups_with_values_of_their_own_are_not_made_alike_by_a_name() -> None:
    model, optimizer = two_groups()
    state = ramet.torch.State(model, optimizer)
    with pytest.raises(StateError, match=r"'weight_decay' has \[0.5, 0.0\]; say which is meant"):
        state.apply({"weight_decay": 0.1})

    first = ramet.torch.param_group(optimizer, "weight_decay", group=0)
    ramet.torch.State(model, optimizer, bind={"weight_decay": first}).apply({"weight_decay": 0.1})
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]

    everywhere = ramet.torch.State(model, optimizer, bind={"weight_decay": "weight_decay"})
    everywhere.apply({"weight_decay": 0.2})
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.2]


def test_a_value_overwritten_in_one_of_several_groups_is_found() -> None:
    for nth in (0, 1):
        model, optimizer = two_groups()
        state = ramet.torch.State(model, optimizer)
        state.apply({"lr": 0.5})
        optimizer.param_groups[nth]["lr"] = 0.25
        with pytest.raises(HyperparameterOverwritten, match=r"'lr' must stay.*it was 0\.25"):
            stays(state, lr=0.5)


@pytest.mark.parametrize(
    ("bind", "match"),
    [
        ("rate", r"got 'rate'; those of this AdamW have \['lr', 'betas\[0\]', 'betas\[1\]', 'eps'"),
        ("betas[2]", r"got 'betas\[2\]'; those of this AdamW have"),
        ("lr[0]", r"got 'lr\[0\]'; those"),
        ("params", r"got 'params'; those"),
        ("betas[", r"got 'betas\['; those"),
        ((nn.Dropout(), "q"), r"Dropout has no 'q'; its numbers are \['p'\]"),
        (nn.Dropout(), r"'x' is bound to an object of type Dropout"),
        (3, r"'x' is bound to 3"),
        ((1, 2), r"'x' is bound to \(1, 2\)"),
    ],
)
def test_a_place_that_does_not_exist_is_refused_with_those_that_do(bind: Any, match: str) -> None:
    with pytest.raises(StateError, match=match):
        Training(adamw, bind={"x": bind})


def test_places_are_refused_where_there_are_none() -> None:
    model, optimizer = two_groups()
    with pytest.raises(StateError, match=r"one of the 2 that the SGD has, but got group=2"):
        ramet.torch.param_group(optimizer, "lr", group=2)
    with pytest.raises(StateError, match="this Linear has none; bind an attribute"):
        ramet.torch.dropout(nn.Linear(1, 1))
    with pytest.raises(StateError, match=r"base_lr must be of a scheduler.* of type SGD"):
        ramet.torch.base_lr(optimizer)
    optimizer.param_groups[0]["lr"] = 0.7
    with pytest.raises(StateError, match=r"the StepLR has \[0.7, 0.1\]; bind a function"):
        ramet.torch.base_lr(lr_scheduler.StepLR(optimizer, 3))
    with pytest.raises(StateError, match="base of a schedule must be above 0"):
        ramet.torch.base_lr(lr_scheduler.StepLR(sgd(model.parameters()), 3)).write(0.0)


def test_a_bound_name_that_the_space_does_not_have_is_refused() -> None:
    training = Training(sgd, bind={"dropuot": (nn.Dropout(), "p")})
    with pytest.raises(
        UnknownHyperparameter, match=r"\['dropuot'\] are bound; the space has \['lr', 'dropout'\]"
    ):
        training.state.apply({"lr": 0.1, "dropout": 0.5})


def refused(training: Training, **hparams: Any) -> str:
    """Return what is said before any step of a value that would not stay."""
    with pytest.raises(HyperparameterOverwritten) as raised:
        training.state.apply(hparams)
    return str(raised.value)


def test_a_scheduler_that_would_overwrite_a_rate_is_named_before_training() -> None:
    said = refused(Training(sgd, lambda sgd: lr_scheduler.StepLR(sgd, 1)), lr=0.5)
    assert "'lr' must stay as applied in 'lr', but the scheduler StepLR (others[0]) sets" in said
    assert "bind={'lr': ramet.torch.base_lr(scheduler)}" in said


def test_who_binds_the_base_of_a_cycle_is_told_where_its_peak_is() -> None:
    one_cycle = Training(sgd, lambda sgd: lr_scheduler.OneCycleLR(sgd, 0.1, total_steps=9))
    assert "; the peak of this OneCycleLR is 25 times its base" in refused(one_cycle, lr=0.5)
    cyclic = Training(sgd, lambda sgd: lr_scheduler.CyclicLR(sgd, 0.01, 0.04))
    assert "; the peak of this CyclicLR is 4 times its base" in refused(cyclic, lr=0.5)
    step = Training(sgd, lambda sgd: lr_scheduler.StepLR(sgd, 1))
    assert "peak" not in refused(step, lr=0.5)


def test_a_scheduler_that_the_state_was_not_given_is_asked_for_at_the_second_step() -> None:
    training = Training(sgd)
    training.scheduler = lr_scheduler.StepLR(training.optimizer, 1)
    training.state.apply({"lr": 0.5})
    training.step()
    with pytest.raises(HyperparameterOverwritten) as raised:
        training.step()
    said = str(raised.value)
    assert "'lr' must stay as applied, 0.5, but at the second step of the optimizer it was" in said
    assert "or a scheduler that is not in the state" in said
    assert "State(model, optimizer, scheduler, bind={'lr': ramet.torch.base_lr(scheduler)})" in said
    assert "bind={'lr': None}" in said


def test_an_optimizer_goes_on_that_a_scheduler_had_before_the_turns() -> None:
    """As one from a checkpoint of an earlier training, or behind a warm-up."""
    training = Training(sgd)
    warm_up = lr_scheduler.LinearLR(training.optimizer, total_iters=1)
    training.step()
    warm_up.step()
    assert "initial_lr" in training.optimizer.param_groups[0]
    training.state.apply({"lr": 0.5})
    training.steps(3)
    assert stays(training.state, lr=0.5) == {"lr"}


def test_a_scheduler_that_cycles_momentum_is_named_too() -> None:
    def begun() -> Training:
        return Training(sgd, lambda sgd: lr_scheduler.OneCycleLR(sgd, 0.1, total_steps=9))

    cycles = "OneCycleLR cycles it; build that with cycle_momentum=False"
    assert cycles in refused(begun(), momentum=0.5)
    begun().state.apply({"weight_decay": 0.5})


class Decaying:
    """A schedule of somebody's own."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def step(self) -> None:
        self.optimizer.param_groups[0]["lr"] *= 0.5

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


def test_a_schedule_of_somebodys_own_is_named_once_it_has_overwritten_a_rate() -> None:
    training = Training(sgd, Decaying)
    training.state.apply({"lr": 0.5})
    training.step()
    with pytest.raises(HyperparameterOverwritten, match=r"it was 0.25: the scheduler Decaying"):
        training.step()
    with pytest.raises(HyperparameterOverwritten, match=r"it was 0.25: the scheduler Decaying"):
        stays(training.state, lr=0.5)


def test_what_nobody_can_be_named_for_is_said_as_ever() -> None:
    training = Training(sgd, bind={"p": ramet.torch.dropout(model := Net()), "lr": None})
    training.state.apply({"p": 0.5, "lr": 0.1, "momentum": 0.3})
    model.dropout.p = 0.1
    with pytest.raises(HyperparameterOverwritten, match=r"set it; .* bind=\{'p': None\} leaves"):
        stays(training.state, p=0.5, momentum=0.3)
    model.dropout.p = 0.5
    training.optimizer.param_groups[0]["momentum"] = 0.1
    with pytest.raises(HyperparameterOverwritten, match=r"'momentum' .* the loop itself set it;"):
        stays(training.state, p=0.5, momentum=0.3)


def test_a_rate_that_the_loop_sets_is_refused_at_its_first_step() -> None:
    training = Training(sgd)
    training.state.apply({"lr": 0.5, "momentum": 0.25})
    training.optimizer.param_groups[0]["lr"] = 0.1
    with pytest.raises(HyperparameterOverwritten) as raised:
        training.step()
    assert str(raised.value) == (
        "hyperparameter 'lr' must stay as applied, 0.5, but at the first step of the optimizer it "
        "was 0.1: the loop itself set it, or a scheduler that is not in the state; for a "
        "schedule written in the loop, bind={'lr': None} leaves it to the loop, which computes it "
        "from turn.hparams['lr']; pass the scheduler to the state and bind the base of its "
        "schedule: State(model, optimizer, scheduler, bind={'lr': ramet.torch.base_lr(scheduler)})"
    )


def test_a_state_says_nothing_at_the_steps_of_another() -> None:
    model = Net()
    optimizer = sgd(model.parameters())
    ramet.torch.State(model, optimizer).apply({"lr": 0.5})
    ramet.torch.State(model, optimizer).apply({"lr": 0.25})
    optimizer.step()
    state = ramet.torch.State(model, optimizer)
    state.apply({"lr": 0.125})
    state.capture()
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()


def test_an_optimizer_that_a_name_does_not_reach_is_named_with_the_remedy() -> None:
    model = Net()
    one, other = adamw(model.body.parameters()), sgd(model.head.parameters())
    state = ramet.torch.State(model, one, other)
    with pytest.warns(
        StateWarning, match=r"that of the SGD \(others\[0\]\) stays .* set both, bind="
    ):
        state.apply({"lr": 0.5})
    state.apply({"lr": 0.25})  # Once is enough.

    both = ["lr", ramet.torch.param_group(other, "lr")]
    ramet.torch.State(model, one, other, bind={"lr": both}).apply({"lr": 0.125})
    assert [each.param_groups[0]["lr"] for each in (one, other)] == [0.125, 0.125]
    ramet.torch.State(model, one, other, bind={"lr": "lr"}).apply({"lr": 0.0625})
    assert [each.param_groups[0]["lr"] for each in (one, other)] == [0.0625, 0.125]


def test_an_entry_that_only_some_groups_have_is_refused() -> None:
    model, optimizer = two_groups()
    optimizer.param_groups[1]["scale"] = 1.0
    with pytest.raises(StateError, match=r"'scale' is only in groups \[1\] of 2; .* group=1\)"):
        ramet.torch.State(model, optimizer).apply({"scale": 2.0})
    ramet.torch.State(model, optimizer, bind={"scale": None}).apply({"scale": 2.0})


def test_a_group_that_is_added_later_is_read_back_too() -> None:
    training = Training(sgd)
    training.state.apply({"weight_decay": 0.5})
    training.optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    with pytest.raises(HyperparameterOverwritten, match=r"'weight_decay' must stay .* it was 0"):
        stays(training.state, weight_decay=0.5)


def test_a_schedule_that_does_not_follow_its_member_is_named() -> None:
    model = Net()
    scheduler = lr_scheduler.StepLR(optimizer := sgd(model.parameters()), 3)
    bind = {"lr": ramet.torch.base_lr(scheduler)}
    said = "base of StepLR is bound and that scheduler is not in"
    with pytest.warns(StateWarning, match=said) as warned:
        ramet.torch.State(model, optimizer, bind=bind)
    assert warned[0].filename == __file__


def test_two_schedulers_of_one_optimizer_have_one_base() -> None:
    model = Net()
    optimizer = sgd(model.parameters())
    warm = lr_scheduler.LinearLR(optimizer, total_iters=4)
    decay = lr_scheduler.ReduceLROnPlateau(optimizer)
    lonely = {"lr": ramet.torch.base_lr(warm)}
    with pytest.warns(StateWarning, match=r"that of ReduceLROnPlateau \(others\[1\]\) .* stays"):
        ramet.torch.State(model, optimizer, warm, decay, bind=lonely)

    together = {"lr": ramet.torch.base_lr(warm, decay)}
    state = ramet.torch.State(model, optimizer, warm, decay, bind=together)
    before = optimizer.param_groups[0]["lr"]
    state.apply({"lr": 0.5})
    assert optimizer.param_groups[0]["lr"] == pytest.approx(10 * before)
    assert stays(state, lr=0.5) == {"lr"}
    other = lr_scheduler.StepLR(sgd(Net().parameters()), 3)
    with pytest.raises(StateError, match="must be of schedulers of one optimizer"):
        ramet.torch.base_lr(warm, other)


PROPORTIONAL = {
    "StepLR": lambda sgd, base: lr_scheduler.StepLR(sgd, step_size=3),
    "MultiStepLR": lambda sgd, base: lr_scheduler.MultiStepLR(sgd, milestones=[2, 6]),
    "ExponentialLR": lambda sgd, base: lr_scheduler.ExponentialLR(sgd, 0.9),
    "LambdaLR": lambda sgd, base: lr_scheduler.LambdaLR(sgd, lambda step: step / (1 + step)),
    "LinearLR": lambda sgd, base: lr_scheduler.LinearLR(sgd, total_iters=7),
    "PolynomialLR": lambda sgd, base: lr_scheduler.PolynomialLR(sgd, total_iters=30),
    "CosineAnnealingLR": lambda sgd, base: lr_scheduler.CosineAnnealingLR(sgd, T_max=20),
    "WarmRestarts": lambda sgd, base: lr_scheduler.CosineAnnealingWarmRestarts(sgd, T_0=6),
    "OneCycleLR": lambda sgd, base: lr_scheduler.OneCycleLR(sgd, max_lr=25 * base, total_steps=20),
    "CyclicLR": lambda sgd, base: lr_scheduler.CyclicLR(sgd, base, 4 * base, step_size_up=4),
    "ReduceLROnPlateau": lambda sgd, base: lr_scheduler.ReduceLROnPlateau(sgd, patience=0),
    "SequentialLR": lambda sgd, base: lr_scheduler.SequentialLR(
        sgd,
        [lr_scheduler.LinearLR(sgd, total_iters=4), lr_scheduler.CosineAnnealingLR(sgd, 12)],
        milestones=[7],
    ),
    "ChainedScheduler": lambda sgd, base: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(sgd, total_iters=7), lr_scheduler.ExponentialLR(sgd, 0.9)]
    ),
}


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("name", PROPORTIONAL)
def test_a_schedule_goes_on_as_one_that_began_with_the_new_base(
    name: str, *, as_tensor: bool
) -> None:
    def begun(base: float) -> tuple[torch.optim.Optimizer, Any]:
        rate = torch.tensor(base, dtype=torch.float64) if as_tensor else base
        optimizer = torch.optim.SGD(Net().parameters(), lr=rate, momentum=0.9)
        return optimizer, PROPORTIONAL[name](optimizer, base)

    def stepped(optimizer: torch.optim.Optimizer, scheduler: Any) -> float:
        optimizer.step()
        plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        scheduler.step(*([1.0] if plateau else []))
        return float(optimizer.param_groups[0]["lr"])

    one, other = begun(0.1), begun(0.3)
    place = ramet.torch.base_lr(one[1])
    assert [float(base) for base in place.read()] == [pytest.approx(0.1)]
    for _ in range(5):
        stepped(*one)
        stepped(*other)

    place.write(0.3)

    assert [float(base) for base in place.read()] == [0.3]
    rate = float(other[0].param_groups[0]["lr"])
    assert float(one[0].param_groups[0]["lr"]) == pytest.approx(rate)
    assert [float(last) for last in one[1].get_last_lr()] == [pytest.approx(rate)]
    for _ in range(7):
        assert stepped(*one) == pytest.approx(stepped(*other))


def grouped(**bind: Any) -> tuple[torch.optim.Optimizer, ramet.torch.State]:
    model = Net()
    optimizer = torch.optim.AdamW(
        [{"params": model.body.parameters()}, {"params": model.head.parameters()}]
    )
    return optimizer, ramet.torch.State(model, optimizer, bind=bind or None)


def test_the_values_of_an_array_go_to_the_param_groups() -> None:
    optimizer, state = grouped()

    state.apply({"lr[0]": 0.5, "lr[1]": 0.25, "weight_decay": 0.125})

    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.125, 0.125]
    hparams = {"lr[0]": 0.5, "lr[1]": 0.25, "weight_decay": 0.125}
    assert stays(state, **hparams) == {"lr[0]", "lr[1]", "weight_decay"}
    optimizer.param_groups[1]["lr"] = 0.1
    with pytest.raises(HyperparameterOverwritten, match=r"lr\[1\]"):
        stays(state, **hparams)


def test_the_values_of_an_array_go_to_an_entry_that_is_a_tuple() -> None:
    optimizer, state = grouped()

    state.apply({"betas[0]": 0.5, "betas[1]": 0.75})

    assert [group["betas"] for group in optimizer.param_groups] == [(0.5, 0.75)] * 2


def test_an_array_of_another_number_than_the_param_groups_is_refused() -> None:
    _, state = grouped()

    with pytest.raises(
        StateError, match=r"'lr' has 3 values and this AdamW has 2 groups; write Array\(domain, 2\)"
    ):
        state.apply({"lr[0]": 0.5, "lr[1]": 0.25, "lr[2]": 0.25})
    with pytest.raises(
        StateError, match="'betas' has 1 values and this AdamW has entries of length 2"
    ):
        state.apply({"betas[0]": 0.5})


def test_values_of_an_array_with_names_are_bound_one_by_one() -> None:
    model = Net()
    parts = [model.body.parameters(), model.head.parameters()]
    optimizer = torch.optim.AdamW([{"params": part} for part in parts])
    bind = {
        "lr.body": ramet.torch.param_group(optimizer, "lr", group=0),
        "lr.head": ramet.torch.param_group(optimizer, "lr", group=1),
    }
    state = ramet.torch.State(model, optimizer, bind=bind)

    state.apply({"lr.body": 0.5, "lr.head": 0.25})

    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25]


def test_an_array_that_the_loop_reads_is_bound_to_none() -> None:
    optimizer, state = grouped(lr=None)

    state.apply({"lr[0]": 0.5, "lr[1]": 0.25, "lr[2]": 0.25})

    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 1e-3]


def test_an_array_that_is_bound_to_one_place_is_refused() -> None:
    _, state = grouped(rate="lr")

    with pytest.raises(StateError, match="must be bound each by itself"):
        state.apply({"rate[0]": 0.5, "rate[1]": 0.25})


def test_a_state_says_what_it_would_set() -> None:
    _, state = grouped(beta1="betas[0]", eps=None)
    names = ["lr", "lr[0]", "beta1", "eps", "eps[0]", "dropout", "lr[", "x]"]

    assert [name for name in names if state.sets(name)] == ["lr", "lr[0]", "beta1"]
