"""A space with conditions, arrays and limits, and a loop that reads all of it."""

from typing import Any

import numpy as np

import ramet

RICH = ramet.Space(
    {
        "optimizer": ramet.Choice(["sgd", "adam"], ordered=True),
        "momentum": ramet.When(ramet.Uniform(0.0, 0.99), optimizer="sgd"),
        "adam": ramet.When(
            {"beta": ramet.Uniform(0.5, 0.999), "warm": ramet.Integer(0, 2)}, optimizer="adam"
        ),
        "eps": ramet.When(ramet.LogUniform(1e-8, 1e-3), {"adam.warm": [1, 2]}),
        "lr": ramet.Array(ramet.LogUniform(1e-3, 1.0), 3),
        "drop": ramet.Array(ramet.Uniform(0.0, 0.5), ("body", "head"), together=True),
        "batch": ramet.Choice([16, 32, 64], ordered=True),
        "length": ramet.Integer(8, 512, log=True),
        "short": ramet.Integer(1, 512, log=True),
    },
    limits=[
        ramet.ProductAtMost(["batch", "length"], 4_096),
        ramet.AtMost("short", "length", factor=0.5),
    ],
)


class Rich:
    """Descent on a bowl, at a rate that all hyperparameters have a part in."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"w": rng.normal(size=3), "seen": 0}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        rate = np.array(hparams["lr"]) * (1 - hparams["drop"]["body"] * hparams["drop"]["head"])
        if hparams["optimizer"] == "sgd":
            rate = rate * (1.0 - 0.5 * hparams["momentum"])
        else:
            rate = rate * hparams["adam"]["beta"] + hparams.get("eps", 0.0)
        noise = hparams["short"] / (hparams["batch"] * hparams["length"])
        w = state["w"]
        for _ in range(steps):
            w = w - rate * (w + noise * rng.normal(size=3))
        return {"w": w, "seen": state["seen"] + steps}

    def evaluate(self, state: dict[str, Any]) -> float:
        return -float(state["w"] @ state["w"])
