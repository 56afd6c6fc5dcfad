"""Arrays of other libraries (PyTorch, JAX, CuPy, ...) as NumPy's: pyconv takes them everywhere, and gives NumPy's back.

An array in the host's memory is not copied where its library can share it; the result may then be read-only. An array
on a device is copied to the host, unless it is used where it lies (backends/residence.py). A tensor's connection to
PyTorch's or JAX's differentiation is lost: pyconv sees its values.
"""

from __future__ import annotations

import numpy as np

__all__ = ["cuda_device", "is_foreign", "to_host", "to_hosts"]

HOST = (1, 3)           # DLPack's numbers for memory of the CPU: ordinary, pinned
CUDA = (2, 13)          # of NVIDIA GPUs: ordinary, managed
PLAIN = {np.ndarray, int, float, bool, str, type(None)}       # not another library's; what programs compute with joins


def is_foreign(value) -> bool:
    """Whether a value is another library's array: it follows DLPack or has a CUDA array interface."""
    kind = type(value)
    return kind not in PLAIN and not isinstance(value, (np.ndarray, np.generic)) \
        and (hasattr(kind, "__dlpack__") or hasattr(kind, "__cuda_array_interface__"))


def cuda_device(value) -> int | None:
    """The number of the NVIDIA GPU that another library's array lies on, or None."""
    if hasattr(value, "__dlpack_device__"):
        kind, number = value.__dlpack_device__()
        return int(number) if int(kind) in CUDA else None
    from ..backends.cuda.driver import number_of
    return number_of(value)


def to_hosts(value):
    """`to_host` of an array, or of those in a list, tuple or dictionary; anything else as it is."""
    if isinstance(value, (list, tuple)):
        if not any(map(is_foreign, value)):
            return value
        items = [to_host(v) if is_foreign(v) else v for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return to_host(value) if is_foreign(value) else value


def to_host(value) -> np.ndarray:
    """Another library's array as NumPy's.

    Raises
    ------
    TypeError
        For element types that NumPy does not have (bfloat16, float8 and so on), and for arrays on a device that nobody
        here can read.
    ImportError
        If it takes CuPy to copy the array from its device, and CuPy is not installed.
    """
    title = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    name = str(getattr(value, "dtype", "")).rpartition(".")[2]
    if name:
        try:
            known = np.dtype(name).kind in "biufc"
        except TypeError:
            known = False
        if not known:
            raise TypeError(f"A {title} holds {name}, which NumPy does not have; pyconv computes in float32 and "
                            f"float64. Convert it first, with x.float() (PyTorch) or x.astype('float32').")
    if getattr(value, "requires_grad", False):
        value = value.detach()
    device = value.__dlpack_device__() if hasattr(value, "__dlpack_device__") else (2, 0)
    if int(device[0]) in HOST:
        return np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)
    if hasattr(value, "get"):           # CuPy
        return value.get()
    if hasattr(value, "cpu"):           # PyTorch
        return np.asarray(value.cpu())
    if hasattr(value, "__cuda_array_interface__"):
        from ..backends.cuda.driver import fetched
        return fetched(value)
    if hasattr(value, "__array__"):     # JAX copies by itself
        return np.asarray(value)
    raise TypeError(f"A {title} is on a device of DLPack's type {int(device[0])}, number {device[1]}, and has no "
                    f"method that copies it to the host. Copy it first, and give pyconv the copy.")
