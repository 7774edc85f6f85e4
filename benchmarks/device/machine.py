"""What the figures were measured on: versions, the device, and whether Triton works there."""

import importlib.metadata
import os
import platform
import shutil
from typing import Any

from benchmarks.device.writing import Part

PACKAGES = ("jax", "jaxlib", "torch", "triton", "numpy", "optax", "gymnax", "msgspec")


def measure(part: Part) -> None:
    part.measure(software, what="software")
    part.measure(torch_device, what="torch")
    part.measure(jax_device, what="jax")
    part.measure(compiles, what="torch.compile", needs_s=15)


def software() -> dict[str, Any]:
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "compilers": {name: shutil.which(name) for name in ("cc", "gcc", "g++", "nvcc")},
        **versions,
    }


def torch_device() -> dict[str, Any]:
    import torch  # noqa: PLC0415 - each framework only where it is measured

    if not torch.cuda.is_available():
        return {"device": "cpu"}
    free, total = torch.cuda.mem_get_info()
    return {
        "device": torch.cuda.get_device_name(),
        "free_bytes": free,
        "total_bytes": total,
        "cuda": torch.version.cuda,
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
    }


def jax_device() -> dict[str, Any]:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax  # noqa: PLC0415 - as above

    return {"device": jax.devices()[0].device_kind, "platform": jax.devices()[0].platform}


def compiles() -> dict[str, Any]:
    """Say whether PyTorch can compile here, which needs Triton on a GPU and a compiler without."""
    import torch  # noqa: PLC0415 - as above

    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.linspace(0, 1, 1_000, device=device)
    made = torch.compile(lambda x: torch.sin(x) * 2 + 1)(x)
    return {"works": bool(torch.allclose(made, torch.sin(x) * 2 + 1))}
