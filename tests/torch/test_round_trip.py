"""Going on from a checkpoint is the same as never having stopped, to the bit."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler, swa_utils

import ramet.torch
from ramet.state import thaw
from tests.torch.training import MakeOptimizer, Net, Training, adamw, sgd, written
from tests.values import alike

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "SGD": sgd,
    "AdamW": adamw,
    "AMSGrad": lambda params: torch.optim.Adam(params, amsgrad=True),
    "RMSprop": lambda params: torch.optim.RMSprop(params, centered=True, momentum=0.5),
    "NAdam": lambda params: torch.optim.NAdam(params, foreach=True),
    "Adagrad": torch.optim.Adagrad,
    "ASGD": torch.optim.ASGD,
    "a rate that is a tensor": lambda params: torch.optim.Adam(params, lr=torch.tensor(0.01)),
    "Nesterov": lambda params: torch.optim.SGD(params, lr=0.01, nesterov=True, momentum=0.5),
    "LBFGS": lambda params: torch.optim.LBFGS(params, lr=0.1, max_iter=3, history_size=4),
}
SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda sgd: lr_scheduler.StepLR(sgd, step_size=3),
    "MultiStepLR": lambda sgd: lr_scheduler.MultiStepLR(sgd, milestones=[2, 6, 6]),
    "LambdaLR": lambda sgd: lr_scheduler.LambdaLR(sgd, lambda step: 1 / (1 + step)),
    "CosineAnnealingLR": lambda sgd: lr_scheduler.CosineAnnealingLR(sgd, T_max=20),
    "OneCycleLR": lambda sgd: lr_scheduler.OneCycleLR(sgd, max_lr=0.1, total_steps=20),
    "CyclicLR": lambda sgd: lr_scheduler.CyclicLR(sgd, 0.01, 0.1, step_size_up=4),
    "ReduceLROnPlateau": lambda sgd: lr_scheduler.ReduceLROnPlateau(sgd, patience=0),
    "SequentialLR": lambda sgd: lr_scheduler.SequentialLR(
        sgd,
        [lr_scheduler.LinearLR(sgd, total_iters=4), lr_scheduler.ExponentialLR(sgd, 0.9)],
        milestones=[4],
    ),
    "ChainedScheduler": lambda sgd: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(sgd, total_iters=7), lr_scheduler.ExponentialLR(sgd, 0.9)]
    ),
}


def assert_it_goes_on(make: Callable[[], Training]) -> None:
    """Hold a training that is written and read by other objects to one that is not."""
    ramet.torch.seed(1)
    one = make()
    one.steps(5)
    saved = written(one.state)
    expected = one.steps(6)

    ramet.torch.seed(2)
    other = make()
    other.state.restore(saved)
    assert alike(written(other.state), saved)
    assert other.steps(6) == expected
    assert alike(written(other.state), written(one.state))

    # And once more, into objects that have been trained.
    other.state.restore(saved)
    assert other.steps(6) == expected


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_losses_are_those_of_never_having_stopped(name: str) -> None:
    assert_it_goes_on(lambda: Training(OPTIMIZERS[name]))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedules_go_on_where_they_were(name: str) -> None:
    assert_it_goes_on(lambda: Training(sgd, SCHEDULERS[name]))


def test_a_scheduler_gets_back_dicts_of_the_kinds_that_it_has() -> None:
    def make() -> Training:
        return Training(sgd, SCHEDULERS["MultiStepLR"])

    one, other = make(), make()
    other.state.restore(written(one.state))
    assert other.scheduler.milestones == Counter({2: 1, 6: 2})
    assert type(other.scheduler.milestones) is Counter


def test_averaged_models_scalers_generators_and_lone_tensors_follow() -> None:
    def make(number: int) -> tuple[ramet.torch.State, list[Any]]:
        model = Net()
        loose = torch.full((2,), float(number), requires_grad=True)
        optimizer = torch.optim.SGD(
            [{"params": model.parameters()}, {"params": [loose]}], lr=0.1, momentum=0.9
        )
        averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn())
        for _ in range(number):
            averaged.update_parameters(model)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**number)
        generator = torch.Generator().manual_seed(number)
        counts = {"epoch": number}
        others = [averaged, scaler, generator, loose, counts]
        return ramet.torch.State(model, optimizer, *others), others

    one, (averaged, *_) = make(3)
    other, (averaged_too, scaler, generator, loose, counts) = make(5)
    other.restore(written(one))

    assert averaged_too.n_averaged == 3
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(averaged.parameters(), averaged_too.parameters(), strict=True)
    )
    assert scaler.get_scale() == 8.0
    assert torch.equal(
        torch.rand(3, generator=generator),
        torch.rand(3, generator=torch.Generator().manual_seed(3)),
    )
    assert loose.tolist() == [3.0, 3.0]
    assert counts == {"epoch": 3}


def test_generators_of_numpy_follow_by_themselves_and_in_dicts() -> None:
    def make(seed: int) -> tuple[ramet.torch.State, list[np.random.Generator]]:
        rngs = [np.random.default_rng([seed, nth]) for nth in range(2)]
        model = Net()
        others = [rngs[0], {"rng": rngs[1]}]
        return ramet.torch.State(model, sgd(model.parameters()), *others), rngs

    (one, rngs), (other, rngs_too) = make(1), make(2)
    other.restore(written(one))
    assert [rng.random() for rng in rngs_too] == [rng.random() for rng in rngs]

    mersenne = np.random.Generator(np.random.MT19937(0))
    state = ramet.torch.State(model := Net(), sgd(model.parameters()), mersenne, {})
    with pytest.raises(ramet.RametError, match=r"others\[0\] was a PCG64 and is a MT19937 here"):
        state.restore(written(one))


def test_what_was_loaded_can_be_restored_by_hand() -> None:
    def make(seed: int) -> tuple[ramet.torch.State, np.random.Generator, dict[str, Any]]:
        rng, own = np.random.default_rng(seed), {"rng": np.random.default_rng(seed + 1)}
        model = Net()
        return ramet.torch.State(model, sgd(model.parameters()), rng, own), rng, own

    one, rng, own = make(1)
    other, rng_too, own_too = make(5)
    held = own_too["rng"]
    other.restore(thaw(written(one)))
    assert rng_too.random() == rng.random()
    assert own_too["rng"] is held
    assert held.spawn(1)[0].random() == own["rng"].spawn(1)[0].random()


def test_a_state_of_numpys_default_generator_that_is_not_whole_is_refused() -> None:
    state = ramet.torch.State(model := Net(), sgd(model.parameters()))
    tree = thaw(state.capture())
    tree["rng"]["numpy"]["state"]["pos"] = 2**28
    with pytest.raises(ramet.RametError, match=r"np\.random is incomplete: state\.pos must be"):
        state.restore(tree)


def test_what_was_captured_stays_as_it_was() -> None:
    rng = np.random.default_rng(1)
    state = ramet.torch.State(model := Net(), sgd(model.parameters()), rng)
    captured = state.capture()
    drawn = rng.random()
    state.restore(captured)
    assert rng.random() == drawn


def test_a_parameter_that_only_the_optimizer_has_is_kept_with_it() -> None:
    def make(value: float) -> tuple[ramet.torch.State, torch.Tensor, torch.optim.Optimizer]:
        model, temperature = Net(), torch.tensor(value, requires_grad=True)
        optimizer = torch.optim.Adam([{"params": model.parameters()}, {"params": temperature}])
        (2 * temperature).backward()
        optimizer.step()
        return ramet.torch.State(model, optimizer), temperature, optimizer

    one, trained, _ = make(3.0)
    other, temperature, optimizer = make(5.0)
    other.restore(written(one))
    assert temperature == trained
    assert optimizer.state[temperature]["step"] == 1


class Sampler:
    """Something with a position, as a resumable loader has it."""

    def __init__(self) -> None:
        self.place, self.order = 0, torch.arange(3)

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place, "order": self.order, "of": self.order.numpy()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.place, self.order, self.of = (state_dict[key] for key in ("place", "order", "of"))


def test_the_position_of_a_loader_follows_with_arrays_and_tensors_as_they_were() -> None:
    def make() -> tuple[ramet.torch.State, Sampler]:
        model, sampler = Net(), Sampler()
        return ramet.torch.State(model, sgd(model.parameters()), sampler), sampler

    (one, sampler), (other, sampler_too) = make(), make()
    sampler.place, sampler.order = 2, torch.tensor([2, 0, 1])
    other.restore(written(one))
    assert (sampler_too.place, sampler_too.order.tolist()) == (2, [2, 0, 1])
    assert sampler_too.of.tolist() == [2, 0, 1]
    sampler_too.order += 1  # It is the sampler's own.
    sampler_too.of += 1


def test_a_generator_that_is_left_out_draws_on() -> None:
    training = Training(sgd, rng=False)
    saved = written(training.state)
    ramet.torch.seed(3)
    training.state.restore(saved)
    drawn = torch.rand(())
    ramet.torch.seed(3)
    assert torch.rand(()) == drawn


def test_the_best_weights_go_into_a_model_alone() -> None:
    training, model = Training(adamw), Net()
    training.steps(2)
    ramet.torch.load_model(model, written(training.state))
    assert alike(
        [value.numpy() for value in model.state_dict().values()],
        [value.numpy() for value in training.model.state_dict().values()],
    )
    with pytest.raises(ramet.RametError, match=r"of shape .* Nothing was restored"):
        ramet.torch.load_model(Net(width=9), written(training.state))
    with pytest.raises(ramet.RametError, match="this one has no 'model'"):
        ramet.torch.load_model(model, {"w": 0.0})
