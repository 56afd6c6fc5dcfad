"""Settings of the whole process: float type, data format, backend, number of threads, seed."""

from __future__ import annotations

import os

_state = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last", "num_threads": None,
          "conv_algorithm": None, "dtype_policy": None}


def floatx() -> str:
    """The default float type, "float32" or "float64"."""
    return _state["floatx"]


def set_floatx(value: str):
    """Set the default float type of layers made from now on."""
    if value not in ("float32", "float64"):
        half = f" To compute in {value}, use set_dtype_policy('mixed_{value}'); weights stay float32." \
            if value in ("float16", "bfloat16") else ""
        raise ValueError(f"floatx={value!r} must be 'float32' or 'float64'.{half}")
    _state["floatx"] = value


def dtype_policy():
    """The `pyconv.dtype_policies.DTypePolicy` of layers that are given no dtype; default that of `floatx`."""
    from .dtype_policies import DTypePolicy
    found = _state["dtype_policy"]
    return DTypePolicy(floatx()) if found is None else found


def set_dtype_policy(policy):
    """Set the policy of layers made from now on, by name: "mixed_float16", "mixed_bfloat16", "float32", "float64".

    policy: a name, a `DTypePolicy`, a `DTypePolicyMap` of paths of layers, or None for that of `floatx`.
    """
    from . import dtype_policies
    _state["dtype_policy"] = None if policy is None else dtype_policies.get(policy)


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite; default 1e-7."""
    return _state["epsilon"]


def set_epsilon(value: float):
    if not value > 0:
        raise ValueError(f"epsilon={value!r} must be above 0.")
    _state["epsilon"] = float(value)


def image_data_format() -> str:
    """The default data format, "channels_last" or "channels_first"."""
    return _state["image_data_format"]


def set_image_data_format(data_format: str):
    """Set the default data format of layers made from now on."""
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format={data_format!r} must be 'channels_last' or 'channels_first'.")
    _state["image_data_format"] = data_format


def backend() -> str:
    """The name of the current backend: "cpu", "reference" or "cuda"."""
    from . import backends
    return backends.current_name()


def set_backend(backend: str):
    """Choose where models compute from now on: "cpu", "reference" or "cuda". Existing models move by themselves."""
    from . import backends
    backends.set_current(backend)


def conv_algorithm() -> str:
    """How the CPU backend convolves: "auto", "direct" or "winograd".

    Default: PYCONV_CONV_ALGORITHM if set, otherwise "auto".
    """
    if _state["conv_algorithm"] is None:
        set_conv_algorithm(os.environ.get("PYCONV_CONV_ALGORITHM") or "auto")
    return _state["conv_algorithm"]


def set_conv_algorithm(name: str):
    """Choose how the CPU backend convolves from now on. Programs are kept apart by it.

    name: "auto" (Winograd's algorithm for float32 where it is estimated to be faster), "direct" (never), "winograd"
    (in float32 wherever it can be used: kernels of n, 1 x n or n x n taps, in 3D with any depth, where n over the
    stride is 3, 4 or 5, rounded up, or 2 for n x n; no dilation). Winograd's algorithm needs up to four times fewer
    multiplications for 3 x 3, six for 5 x 5, eight for 3 x 3 x 3 (up to 512 channels), two for 1 x 3, five for 7 x 7
    with stride 2; its results differ from the direct ones by a relative error of about 1e-6 (up to 8e-6 for 5 x 5 or 3
    x 3 x 3 with 512 channels, or 7 x 7 with stride 2), and a NaN or an infinity in a pixel spreads over the tiles of 4
    x 4 (x 4) outputs (4 in a row; 5 for n over the stride of 4) that it reaches. Where the exact result is zero (a
    window of zeros) it is a small number. float64 is always direct.

    Kernels of one tap take, unless "direct", two thirds of the multiplications on processors that add meanwhile (the
    variants "zen3" and "zen4") if channels and filters are 32 or more ("zen3": 64, and one of them 128): with an error
    of 2e-7 to 1e-6, or up to 4e-6 where all inputs are positive and much alike. An infinity in a pixel makes its
    results NaN. So do, with "zen4", Winograd's products.
    """
    if name not in ("auto", "direct", "winograd"):
        raise ValueError(f"conv_algorithm={name!r} must be 'auto', 'direct' or 'winograd'.")
    _state["conv_algorithm"] = name


def num_threads() -> int:
    """How many threads a program uses.

    Default: PYCONV_NUM_THREADS or OMP_NUM_THREADS if set, otherwise the cores that this process may use: the CPU
    affinity, limited by the container's CPU quota.
    """
    if _state["num_threads"] is None:
        _state["num_threads"] = _default_threads()
    return _state["num_threads"]


def set_num_threads(n: int | None):
    """Set the number of threads (None: back to the default). Results do not depend on it."""
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise ValueError(f"num_threads={n!r} must be an int of at least 1, or None for the default.")
    _state["num_threads"] = n


def _default_threads() -> int:
    for name in ("PYCONV_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()
        if text:
            if not text.isdigit() or int(text) < 1:
                raise ValueError(f"{name}={text!r} in the environment must be an int of at least 1.")
            return int(text)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    return max(1, min(cores, quota) if quota else cores)


def _cpu_quota() -> int | None:
    """The container's limit in whole CPUs (rounded up), from cgroup v2 or v1; None if there is none."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as f:
            limit, period = f.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as f, \
                 open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as g:
                limit, period = f.read().strip(), g.read().strip()
        except OSError:
            return None
    if not (limit.isdigit() and period.isdigit() and int(period)):        # "max" and -1 mean no limit
        return None
    return max(1, -(-int(limit) // int(period)))
