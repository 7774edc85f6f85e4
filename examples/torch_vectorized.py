"""A population trained as one PyTorch program, on handwritten digits. Needs scikit-learn.

python examples/torch_vectorized.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.func import functional_call, grad

import ramet
import ramet.torch

torch.set_num_threads(1)  # Networks this small are no faster with more threads.
device = "cuda" if torch.cuda.is_available() else "cpu"
images, labels = (torch.as_tensor(part).to(device) for part in load_digits(return_X_y=True))
images = images.float() / 16
learn, score, test = slice(0, 1_000), slice(1_000, 1_400), slice(1_400, None)


class Digits:
    def __init__(self):
        # Only its structure is used: each member has its own weights.
        self.model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to(device)
        self.optimizer = ramet.torch.AdamW()

    def init(self, rng):
        params = {
            name: torch.as_tensor(0.15 * rng.normal(size=weights.shape)).float()
            for name, weights in self.model.named_parameters()
        }
        return {"params": params, "optimizer": self.optimizer.init(params)}

    def draw(self, rng, steps):
        return {"batch": rng.integers(1_000, size=(steps, 32))}

    def loss(self, params, inputs, targets):
        return nn.functional.cross_entropy(functional_call(self.model, params, inputs), targets)

    def step(self, state, hparams, drawn):
        batch = drawn["batch"]
        slopes = grad(self.loss)(state["params"], images[batch], labels[batch])
        params, optimizer = self.optimizer.update(
            state["params"],
            slopes,
            state["optimizer"],
            lr=hparams["lr"],
            weight_decay=hparams["weight_decay"],
        )
        return {"params": params, "optimizer": optimizer}

    def evaluate(self, state):
        return self.loss(state["params"], images[score], labels[score])


space = ramet.Space(lr=ramet.LogUniform(1e-4, 1e-1), weight_decay=ramet.LogUniform(1e-4, 1.0))
strategy = ramet.PBT(population=16, turn_steps=50, synchronous=True)

if __name__ == "__main__":
    digits = Digits()
    result = ramet.run(
        ramet.torch.Task(digits, device=device),
        space,
        strategy,
        steps=600,
        mode="min",
        engine=ramet.Vectorized(),
    )
    params = {name: torch.tensor(w).to(device) for name, w in result.best.load()["params"].items()}
    found = functional_call(digits.model, params, images[test]).argmax(dim=1)
    right = (found == labels[test]).float().mean().item()
    print(f"{right:.1%} of the test images are classified correctly")
    print(result.schedule())
