"""Two small networks on scikit-learn's digits, in JAX and in PyTorch, for benchmarks.

Both learn by SGD with momentum from batches of 32, and are scored by 600 images at a turn's end.
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

import ramet

SPACE = ramet.Space(lr=ramet.LogUniform(1e-3, 0.1), weight_decay=ramet.LogUniform(1e-6, 1e-2))
# The last, in JAX only, is the second with XLA's own convolutions, which are grouped once mapped.
NETS = ("mlp", "conv", "grouped")
BATCH, TRAIN, SCORED = 32, 1_000, 600
CHANNELS, HIDDEN = 16, 64
MOMENTUM = 0.9


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # noqa: PLC0415 - slow to import

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    return (images[order] / 16).astype(np.float32), labels[order].astype(np.int32)


def shapes(net: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's weights; filters as PyTorch has them."""
    if net == "mlp":
        return {"w1": (64, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 10), "b2": (10,)}
    return {
        "f1": (CHANNELS, 1, 3, 3),
        "f2": (CHANNELS, CHANNELS, 3, 3),
        "w2": (CHANNELS * 16, 10),
        "b2": (10,),
    }


class InJax:
    """A network as functions of JAX."""

    def __init__(self, net: str) -> None:
        self.net = net

    def init(self, key: Any) -> Any:
        import jax  # noqa: PLC0415 - each framework only where it is measured

        keys = jax.random.split(key, len(shapes(self.net)))
        params = {
            name: 0.1 * jax.random.normal(own, _channels_last(shape))
            for own, (name, shape) in zip(keys, shapes(self.net).items(), strict=True)
        }
        return {"params": params, "momentum": jax.tree.map(lambda w: 0 * w, params)}

    def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
        import jax  # noqa: PLC0415 - as above
        from jax import numpy as jnp  # noqa: PLC0415 - as above

        images, labels = (jnp.asarray(part[:TRAIN]) for part in digits())
        lr, decay = hparams["lr"], hparams["weight_decay"]

        def one(nth: Any, now: Any) -> Any:
            batch = jax.random.randint(jax.random.fold_in(key, nth), (BATCH,), 0, TRAIN)
            slopes = jax.grad(self.loss)(now["params"], images[batch], labels[batch])
            momentum = jax.tree.map(
                lambda m, s, w: MOMENTUM * m + s + decay * w,
                now["momentum"],
                slopes,
                now["params"],
            )
            params = jax.tree.map(lambda w, m: w - lr * m, now["params"], momentum)
            return {"params": params, "momentum": momentum}

        return jax.lax.fori_loop(0, steps, one, state)

    def evaluate(self, state: Any) -> Any:
        images, labels = digits()
        return -self.loss(state["params"], images[-SCORED:], labels[-SCORED:])

    def loss(self, params: Any, images: Any, labels: Any) -> Any:
        import jax  # noqa: PLC0415 - as above
        from jax import numpy as jnp  # noqa: PLC0415 - as above

        import ramet.jax  # noqa: PLC0415 - as above

        if self.net == "mlp":
            hidden = jax.nn.relu(images @ params["w1"] + params["b1"])
        else:
            convolve = ramet.jax.conv if self.net == "conv" else _grouped
            hidden = jnp.reshape(images, (-1, 8, 8, 1))
            hidden = jax.nn.relu(convolve(hidden, params["f1"], (1, 1)))
            hidden = jax.nn.relu(convolve(hidden, params["f2"], (2, 2)))
            hidden = hidden.reshape(len(hidden), -1)
        odds = jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])
        return -jnp.take_along_axis(odds, jnp.asarray(labels)[:, None], 1).mean()


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of weights in JAX: filters of PyTorch have their channels first."""
    return shape if len(shape) < 4 else (*shape[2:], shape[1], shape[0])  # noqa: PLR2004 - filters have height and width


def _grouped(images: Any, filters: Any, strides: tuple[int, int]) -> Any:
    import jax  # noqa: PLC0415 - as above

    # On CPUs, XLA is faster with channels first.
    made = jax.lax.conv_general_dilated(
        images.transpose(0, 3, 1, 2), filters.transpose(3, 2, 0, 1), strides, "SAME"
    )
    return made.transpose(0, 2, 3, 1)


class InTorch:
    """A network as functions of PyTorch.

    Its batches come from keys, or are drawn on the host, as is faster on a CPU.
    """

    def __init__(self, net: str, device: str, *, keyed: bool | None = None) -> None:
        import torch  # noqa: PLC0415 - each framework only where it is measured

        import ramet.torch  # noqa: PLC0415 - it imports PyTorch

        self.net, self.optimizer = net, ramet.torch.SGD()
        self._draw_keys, self._draw_integers = ramet.torch.draw_keys, ramet.torch.draw_integers
        self.keyed = "cuda" in device if keyed is None else keyed
        images, labels = digits()
        self.images = torch.as_tensor(images).to(device)
        self.labels = torch.as_tensor(labels).long().to(device)

    def init(self, rng: np.random.Generator) -> Any:
        import torch  # noqa: PLC0415 - as above

        params = {
            name: torch.as_tensor(0.1 * rng.normal(size=shape).astype(np.float32))
            for name, shape in shapes(self.net).items()
        }
        return {"params": params, "optimizer": self.optimizer.init(params)}

    def draw(self, rng: np.random.Generator, steps: int) -> Any:
        if self.keyed:
            return {"key": self._draw_keys(rng, steps)}
        # In few bytes, which NumPy draws faster.
        return {"batch": rng.integers(TRAIN, size=(steps, BATCH), dtype=np.int16)}

    def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
        from torch.func import grad  # noqa: PLC0415 - as above

        batch = (
            self._draw_integers(drawn["key"], TRAIN, (BATCH,))
            if self.keyed
            else drawn["batch"].long()
        )
        slopes = grad(self.loss)(state["params"], self.images[batch], self.labels[batch])
        params, optimizer = self.optimizer.update(
            state["params"],
            slopes,
            state["optimizer"],
            lr=hparams["lr"],
            weight_decay=hparams["weight_decay"],
            momentum=MOMENTUM,
        )
        return {"params": params, "optimizer": optimizer}

    def evaluate(self, state: Any) -> Any:
        return -self.loss(state["params"], self.images[-SCORED:], self.labels[-SCORED:])

    def loss(self, params: Any, images: Any, labels: Any) -> Any:
        from torch.nn import functional  # noqa: PLC0415 - as above

        if self.net == "mlp":
            hidden = functional.relu(images @ params["w1"] + params["b1"])
        else:
            hidden = images.reshape(-1, 1, 8, 8)
            hidden = functional.relu(functional.conv2d(hidden, params["f1"], padding=1))
            hidden = functional.relu(functional.conv2d(hidden, params["f2"], stride=2, padding=1))
            hidden = hidden.flatten(1)
        return functional.cross_entropy(hidden @ params["w2"] + params["b2"], labels)
