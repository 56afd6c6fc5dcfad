"""Seeds, and random arrays: one number decides initial weights, shuffling and every draw, for any number of threads.

The functions (`normal`, `uniform`, ...) take arrays and shapes outside of a model, and work in the `call` of a layer,
where each run of the compiled program draws anew. Their `seed` is

- a `SeedGenerator`: every draw moves it on. In a layer, make one in ``__init__`` and keep it as an attribute: its state
  then belongs to the model, is saved with it, and a training that is resumed draws the same numbers;
- an int: the same numbers at every call;
- None: a generator of the process, which `set_random_seed` starts anew. `BackupAndRestore` keeps its state, and
  `pyconv.saving.get_random_state` gives it; a model's file has none of it.
"""

from __future__ import annotations

import os

import numpy as np

from .graph import Variable

__all__ = ["SeedGenerator", "categorical", "dropout", "host_generator", "normal", "randint", "set_random_seed",
           "shuffle", "truncated_normal", "uniform"]

_generator = None
_seed = None             # what set_random_seed was given
_default = None          # the SeedGenerator of draws without a seed


def set_random_seed(seed: int):
    """Make everything random that follows a function of `seed`, an int from 0 to 2**63 - 1."""
    global _generator, _seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed!r} must be an int from 0 to 2**63 - 1.")
    _seed = int(seed)
    _generator = np.random.Generator(np.random.Philox(_seed))
    if _default is not None:        # in its place: compiled programs know the variable
        _default.state.array[...] = _of_default()


def _of_default():
    """The first state of draws without a seed: the process's seed decides it, and its generator gives nothing away."""
    entropy = None if _seed is None else [_seed, 1]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1), 0


def _renew():
    """In a forked process: numbers of its own, unless a seed says which."""
    global _generator
    if _seed is None:
        _generator = None
        if _default is not None:
            _default.state.array[...] = _of_default()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def host_generator() -> np.random.Generator:
    """The process's NumPy generator: initial weights, shuffling, and the seeds of layers that were given none."""
    global _generator
    if _generator is None:
        _generator = np.random.Generator(np.random.Philox(np.random.SeedSequence().generate_state(1)[0]))
    return _generator


class SeedGenerator:
    """A source of states for `pyconv.random.normal` and its like, that moves on with every use.

    Parameters
    ----------
    seed: int, optional
        Default: drawn from the process's generator, so that `set_random_seed` decides it.
    name: str, optional
    """

    def __init__(self, seed: int | None = None, name: str | None = None):
        self.seed, self.name = seed, name or "seed_generator"
        if seed is None:
            seed = int(host_generator().integers(2**62))
        elif isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
            raise ValueError(f"SeedGenerator: seed={seed!r} must be an int from 0 to 2**63 - 1, or None.")
        self.state = Variable(np.array([seed, 0], "int64"), name="seed_state", trainable=False)

    def next(self):
        """The state for one draw; the counter is raised for the next."""
        state = self.state.value
        self.state.assign(state + np.array([0, 1], "int64"))
        return state

    def get_config(self) -> dict:
        """The arguments that make a generator like this one, at its beginning."""
        return {"seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)


def default_generator() -> SeedGenerator:
    """The process's generator of draws without a seed."""
    global _default
    if _default is None:
        _default = SeedGenerator(0, name="default")
        _default.state.array[...] = _of_default()
    return _default


# ---- arrays

def _state(seed):
    """The state for one draw."""
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None:
        return default_generator().next()
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed!r} must be an int from 0 to 2**63 - 1, a SeedGenerator, or None.")
    return np.array([int(seed), 0], "int64")


def _float(function, dtype):
    from .config import floatx
    from .graph import canonical, is_float
    dtype = canonical(dtype or floatx())
    if not is_float(dtype):
        hint = " For integers there is randint." if function == "uniform" else ""
        raise ValueError(f"{function}: dtype={dtype!r} must be 'float32' or 'float64'.{hint}")
    return dtype


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Numbers of a normal distribution.

    Parameters
    ----------
    shape: tuple of int
    mean, stddev: numbers or tensors that broadcast to the shape
        Default 0 and 1. The result has a gradient with respect to them.
    dtype: "float32" or "float64"
        Default `pyconv.config.floatx()`.
    seed: int, SeedGenerator or None
        See the head of this module.
    """
    from . import ops
    return ops.random_normal(_state(seed), tuple(shape), _float("normal", dtype)) * stddev + mean


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Numbers from `minval` to below `maxval`, all equally likely; arguments as for `normal`."""
    from . import ops
    return ops.random_uniform(_state(seed), tuple(shape), _float("uniform", dtype)) * (maxval - minval) + minval


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Integers from `minval` to below `maxval`, ints at most 2**48 apart; `dtype` is an integer type."""
    from . import ops
    if not all(isinstance(v, (int, np.integer)) for v in (minval, maxval)) or not 0 < maxval - minval <= 2**48:
        raise ValueError(f"randint: minval={minval!r} and maxval={maxval!r} must be ints with minval < maxval, at most "
                         "2**48 apart.")
    high, low = (ops.random_uniform(s, tuple(shape), "float64") for s in _states(seed, 2))
    part = high + low * 2.0 ** -24                       # 48 bits, below 1
    return ops.cast(ops.floor(part * float(maxval - minval)) + float(minval), dtype)


def _states(seed, count):
    """Several states for one draw."""
    if seed is None or isinstance(seed, SeedGenerator):
        return [_state(seed) for _ in range(count)]
    return [_state(seed) + np.array([0, n], "int64") for n in range(count)]


# The inverse of the error function where -log(1 - x*x) is below 5: a polynomial in that minus 2.5, with an error of
# 3e-7 (M. Giles, "Approximating the erfinv function", 2010). A normal number within two deviations needs no other.
_ERFINV = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
           -0.00417768164, 0.246640727, 1.50140941)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Numbers of a normal distribution of which those beyond two deviations are left out; arguments as for `normal`.

    They are found from uniform numbers by the inverse of the distribution, so that each takes one draw.
    """
    import math

    from . import ops
    dtype = _float("truncated_normal", dtype)
    most = math.erf(math.sqrt(2))                       # the part of the distribution within two deviations
    x = (ops.random_uniform(_state(seed), tuple(shape), dtype) * 2.0 - (1.0 - 2.0**-24)) * most
    w = -ops.log((1.0 - x) * (1.0 + x)) - 2.5
    p = w * _ERFINV[0] + _ERFINV[1]
    for coefficient in _ERFINV[2:]:
        p = p * w + coefficient
    return ops.clip(p * x * math.sqrt(2), -2.0, 2.0) * stddev + mean


def categorical(logits, num_samples, dtype="int32", seed=None):
    """Classes drawn by their logits.

    logits: (samples, classes), logarithms of what probabilities are proportional to. Result: (samples, num_samples).
    """
    from . import ops
    shape = tuple(logits.shape) if hasattr(logits, "shape") else np.shape(logits)
    if len(shape) != 2:
        raise ValueError(f"categorical: logits must be (samples, classes), got shape {shape}.")
    if isinstance(num_samples, bool) or not isinstance(num_samples, (int, np.integer)) or num_samples < 1:
        raise ValueError(f"categorical: num_samples={num_samples!r} must be an int of at least 1.")
    float_type = str(logits.dtype) if hasattr(logits, "dtype") and str(logits.dtype).startswith("float") else "float32"
    u = ops.random_uniform(_state(seed), (shape[0], int(num_samples), shape[1]), float_type) + 2.0**-25
    # the largest of logits plus Gumbel's noise has the wanted distribution
    return ops.cast(ops.argmax(ops.expand_dims(logits, 1) - ops.log(-ops.log(u)), -1), dtype)


def dropout(inputs, rate, noise_shape=None, seed=None):
    """`inputs` with elements set to 0 with probability `rate`, the others divided by ``1 - rate``.

    noise_shape: tuple, optional
        Has 1 or None (the size of the input) for each axis: along the former all elements fall together.
    """
    from . import ops
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 <= rate <= 1:
        raise ValueError(f"dropout: rate={rate!r} must be a number from 0 to 1.")
    shape = tuple(inputs.shape) if hasattr(inputs, "shape") else np.shape(inputs)
    if noise_shape is not None:
        if len(noise_shape) != len(shape) or any(n not in (None, 1, size)
                                                 for n, size in zip(noise_shape, shape, strict=True)):
            raise ValueError(f"dropout: noise_shape={noise_shape!r} must have 1, None or the size for each axis of "
                             f"inputs of shape {shape}.")
        shape = tuple(size if n is None else n for n, size in zip(noise_shape, shape, strict=True))
    if rate == 1:
        return inputs * 0.0
    kept = ops.greater_equal(ops.random_uniform(_state(seed), shape, "float32"), float(rate))
    return ops.where(kept, inputs, 0.0) * (1.0 / (1.0 - float(rate)))


def shuffle(x, axis=0, seed=None):
    """`x` with its parts along `axis` in a new order. Its size must be below 2**24."""
    from . import ops
    shape = tuple(x.shape) if hasattr(x, "shape") else np.shape(x)
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"shuffle: axis={axis} must be an axis of x, which has shape {shape}.")
    return ops.take(x, ops.argsort(ops.random_uniform(_state(seed), (shape[axis],), "float64")), axis)
