"""How the first values of weights are drawn.

An initializer is called with a shape and an element type and returns a NumPy array. With a `seed` it gives
the same values at every call; without one it draws from the process's generator, which
`pyconv.utils.set_random_seed` starts. Formulas, defaults and names are Keras's.
"""

from __future__ import annotations

import math

import numpy as np

from .config import floatx
from .graph import canonical, is_float
from .random import SeedGenerator, host_generator
from .utils.configurable import Configurable, describe, lookup, parameters, plain
from .utils.configurable import serialize as _serialize
from .utils.foreign import to_hosts
from .utils.registry import CustomObjectScope

__all__ = ["Initializer", "Zeros", "Ones", "Constant", "RandomNormal", "RandomUniform", "TruncatedNormal",
           "VarianceScaling", "GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform",
           "LecunNormal", "Orthogonal", "Identity", "IdentityInitializer", "OrthogonalInitializer",
           "compute_fans", "get", "serialize", "deserialize"]


class Initializer(Configurable):
    """Base of all initializers. A subclass defines ``__call__(self, shape, dtype=None)``."""

    def __call__(self, shape, dtype=None) -> np.ndarray:
        """An array of the given shape; dtype: default `pyconv.config.floatx()`."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, shape, dtype=None).")

    def clone(self):
        """Another initializer with the same configuration."""
        return type(self).from_config(self.get_config())


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape, dtype=None):
        return np.zeros(shape, canonical(dtype or floatx()))


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape, dtype=None):
        return np.ones(shape, canonical(dtype or floatx()))


class Constant(Initializer):
    """One value everywhere, or a given array that spreads to the shape.

    Parameters
    ----------
    value: number or array_like
        Default 0.
    """

    def __init__(self, value=0.0):
        value = to_hosts(value)
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError("Constant: value must be a number or an array of numbers, got "
                            f"{describe(value)}.")
        self.value = value

    def __call__(self, shape, dtype=None):
        out = np.empty(shape, canonical(dtype or floatx()))
        try:
            out[...] = self.value
        except ValueError:
            raise ValueError(f"Constant: a value of shape {np.shape(self.value)} does not spread to the "
                             f"weight's shape {tuple(shape)}.") from None
        return out


class Identity(Initializer):
    """The identity matrix times `gain`; only for weights with two axes."""

    def __init__(self, gain=1.0):
        self.gain = self._number("gain", gain)

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ValueError("Identity: only a weight with 2 axes can be an identity matrix, got shape "
                             f"{tuple(shape)}.")
        return (self.gain * np.eye(*shape)).astype(canonical(dtype or floatx()))


class _Random(Initializer):
    def _seeded(self, seed):
        if isinstance(seed, dict):
            seed = SeedGenerator(seed.get("config", {}).get("seed"))
        if isinstance(seed, bool) or not isinstance(seed, (type(None), int, np.integer, SeedGenerator)):
            raise TypeError(f"{type(self).__name__}: seed must be an int, a SeedGenerator or None, got "
                            f"{describe(seed)}.")
        if isinstance(seed, (int, np.integer)) and seed < 0:
            raise ValueError(f"{type(self).__name__}: seed must be 0 or more, got {seed}.")
        return seed

    def _generator(self) -> np.random.Generator:
        if self.seed is None:
            return host_generator()
        if isinstance(self.seed, SeedGenerator):
            key, counter = self.seed.state.numpy()
            self.seed.state.array[1] += 1
            return np.random.Generator(np.random.Philox(np.random.SeedSequence([int(key), int(counter)])))
        return np.random.Generator(np.random.Philox(int(self.seed)))

    def _dtype(self, dtype):
        dtype = canonical(dtype or floatx())
        if not is_float(dtype):
            raise TypeError(f"{type(self).__name__} draws float32 or float64, got dtype={dtype!r}.")
        return dtype

    def get_config(self):
        config = {name: getattr(self, name) for name in parameters(type(self))}
        # A generator that moves on is no fixed configuration; the copy draws from the process's.
        return {k: None if isinstance(v, SeedGenerator) else plain(v) for k, v in config.items()}


class RandomNormal(_Random):
    """Normal with the given mean and standard deviation (defaults 0 and 0.05)."""

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        self.mean, self.stddev = self._number("mean", mean), self._number("stddev", stddev, 0)
        self.seed = self._seeded(seed)

    def __call__(self, shape, dtype=None):
        dtype = self._dtype(dtype)
        return self._generator().normal(self.mean, self.stddev, shape).astype(dtype)


class RandomUniform(_Random):
    """Uniform from `minval` to `maxval` (defaults -0.05 and 0.05)."""

    def __init__(self, minval=-0.05, maxval=0.05, seed=None):
        self.minval, self.maxval = self._number("minval", minval), self._number("maxval", maxval)
        if maxval < minval:
            raise ValueError(f"RandomUniform: maxval={maxval} must not be below minval={minval}.")
        self.seed = self._seeded(seed)

    def __call__(self, shape, dtype=None):
        dtype = self._dtype(dtype)
        return self._generator().uniform(self.minval, self.maxval, shape).astype(dtype)


def _truncated_normal(generator, shape) -> np.ndarray:
    """Standard normal numbers; those beyond two standard deviations are drawn again."""
    out = generator.standard_normal(shape)
    while (outside := np.abs(out) > 2).any():
        out[outside] = generator.standard_normal(int(outside.sum()))
    return out


class TruncatedNormal(_Random):
    """Normal, with numbers beyond two standard deviations from the mean drawn again.

    `mean` and `stddev` (defaults 0 and 0.05) are those before the truncation.
    """

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        self.mean, self.stddev = self._number("mean", mean), self._number("stddev", stddev, 0)
        self.seed = self._seeded(seed)

    def __call__(self, shape, dtype=None):
        dtype = self._dtype(dtype)
        draws = np.asarray(_truncated_normal(self._generator(), shape))
        return (self.mean + self.stddev * draws).astype(dtype)


def compute_fans(shape) -> tuple:
    """(fan_in, fan_out) of a weight: how many inputs an output has, and how many outputs an input has.

    A kernel (*sizes, channels, filters) has fans ``prod(sizes) * channels`` and ``prod(sizes) * filters``; a
    bias counts its length twice.
    """
    shape = tuple(shape)
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


# The standard deviation of a standard normal number that lies within two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


class VarianceScaling(_Random):
    """Random numbers whose variance is `scale` divided by the weight's fan.

    Parameters
    ----------
    scale: float
        Above 0; default 1.
    mode: str
        "fan_in" (default), "fan_out" or "fan_avg": what divides.
    distribution: str
        "truncated_normal" (default; "normal" means the same), "untruncated_normal" or "uniform".
    seed: int or SeedGenerator, optional
    """

    def __init__(self, scale=1.0, mode="fan_in", distribution="truncated_normal", seed=None):
        self.scale = self._number("scale", scale)
        if scale <= 0:
            raise ValueError(f"{type(self).__name__}: scale must be above 0, got {scale!r}.")
        modes = ("fan_in", "fan_out", "fan_avg")
        if mode not in modes:
            raise ValueError(f"{type(self).__name__}: mode={mode!r} is not known; expected one of "
                             f"{', '.join(modes)}.")
        kinds = ("normal", "uniform", "truncated_normal", "untruncated_normal")
        if distribution not in kinds:
            raise ValueError(f"{type(self).__name__}: distribution={distribution!r} is not known; expected "
                             f"one of {', '.join(kinds)}.")
        self.mode = mode
        self.distribution = "truncated_normal" if distribution == "normal" else distribution
        self.seed = self._seeded(seed)

    def __call__(self, shape, dtype=None):
        dtype = self._dtype(dtype)
        fan_in, fan_out = compute_fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance, generator = self.scale / max(1.0, fan), self._generator()
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return generator.uniform(-limit, limit, shape).astype(dtype)
        if self.distribution == "untruncated_normal":
            return generator.normal(0, math.sqrt(variance), shape).astype(dtype)
        draws = np.asarray(_truncated_normal(generator, shape))
        return (draws * (math.sqrt(variance) / _TRUNCATED_STDDEV)).astype(dtype)


class GlorotUniform(VarianceScaling):
    """Uniform within ``sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio, *Understanding the difficulty of
    training deep feedforward neural networks*, 2010)."""

    def __init__(self, seed=None):
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal of variance ``2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010)."""

    def __init__(self, seed=None):
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform within ``sqrt(6 / fan_in)`` (He et al., *Delving deep into rectifiers*, 2015)."""

    def __init__(self, seed=None):
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal of variance ``2 / fan_in`` (He et al., 2015)."""

    def __init__(self, seed=None):
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform within ``sqrt(3 / fan_in)`` (LeCun et al., *Efficient backprop*, 1998)."""

    def __init__(self, seed=None):
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal of variance ``1 / fan_in`` (LeCun et al., 1998)."""

    def __init__(self, seed=None):
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class Orthogonal(_Random):
    """Orthonormal columns, or rows if there are fewer, times `gain` (Saxe et al., *Exact solutions to the
    nonlinear dynamics of learning in deep linear neural networks*, 2014).

    A weight with more than two axes is seen as a matrix ``(prod(shape[:-1]), shape[-1])``.
    """

    def __init__(self, gain=1.0, seed=None):
        self.gain, self.seed = self._number("gain", gain), self._seeded(seed)

    def __call__(self, shape, dtype=None):
        dtype = self._dtype(dtype)
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: the weight needs at least 2 axes, got shape {tuple(shape)}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(self._generator().standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)      # makes the draw uniform over orthogonal matrices
        return (self.gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


# Keras's longer names
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal

_ALIASES = {"zero": Zeros, "one": Ones, "normal": RandomNormal, "uniform": RandomUniform,
            "orthogonal_initializer": Orthogonal, "identity_initializer": Identity}


def _table():
    return {**_ALIASES, **{k: v for k, v in Initializer.family.items() if not k.startswith("_")}}


def get(identifier):
    """An initializer from a name ("he_normal", "HeNormal"), configuration, class, callable or array."""
    if isinstance(identifier, np.ndarray):
        return Constant(identifier)
    return lookup("initializer", identifier, _table())


def serialize(initializer):
    """An initializer as a dictionary of its class name and configuration; a function as its name."""
    return _serialize(initializer)


def deserialize(config, custom_objects=None):
    """The initializer that `serialize` described. custom_objects: dict, name -> class or function of one's own."""
    with CustomObjectScope(custom_objects):
        return get(config)


def __getattr__(name):      # Keras's second spelling of each class: pyconv.initializers.he_normal
    if name in (table := _table()):
        return table[name]
    raise AttributeError(f"module 'pyconv.initializers' has no attribute {name!r}")
