"""What tests that run on the emulator and on a GPU do differently on the two."""

import numpy as np

from pyconv.backends.cuda import driver
from tests.cuda.emulator import standin

current = "emulator"            # or "gpu"


def put(array):
    """An array on the device, CuPy's or the stand-in's."""
    array = np.ascontiguousarray(array)
    made = driver.cupy().empty(array.shape, array.dtype)
    made.set(array)
    return made


def lies_there(array) -> bool:
    return type(array) is driver.cupy().ndarray


def near(emulated, gpu):
    """A bound: sums on a GPU have another order than the emulator's host, and its functions other roundings."""
    return emulated if current == "emulator" else gpu


def events(function):
    """What a function gives, and what the stand-in has done meanwhile; None on a GPU, which does not say."""
    start = len(standin.log)
    out = function()
    return out, standin.log[start:] if current == "emulator" else None


def crossings(function):
    """What a function gives, and the sizes of the copies to the device and from there; None on a GPU."""
    start = len(standin.crossed)
    out = function()
    if current == "gpu":
        return out, None, None
    return out, *([n for way, n in standin.crossed[start:] if way == which] for which in ("H2D", "D2H"))
