"""Which element types exist, and which type comes out when several meet.

The halves, float16 and bfloat16, are types of tensors within a program; variables have others. An op on
halves is computed in float32, and its result is rounded once, to the nearest, ties to even. NumPy has no bfloat16:
where a bfloat16 result leaves a program, it comes as float32, which holds all its numbers.
"""

import functools
from typing import NamedTuple

import numpy as np

HALVES = ("float16", "bfloat16")
FLOATS = ("float32", "float64")
INTEGERS = ("bool", "uint8", "int8", "uint16", "int16", "int32", "uint32", "int64")
ALL = FLOATS + INTEGERS         # those of arrays and variables; programs have the halves too
_FLOATS = frozenset(FLOATS + HALVES)
_NAMES = {**{name: name for name in ALL + HALVES}, **{np.dtype(name): name for name in ALL}}


def canonical(dtype) -> str:
    """The name of an element type: ``np.float32``, ``"<f4"`` and ``"float32"`` all give ``"float32"``.

    Raises
    ------
    TypeError
        For types that pyconv does not compute with (complex, object, strings...).
    """
    if isinstance(dtype, (str, np.dtype)) and dtype in _NAMES:       # NumPy takes its time to find a name
        return _NAMES[dtype]
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in ALL and name not in HALVES:
        hint = " Convert it first, for example with x.astype('float32')." if name == "longdouble" else ""
        raise TypeError(f"dtype {name!r} is not supported; expected one of {', '.join(ALL + HALVES)}.{hint}")
    return name


def is_float(dtype: str) -> bool:
    return dtype in _FLOATS


def is_half(dtype: str) -> bool:
    return dtype in HALVES


class Limits(NamedTuple):
    """Of a float type: the step from 1 to the next number, the largest and the smallest normal number."""

    eps: float
    max: float
    tiny: float


def limits(dtype: str) -> Limits:
    """NumPy's finfo, for bfloat16 too."""
    if dtype == "bfloat16":
        return Limits(2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126)
    found = np.finfo(dtype)
    return Limits(float(found.eps), float(found.max), float(found.tiny))


def host_dtype(dtype: str) -> np.dtype:
    """The type of NumPy arrays that hold these numbers: float32 for bfloat16."""
    return np.dtype("float32" if dtype == "bfloat16" else dtype)


def stored(dtype: str) -> np.dtype:
    """The NumPy type of a device's memory with these numbers: bfloat16's are bits."""
    return np.dtype("uint16" if dtype == "bfloat16" else dtype)


@functools.cache
def itemsize(dtype: str) -> int:
    """Bytes of an element."""
    return stored(dtype).itemsize


def to_bfloat16(array) -> np.ndarray:
    """The nearest numbers of bfloat16, as a float32 array."""
    bits = np.ascontiguousarray(array, "float32").view("uint32").astype("uint64")
    rounded = ((bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) & np.uint64(0xFFFF0000)).astype("uint32")
    return np.where(np.isnan(array), np.float32(np.nan), rounded.view("float32").reshape(np.shape(array)))


def as_dtype(array, dtype: str) -> np.ndarray:
    """The array with numbers of the type, in the NumPy type that holds them."""
    if dtype == "bfloat16":
        return np.asarray(to_bfloat16(array), "float32")
    array = np.asarray(array)
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):            # what is too large for a half becomes infinite
        return array.astype(dtype)


def promote(*dtypes: str) -> str:
    """The type of an operation's result: the widest float if there is one, otherwise NumPy's integer rule.

    Unlike NumPy, an integer never widens a float: int64 with float32 gives float32, as in Keras and JAX. float16 with
    bfloat16 gives float32, the smallest type that holds the numbers of both.
    """
    if len(set(dtypes)) == 1:
        return dtypes[0]
    floats = {d for d in dtypes if is_float(d)}
    if floats & set(HALVES):
        wide = floats - set(HALVES)
        if wide:
            return max(wide)                    # float64 comes after float32
        return floats.pop() if len(floats) == 1 else "float32"
    return np.result_type(*(floats or dtypes)).name
