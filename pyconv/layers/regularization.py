"""Layers that act differently in training, against overfitting."""

from __future__ import annotations

from .. import ops
from ..random import SeedGenerator
from ..utils.configurable import describe
from . import checks
from .input_spec import InputSpec, show
from .layer import Layer

__all__ = ["Dropout"]


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
        if noise_shape is not None:
            if not isinstance(noise_shape, (tuple, list)):
                raise TypeError(f"{self._title()}: noise_shape must be a tuple of ints or None, got "
                                f"{describe(noise_shape)}.")
            noise_shape = tuple(n if n is None else checks.integer(self, "noise_shape", n)
                                for n in noise_shape)
        self.noise_shape = noise_shape
        self.seed = checks.seed_argument(self, seed)
        if self.rate > 0:
            self.seed_generator = SeedGenerator(self.seed)

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return inputs * 0
        shape = inputs.shape
        if self.noise_shape is not None:
            if len(self.noise_shape) != len(shape):
                raise ValueError(f"noise_shape={show(self.noise_shape)} needs {len(shape)} entries, as many "
                                 f"as the input has axes.")
            shape = tuple(n if m is None else m for m, n in zip(self.noise_shape, shape, strict=True))
            if any(m not in (1, n) for m, n in zip(shape, inputs.shape, strict=True)):
                raise ValueError(f"noise_shape={show(self.noise_shape)} does not spread to the input: each "
                                 f"entry must be None, 1, or the input's size.")
        kept = ops.random_uniform(self.seed_generator.next(), shape) >= self.rate
        return ops.where(kept, inputs * (1 / (1 - self.rate)), 0.0)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)
