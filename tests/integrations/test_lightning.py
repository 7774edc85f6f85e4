"""Members that Lightning's Trainer trains."""

import signal
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import ramet
import ramet.torch
from ramet.events import TurnEnded, canonical
from ramet.integrations.lightning import Turns
from tests.integrations.lit import SUMS, Net, descend, fit, trainer
from tests.values import STRICT

# What Lightning says of small loaders, and what it uses itself that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore")

RATES = ramet.Space(lr=ramet.LogUniform(1e-3, 0.1))
BOTH = ramet.Space(lr=ramet.LogUniform(1e-3, 0.1), dropout=ramet.Uniform(0.0, 0.5))


def pbt(population: int = 6, turn_steps: int = 5, **settings: Any) -> ramet.PBT:
    return ramet.PBT(population=population, turn_steps=turn_steps, synchronous=True, **settings)


class Falling(Net):
    """One weight whose gradient is 1: a step lowers it by the rate, which is the score too."""

    turns: Turns

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.falls: list[float] = []
        self.validated = 0

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.weight * 1.0

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.before = self.weight.item()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.falls.append(self.before - self.weight.item())
        self.check(self.turns.turn)

    def check(self, turn: ramet.Turn) -> None:
        assert self.falls[-1] == pytest.approx(turn.hparams["lr"])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validated += 1
        self.log("rate", self.falls[-1] if self.falls else 0.0)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([self.weight], lr=0.1)


def falling(session: ramet.Session, module: Falling, **settings: Any) -> None:
    module.turns = Turns(session, monitor="rate")
    fit(module, module.turns, **settings)


def test_every_step_uses_the_explored_rate_though_the_winners_optimizer_was_restored() -> None:
    falls: list[float] = []

    def train(session: ramet.Session) -> None:
        falling(session, module := Falling())
        falls.extend(module.falls)

    result = ramet.run(train, RATES, pbt(population=8), steps=40, mode="max", seed=0, engine=STRICT)
    assert result.population.copies > 4
    assert max(falls) > 2 * min(falls)
    assert len(falls) == 8 * 40


def test_the_base_of_a_schedule_is_what_lr_goes_to_and_the_schedule_follows_its_member() -> None:
    class Halving(Falling):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD([self.weight], lr=0.1)
            halving = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
            return [optimizer], [{"scheduler": halving, "interval": "step"}]

        def check(self, turn: ramet.Turn) -> None:
            expected = turn.hparams["lr"] * 0.5 ** ((turn.step - 1) // 5)
            assert self.falls[-1] == pytest.approx(expected)

    result = ramet.run(
        lambda member: falling(member, Halving()),
        RATES,
        pbt(),
        steps=20,
        mode="max",
        seed=0,
        engine=STRICT,
    )
    assert result.population.copies


def test_a_schedule_that_the_module_steps_itself_is_its_own_affair() -> None:
    class Manual(Falling):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.optimizers().zero_grad()
            self.manual_backward(self.weight * 1.0)
            self.optimizers().step()
            self.lr_schedulers().step()

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD([self.weight], lr=0.1)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 5, gamma=0.5)]

        def check(self, turn: ramet.Turn) -> None:
            expected = turn.hparams["lr"] * 0.5 ** ((turn.step - 1) // 5)
            assert self.falls[-1] == pytest.approx(expected)

    result = ramet.run(
        lambda member: falling(member, Manual()),
        RATES,
        pbt(),
        steps=20,
        mode="max",
        seed=0,
        engine=STRICT,
    )
    assert result.population.copies


def test_several_optimizers_are_one_step_together_and_each_has_a_rate() -> None:
    class Rivals(Net):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.rival = nn.Linear(4, 1)

        def training_step(self, batch: Any, batch_idx: int) -> None:
            values = turns[-1].turn.hparams
            x, y = batch
            for optimizer, model, rate in zip(
                self.optimizers(), (self.layers, self.rival), ("lr", "rival"), strict=True
            ):
                assert optimizer.param_groups[0]["lr"] == values[rate]
                optimizer.zero_grad()
                self.manual_backward(nn.functional.mse_loss(model(x), y))
                optimizer.step()

        def configure_optimizers(self) -> Any:
            return [
                torch.optim.SGD(self.layers.parameters(), lr=0.1),
                torch.optim.AdamW(self.rival.parameters(), lr=0.1),
            ]

    def bind(module: Any) -> dict[str, Any]:
        _, second = module.optimizers(use_pl_optimizer=False)
        return {"rival": ramet.torch.param_group(second, "lr")}

    turns: list[Turns] = []

    def train(session: ramet.Session) -> None:
        turns.append(Turns(session, "val_loss", bind=bind))
        fit(Rivals(), turns[-1])

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.1), rival=ramet.LogUniform(1e-3, 0.1))
    result = ramet.run(train, space, pbt(), steps=20, seed=0, mode="min", engine=STRICT)
    assert result.population.copies


def test_each_turn_begins_with_the_weights_that_its_member_has() -> None:
    began = []

    class Watched(Net):
        turns: Turns

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            turn = self.turns.turn
            if turn.step == turn.start + 1 and turn.checkpoint is not None:
                saved = turn.read_checkpoint()["model"]
                assert saved.keys() == self.state_dict().keys()
                assert all((saved[k] == v.numpy()).all() for k, v in self.state_dict().items())
                began.append(turn.checkpoint.member != turn.member)

    def train(session: ramet.Session) -> None:
        ramet.torch.seed(session.seed)
        net = Watched()
        net.turns = Turns(
            session, "val_loss", bind=lambda module: {"dropout": (module.dropout, "p")}
        )
        fit(net, net.turns)

    ramet.run(train, BOTH, pbt(), steps=20, seed=0, mode="min", engine=STRICT)
    assert set(began) == {True, False}


def test_a_step_is_the_optimizers_when_gradients_accumulate() -> None:
    batches: list[int] = []

    class Accumulating(Net):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            batches.append(self.trainer.global_step)

    def train(session: ramet.Session) -> None:
        fit(Accumulating(), Turns(session, "val_loss"), accumulate_grad_batches=2)

    ramet.run(
        train, RATES, ramet.RandomSearch(population=1, turn_steps=6), steps=12, mode="max", seed=0
    )
    assert batches == [step for step in range(13) for _ in range(2)][1:-1]


def test_lightning_validates_where_a_score_is_due_and_nowhere_else() -> None:
    module = Falling()
    strategy = ramet.RandomSearch(population=1, turn_steps=6, evaluate_every=3)
    result = ramet.run(
        lambda member: falling(member, module, num_sanity_val_steps=0),
        RATES,
        strategy,
        steps=12,
        mode="max",
        seed=0,
    )
    ended = [event for event in result.events if isinstance(event, TurnEnded)]
    assert [step for event in ended for step, _ in event.points] == [3, 6, 9, 12]
    assert module.validated == 4


def test_a_function_of_the_module_can_be_the_score_and_sees_it_without_dropout() -> None:
    def score(module: Any) -> float:
        assert not module.dropout.training
        assert not torch.is_grad_enabled()
        x, y = SUMS.tensors
        return float(nn.functional.mse_loss(module.layers(x), y))

    def train(session: ramet.Session) -> None:
        net = Net()
        trainer(Turns(session, score)).fit(net, DataLoader(SUMS, batch_size=16))
        assert net.dropout.training

    result = ramet.run(train, RATES, pbt(), steps=40, seed=0, mode="min")
    assert result.best.score < 0.1


def test_other_callbacks_meet_the_member_that_was_scored() -> None:
    met: list[int] = []

    class Watching(lightning.Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                met.append(pl_module.turns.turn.step)

    def train(session: ramet.Session) -> None:
        module = Falling()
        module.turns = Turns(session, "rate")
        fit(module, module.turns, callbacks=[module.turns, Watching()])

    ramet.run(train, RATES, pbt(), steps=10, mode="max", seed=0)
    assert met == [5] * 6 + [10] * 6


@pytest.fixture
def alone() -> ramet.Result:
    return ramet.run(descend, BOTH, pbt(), steps=20, seed=0, mode="min")


@pytest.mark.slow
def test_a_run_is_the_same_for_any_number_of_processes(tmp_path: Path, alone: ramet.Result) -> None:
    together = ramet.run(
        descend, BOTH, pbt(), steps=20, seed=0, mode="min", store=tmp_path / "runs.db", workers=2
    )
    assert alone.population.copies
    assert canonical(together.events) == canonical(alone.events)


def test_the_best_is_a_module_that_was_trained(alone: ramet.Result) -> None:
    net = Net().eval()
    ramet.torch.load_model(net, alone.best.load())
    x, y = SUMS.tensors
    assert nn.functional.mse_loss(net.layers(x), y).item() == pytest.approx(alone.best.score)


def test_code_that_raises_fails_its_member_and_the_run_goes_on() -> None:
    raised = []

    class Fragile(Net):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            if self.trainer.global_step == 7 and not raised:
                raised.append(True)
                raise RuntimeError("the loss is not what it was")
            return super().training_step(batch, batch_idx)

    result = ramet.run(
        lambda member: fit(Fragile(), Turns(member, "val_loss")),
        RATES,
        pbt(),
        steps=10,
        mode="max",
        seed=0,
    )
    assert raised
    assert all(member.step == 10 for member in result.population.members)


def test_ctrl_c_reaches_who_called_and_can_be_pressed_again() -> None:
    class Interrupted(Net):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        ramet.run(
            lambda member: fit(Interrupted(), Turns(member, "val_loss")),
            RATES,
            pbt(),
            steps=10,
            mode="max",
            seed=0,
        )
    assert signal.getsignal(signal.SIGINT) is before
