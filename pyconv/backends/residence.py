"""Where arrays lie: on which GPU, and the backend that computes there."""

from __future__ import annotations

import numpy as np

from ..utils.foreign import cuda_device, is_foreign, to_hosts

__all__ = ["gathered", "taken"]


def taken(values) -> list:
    """The values, those on GPUs as CuPy's arrays without a copy; as they are where CuPy is missing."""
    return [value if device is None else _backend(device).driver.taken(value)
            for value, device in ((v, _device(v)) for v in values)]


def gathered(values, what, mixed=False) -> tuple:
    """The backend of the GPU that holds the arrays among `values`, and the values with these as CuPy's.

    (None, values) if no GPU does, or CuPy is missing.

    mixed: whether arrays may lie in the host's memory as well; single numbers always may.

    Raises
    ------
    ValueError
        If arrays lie in several places: on another GPU, or in the host's memory.
    """
    devices = [_device(v) for v in values]
    there = {d for d in devices if d is not None}
    if not there:
        return None, values
    others = [v for v, d in zip(values, devices, strict=True)
              if not mixed and d is None and (isinstance(v, np.ndarray) or is_foreign(v)) and np.ndim(v)]
    if len(there) > 1 or others:
        places = [f"cuda:{d}" for d in sorted(there)] + ["the host's memory"] * bool(others)
        raise ValueError(f"{what}: the arrays lie in {' and '.join(places)}; they must lie in one place. Move "
                         f"some first: cupy.asarray(x) copies a NumPy array to the current GPU, x.get() a CuPy array "
                         f"to the host.")
    backend = _backend(there.pop())
    take = backend.driver.taken
    return backend, [to_hosts(v) if d is None else take(v) for v, d in zip(values, devices, strict=True)]


def _device(value):
    """The number of the GPU that a value lies on, if there is a backend for it."""
    if type(value) is np.ndarray or not is_foreign(value):
        return None
    device = cuda_device(value)
    return None if device is None or _backend(device) is None else device


def _backend(device):
    """The backend of a GPU; None if it cannot be used, as without CuPy."""
    from . import get
    try:
        return get("cuda" if device == 0 else f"cuda:{device}")
    except (ImportError, RuntimeError):
        return None
