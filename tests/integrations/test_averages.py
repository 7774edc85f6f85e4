"""Members whose scores are those of averaged weights, in the training loops of libraries."""

from typing import Any

import pytest
import torch
from stable_baselines3 import PPO
from torch import nn

import ramet
import ramet.torch
from ramet.errors import RunFailed, StateError
from ramet.integrations import huggingface, lightning, stable_baselines3
from ramet.state import Tree
from tests.integrations import hugging, lit
from tests.integrations.baselines import ppo
from tests.values import STRICT

# What libraries say of small loaders, and what they use themselves that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore")

AVERAGE = ramet.PolynomialAverage(power=2, of="model")
PBT = ramet.PBT(population=5, turn_steps=4, synchronous=True)


def search(train: Any, name: str = "lr", mode: str = "min") -> ramet.Result:
    """Train a small population with high rates, at which an average is far from the weights."""
    space = ramet.Space(**{name: ramet.LogUniform(0.05, 0.3)})
    return ramet.run(train, space, PBT, steps=12, mode=mode, seed=0, engine=STRICT)


def check_scores(result: ramet.Result, score: Any, model: nn.Module) -> None:
    """Check that the score of each member is that of its average, and not of its weights."""
    own = []
    for member in result.population:
        tree = result.members[member.id].load()
        assert score_with(model, tree, score, averaged=True) == pytest.approx(member.score)
        own.append(score_with(model, tree, score, averaged=False) == pytest.approx(member.score))
    assert not any(own)


def score_with(model: nn.Module, tree: Tree, score: Any, *, averaged: bool) -> float:
    ramet.torch.load_model(model, tree, averaged=averaged)
    model.eval()
    with torch.no_grad():
        return float(score(model))


def loss_of(net: Any) -> float:
    x, y = lit.SUMS.tensors
    return float(nn.functional.mse_loss(net.layers(x), y))


@pytest.mark.parametrize("monitor", ["val_loss", loss_of])
def test_lightning_validates_averaged_weights_and_trains_on_with_its_own(monitor: Any) -> None:
    def train(session: ramet.Session) -> None:
        torch.manual_seed(session.seed)
        lit.fit(lit.Net(), lightning.Turns(session, monitor, average=AVERAGE))

    check_scores(search(train), loss_of, lit.Net())


def test_a_module_has_its_own_weights_again_when_validation_fails() -> None:
    class Failing(lit.Net):
        def __init__(self) -> None:
            super().__init__()
            self.inside = self.outside = torch.zeros(())

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.outside = self.layers[0].weight.detach().clone()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            if self.trainer.sanity_checking:
                return
            self.inside = self.layers[0].weight.detach().clone()
            raise ArithmeticError

    failed: list[Failing] = []

    def train(session: ramet.Session) -> None:
        failed.append(Failing())
        lit.fit(failed[-1], lightning.Turns(session, "val_loss", average=AVERAGE))

    with pytest.raises(RunFailed):
        search(train)

    net = failed[-1]
    assert not torch.equal(net.inside, net.outside)
    assert torch.equal(net.layers[0].weight, net.outside)


def understand(model: nn.Module) -> float:
    """Return the loss over all sentences."""
    words = torch.stack([each["input_ids"] for each in hugging.SENTENCES])
    labels = torch.stack([each["labels"] for each in hugging.SENTENCES])
    return float(model(words, labels)["loss"])


@pytest.mark.parametrize("monitor", ["eval_loss", understand])
def test_a_trainer_of_transformers_evaluates_averaged_weights(monitor: Any) -> None:
    def train(session: ramet.Session) -> None:
        torch.manual_seed(session.seed)
        turns = huggingface.Turns(session, monitor, average=AVERAGE)
        settings = {"optim": "sgd", "lr_scheduler_type": "constant", "seed": session.seed}
        hugging.trainer(hugging.Reader(), turns, **settings).train()

    check_scores(search(train), understand, hugging.Reader())


def test_several_datasets_are_all_evaluated_with_averaged_weights() -> None:
    def train(session: ramet.Session) -> None:
        torch.manual_seed(session.seed)
        turns = huggingface.Turns(session, "eval_second_loss", average=AVERAGE)
        settings = {"optim": "sgd", "lr_scheduler_type": "constant", "seed": session.seed}
        trainer = hugging.trainer(hugging.Reader(), turns, **settings)
        trainer.eval_dataset = {"first": hugging.SENTENCES[:4], "second": hugging.SENTENCES}
        trainer.train()

    check_scores(search(train), understand, hugging.Reader())


def size_of(policy: nn.Module) -> float:
    """Return something that depends on the weights of a policy alone."""
    return sum(float(param.square().sum()) for param in policy.parameters())


def test_an_algorithm_is_scored_with_the_averaged_policy() -> None:
    made: list[PPO] = []

    def keep(session: ramet.Session) -> None:
        made.append(ppo(seed=session.seed))
        made[-1].learn(
            10**9,
            callback=stable_baselines3.Turns(
                session, lambda model: size_of(model.policy), average=AVERAGE
            ),
        )

    result = search(keep, "learning_rate", "max")
    check_scores(result, size_of, made[-1].policy)


def test_returns_of_training_are_not_those_of_an_average() -> None:
    with pytest.raises(StateError, match="score="):
        search(
            lambda session: ppo(seed=session.seed).learn(
                10**9, callback=stable_baselines3.Turns(session, average=AVERAGE)
            ),
            "learning_rate",
            "max",
        )
