"""Layers that act differently in training, against overfitting."""

from __future__ import annotations

import math

from .. import ops, regularizers
from ..random import SeedGenerator
from ..utils.configurable import describe
from . import checks
from .input_spec import InputSpec, show
from .layer import Layer

__all__ = ["Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout",
           "GaussianDropout", "GaussianNoise", "ActivityRegularization"]


def noise_shape_argument(layer, value):
    if value is None:
        return None
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{layer._title()}: noise_shape must be a tuple of ints or None, got {describe(value)}.")
    return tuple(n if n is None else checks.integer(layer, "noise_shape", n) for n in value)


def spread(noise_shape, shape):
    """The shape of a random mask for an input of `shape`."""
    if noise_shape is None:
        return shape
    if len(noise_shape) != len(shape):
        raise ValueError(f"noise_shape={show(noise_shape)} needs {len(shape)} entries, as many as the input has axes.")
    found = tuple(n if m is None else m for m, n in zip(noise_shape, shape, strict=True))
    if any(m not in (1, n) for m, n in zip(found, shape, strict=True)):
        raise ValueError(f"noise_shape={show(noise_shape)} does not spread to the input: each entry must be None, 1, "
                         f"or the input's size.")
    return found


class Dropout(Layer):
    """In training, sets each element to 0 with probability `rate` and divides the others by ``1 - rate``.

    Otherwise the identity. Input and output have the same shape. The random numbers follow from a counter, so
    they are the same on every backend and for any number of threads, and differ in every step.
    Source: Srivastava et al., *Dropout: a simple way to prevent neural networks from overfitting*, 2014.

    Parameters
    ----------
    rate: float
        At least 0 and below 1 (1 itself sets everything to 0).
    noise_shape: tuple, optional
        The shape of the random mask, which spreads over the input: (None, 1, 1, None) drops whole channels.
        None entries are the input's sizes.
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.

    Raises
    ------
    ValueError, TypeError
        For other rates, shapes and seeds.
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = InputSpec()
        self.rate = checks.number(self, "rate", rate, 0)
        if rate > 1:
            raise ValueError(f"{self._title()}: rate must be from 0 to 1, got {rate!r}.")
        self.noise_shape = noise_shape_argument(self, noise_shape)
        self.seed = checks.seed_argument(self, seed)
        if self.rate > 0:
            self.seed_generator = SeedGenerator(self.seed)

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return inputs * 0
        kept = ops.random_uniform(self.seed_generator.next(), self._mask_shape(inputs.shape)) >= self.rate
        return ops.where(kept, inputs * (1 / (1 - self.rate)), 0.0)

    def _mask_shape(self, shape):
        return spread(self.noise_shape, shape)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


class _SpatialDropout(Dropout):
    """Dropout of whole channels; see the classes below."""

    rank = None

    def _prepare(self):
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _mask_shape(self, shape):
        last = getattr(self, "data_format", "channels_last") == "channels_last"
        return (shape[0], *[1] * self.rank, shape[-1]) if last else (*shape[:2], *[1] * self.rank)

    def get_config(self):
        config = super().get_config()
        config.pop("noise_shape", None)
        if config["trainable"]:          # Keras's do not take it
            config.pop("trainable")
        return config


class SpatialDropout1D(_SpatialDropout):
    rank = 1

    def __init__(self, rate, seed=None, name=None, dtype=None, **kwargs):
        super().__init__(rate, None, seed, name=name, dtype=dtype, **kwargs)
        self._prepare()


class _SpatialDropoutND(_SpatialDropout):
    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None, **kwargs):
        super().__init__(rate, None, seed, name=name, dtype=dtype, **kwargs)
        self.data_format = checks.data_format(self, data_format)
        self._prepare()


class SpatialDropout2D(_SpatialDropoutND):
    rank = 2


class SpatialDropout3D(_SpatialDropoutND):
    rank = 3


for _cls in (SpatialDropout1D, SpatialDropout2D, SpatialDropout3D):
    _cls.__doc__ = """In training, sets whole channels to 0 with probability `rate`, divides others by ``1 - rate``.

    Otherwise the identity. Input (batch, {sizes}, channels){first} and output have the same shape.
    Source: Tompson et al., *Efficient object localization using convolutional networks*, 2015.

    Parameters
    ----------
    rate: float
        From 0 to 1.
{format}    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For other rates and seeds, and inputs with a wrong number of axes.
    """.format(
        sizes=("steps", "height, width", "depth, height, width")[_cls.rank - 1],
        first="" if _cls.rank == 1 else ", or channels first,",
        format="" if _cls.rank == 1 else """    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
""")


class _Noise(Layer):
    """Base of the layers below: noise in training, the identity otherwise."""

    def _prepare_rate(self, rate, seed):
        self.input_spec = InputSpec()
        self.rate = checks.number(self, "rate", rate, 0, 1)
        self._prepare_seed(seed)

    def _prepare_seed(self, seed):
        self.input_spec = InputSpec()
        self.seed = checks.seed_argument(self, seed)
        self.seed_generator = SeedGenerator(self.seed)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


class AlphaDropout(_Noise):
    """Dropout that keeps mean and variance of what `selu` gives.

    In training, with probability `rate` elements become selu's limit for large negative numbers, and an affine map
    brings mean 0 and variance 1 back. Otherwise the identity. Input and output have the same shape.
    Source: Klambauer et al., *Self-normalizing neural networks*, 2017.

    Parameters
    ----------
    rate: float
        At least 0 and below 1.
    noise_shape: tuple, optional
        The shape of the random mask, as in `Dropout`.
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For other rates, shapes and seeds.
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self._prepare_rate(rate, seed)
        self.noise_shape = noise_shape_argument(self, noise_shape)

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        limit = -1.6732632423543772 * 1.0507009873554805
        kept = ops.random_uniform(self.seed_generator.next(), spread(self.noise_shape, inputs.shape)) >= self.rate
        a = ((1 - self.rate) * (1 + self.rate * limit**2)) ** -0.5
        return ops.where(kept, inputs, limit) * a - a * limit * self.rate


class GaussianDropout(_Noise):
    """In training, multiplies each element by a normal number with mean 1 and variance ``rate / (1 - rate)``.

    Otherwise the identity. Input and output have the same shape. Source: Srivastava et al., *Dropout*, 2014.

    Parameters
    ----------
    rate: float
        At least 0 and below 1.
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For other rates and seeds.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self._prepare_rate(rate, seed)

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        noise = ops.random_normal(self.seed_generator.next(), inputs.shape, inputs.dtype)
        return inputs * (noise * math.sqrt(self.rate / (1 - self.rate)) + 1.0)


class GaussianNoise(_Noise):
    """In training, adds a normal number with mean 0 and standard deviation `stddev` to each element.

    Otherwise the identity. Input and output have the same shape.

    Parameters
    ----------
    stddev: float
        At least 0.
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For other numbers and seeds.
    """

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.stddev = checks.number(self, "stddev", stddev, 0)
        self._prepare_seed(seed)

    def call(self, inputs, training=False):
        if not training or self.stddev == 0:
            return inputs
        return inputs + ops.random_normal(self.seed_generator.next(), inputs.shape, inputs.dtype) * self.stddev


class ActivityRegularization(Layer):
    """The identity, which adds ``l1 * sum(abs(x)) + l2 * sum(x * x)`` to the loss.

    l1, l2: floats of at least 0; default 0. Input and output have the same shape.
    """

    def __init__(self, l1=0.0, l2=0.0, **kwargs):
        l1, l2 = (0.0 if v is None else v for v in (l1, l2))
        super().__init__(**kwargs)
        if self.activity_regularizer is not None:
            raise ValueError(f"{self._title()}: give l1 and l2, not activity_regularizer.")
        self.l1, self.l2 = checks.number(self, "l1", l1, 0), checks.number(self, "l2", l2, 0)
        self.activity_regularizer = regularizers.L1L2(self.l1, self.l2)
        self.input_spec = InputSpec()

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return config
