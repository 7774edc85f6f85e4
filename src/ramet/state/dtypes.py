"""The kinds of numbers that a checkpoint may hold, and what safetensors stores them as."""

import functools
import importlib
from typing import Any

import numpy as np

from ramet.errors import StateError

_NUMPY = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    # Safetensors has no complex numbers: these have one more dimension there, of two floats.
    "complex64": "F32",
    "complex128": "F64",
}
_DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(name).newbyteorder("<") for name in _NUMPY}
# Of the package ml_dtypes. What safetensors has no name for is a byte to it.
_ML_DTYPES = {
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float4_e2m1fn": "U8",
    "float6_e2m3fn": "U8",
    "float6_e3m2fn": "U8",
    "float8_e3m4": "U8",
    "float8_e4m3": "U8",
    "float8_e4m3b11fnuz": "U8",
    "float8_e4m3fnuz": "U8",
    "float8_e5m2fnuz": "U8",
    "float8_e8m0fnu": "U8",
    "int2": "U8",
    "int4": "U8",
    "uint2": "U8",
    "uint4": "U8",
}
# NumPy's name of each, and safetensors' of what it is stored as.
STORED = _NUMPY | _ML_DTYPES


# NumPy makes a dtype's name anew each time, which would take longer than all else of an array.
@functools.lru_cache(maxsize=256)
def name_of(dtype: np.dtype[Any]) -> str:
    """Return NumPy's name of a dtype."""
    return dtype.name


def is_number(dtype: np.dtype[Any]) -> bool:
    """Say whether arrays of this may be in a checkpoint."""
    return name_of(dtype) in STORED


@functools.lru_cache(maxsize=256)
def little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in the order of bytes that checkpoints have."""
    return dtype if dtype.name in _ML_DTYPES else dtype.newbyteorder("<")


def dtype_named(name: str) -> np.dtype[Any]:
    """Return the dtype of a name in a checkpoint; raise KeyError if there is none."""
    if name not in _ML_DTYPES:
        # Never np.dtype of whatever stands there, which reads all sorts of text.
        return _DTYPES[name]
    try:
        dtype: np.dtype[Any] = np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    except (ImportError, AttributeError) as error:
        raise StateError(
            f"a checkpoint with numbers of type {name} must be read where the package ml_dtypes "
            f"has them, but {error}; install or upgrade it: pip install --upgrade ml_dtypes"
        ) from None
    return dtype
