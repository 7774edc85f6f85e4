"""Nothing is silently unapplied."""

import logging
from typing import Any

import pytest

import ramet
from ramet.errors import (
    HyperparameterOverwritten,
    HyperparameterUnread,
    StateError,
    UnknownHyperparameter,
)
from ramet.events import LeftUnread
from tests.engine.loops import SPACE, pbt
from tests.values import STRICT


class Optimizer:
    """An optimiser with two settings, as frameworks have them."""

    def __init__(self) -> None:
        self.lr = 0.1
        self.decay = 0.1


class WithSettings:
    """A state that holds the optimiser's settings as well, as frameworks' states do."""

    def __init__(self, net: dict[str, float], optimizer: Optimizer) -> None:
        self.net, self.optimizer = net, optimizer

    def capture(self) -> dict[str, Any]:
        return {"net": self.net, "lr": self.optimizer.lr, "decay": self.optimizer.decay}

    def restore(self, tree: dict[str, Any]) -> None:
        self.net.update(tree["net"])
        self.optimizer.lr, self.optimizer.decay = tree["lr"], tree["decay"]


def reads_lr_only(session: ramet.Session) -> None:
    for turn in session.turns({"w": 0.0}):
        list(turn)
        turn.report(turn.hparams["lr"])


def test_a_hyperparameter_never_read_is_said_once_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.run(reads_lr_only, SPACE, pbt(), steps=12, mode="max", seed=0)
    said = [record for record in caplog.records if "never read" in record.message]
    assert len(said) == 1
    assert "['decay']" in said[0].message
    assert [e.name for e in result.events if isinstance(e, LeftUnread)] == ["decay"]


def test_a_hyperparameter_never_read_is_an_error_when_strict() -> None:
    with pytest.raises(HyperparameterUnread, match=r"never read \['decay'\]"):
        ramet.run(reads_lr_only, SPACE, pbt(), steps=12, mode="max", seed=0, engine=STRICT)


def test_all_that_a_loop_reads_counts_as_read() -> None:
    space = ramet.Space(lr=ramet.Uniform(0, 1), aug=ramet.Space(p=ramet.Uniform(0, 1)))

    def train(session: ramet.Session) -> None:
        state = {"w": 0.0}
        for turn in session.turns(state):
            list(turn)
            state["w"] += turn.hparams["lr"] + turn.hparams["aug"]["p"]
            turn.report(state["w"])

    ramet.run(train, space, pbt(), steps=12, mode="max", seed=0, engine=STRICT)


def test_unpacking_reads_everything() -> None:
    def train(session: ramet.Session) -> None:
        state = {"w": 0.0}
        for turn in session.turns(state):
            list(turn)
            state["w"] += sum(dict(**turn.hparams).values())
            turn.report(state["w"])

    ramet.run(train, SPACE, pbt(), steps=12, mode="max", seed=0, engine=STRICT)


def test_an_unknown_name_is_refused_with_what_was_meant() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(turn.hparams["learning_rte"])

    space = ramet.Space(learning_rate=ramet.Uniform(0, 1))
    with pytest.raises(UnknownHyperparameter, match="did you mean 'learning_rate'"):
        ramet.run(train, space, pbt(), steps=12, mode="max", seed=0)


def test_bound_hyperparameters_are_applied_after_every_restore() -> None:
    def train(session: ramet.Session) -> None:
        optimizer, net = Optimizer(), {"w": 0.0}
        state = ramet.Bound(
            WithSettings(net, optimizer), lr=(optimizer, "lr"), decay=(optimizer, "decay")
        )
        for turn in session.turns(state):
            list(turn)
            assert optimizer.lr == turn.hparams["lr"]
            assert optimizer.decay == turn.hparams["decay"]
            net["w"] += optimizer.lr
            turn.report(net["w"])

    result = ramet.run(train, SPACE, pbt(), steps=40, mode="max", seed=0, engine=STRICT)
    assert result.population.copies > 0


def test_a_bound_hyperparameter_that_did_not_take_is_refused_at_the_start() -> None:
    class Stubborn:
        @property
        def lr(self) -> float:
            return 0.1

        @lr.setter
        def lr(self, value: float) -> None:
            pass

    def train(session: ramet.Session) -> None:
        for turn in session.turns(ramet.Bound({"w": 0.0}, lr=(Stubborn(), "lr"))):
            list(turn)
            turn.report(0.0)

    with pytest.raises(HyperparameterOverwritten, match=r"'lr' .* when read back it was 0\.1"):
        ramet.run(train, SPACE, pbt(), steps=12, mode="max", seed=0)


def test_a_scheduler_that_overwrites_a_hyperparameter_is_named_at_the_end_of_the_turn() -> None:
    def train(session: ramet.Session) -> None:
        optimizer = Optimizer()
        for turn in session.turns(ramet.Bound({"w": 0.0}, lr=(optimizer, "lr"))):
            for _ in turn:
                optimizer.lr *= 0.9
            turn.report(turn.hparams["decay"])

    with pytest.raises(HyperparameterOverwritten, match=r"'lr' .* at the end of the turn"):
        ramet.run(train, SPACE, pbt(), steps=12, mode="max", seed=0)


def test_binding_to_an_attribute_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ramet.RametError, match="'lr' is bound to 'rate', which Optimizer does not"):
        ramet.Bound({}, lr=(Optimizer(), "rate"))


def test_asking_whether_a_name_is_there_is_not_reading_it() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            assert "lr" in turn.hparams
            assert "lrr" not in turn.hparams
            turn.report(turn.hparams["decay"])

    with pytest.raises(HyperparameterUnread, match=r"never read \['lr'\]"):
        ramet.run(train, SPACE, pbt(), steps=12, mode="max", seed=0, engine=STRICT)


def test_a_default_does_not_hide_an_unknown_name() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(turn.hparams.get("lrr", 0.1))

    with pytest.raises(UnknownHyperparameter, match="'lrr'"):
        ramet.run(train, SPACE, pbt(), steps=12, mode="max", seed=0)


def rebinds(session: ramet.Session) -> None:
    w = 1.0
    for turn in session.turns({"w": w}):
        list(turn)
        w = w * (1 - turn.hparams["lr"]) - turn.hparams["decay"]
        turn.report(w)


def test_a_state_that_no_turn_changes_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ramet"):
        ramet.run(rebinds, SPACE, pbt(), steps=40, mode="max", seed=0)
    assert [r.message[:33] for r in caplog.records] == ["training must change the state gi"]


def test_a_state_that_no_turn_changes_is_an_error_when_strict() -> None:
    with pytest.raises(StateError, match="bit for bit as it was"):
        ramet.run(rebinds, SPACE, pbt(), steps=40, mode="max", seed=0, engine=STRICT)


def test_a_turn_that_changes_nothing_among_others_is_no_mistake(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def train(session: ramet.Session) -> None:
        state = {"w": 0}
        for turn in session.turns(state):
            list(turn)
            state["w"] += turn.number < 3
            turn.report(turn.hparams["lr"] + turn.hparams["decay"])

    with caplog.at_level(logging.WARNING, "ramet"):
        ramet.run(train, SPACE, pbt(), steps=40, mode="max", seed=0, engine=STRICT)
    assert not caplog.records
