"""Activation functions as layers. All others than these are `Activation(name)`."""

from __future__ import annotations

import numpy as np

from .. import activations, constraints, initializers, ops, regularizers
from ..ops.nn import masked
from ..utils.configurable import describe
from . import checks
from .input_spec import InputSpec, show
from .layer import Layer

__all__ = ["Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"]


class _Elementwise(Layer):
    """Base of the layers below that take one tensor and keep its shape."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = InputSpec()

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


class Activation(_Elementwise):
    """An activation function as a layer. Input and output have the same shape.

    activation: a name ("relu", "tanh", ...) or a callable.
    """

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = self._get(activations, "activation", activation)

    def call(self, inputs):
        return self.activation(inputs)


class ReLU(_Elementwise):
    """The rectifier: `x` from `threshold` up to `max_value`, ``negative_slope * (x - threshold)`` below.

    Parameters
    ----------
    max_value: float, optional
        At least 0; default no limit.
    negative_slope, threshold: float
        At least 0; default 0.
    """

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else checks.number(self, "max_value", max_value, 0)
        self.negative_slope = checks.number(self, "negative_slope", negative_slope, 0)
        self.threshold = checks.number(self, "threshold", threshold, 0)

    def call(self, inputs):
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(_Elementwise):
    """``x`` where positive, ``negative_slope * x`` elsewhere; negative_slope: at least 0, default 0.3.

    Source: Maas et al., *Rectifier nonlinearities improve neural network acoustic models*, 2013.
    """

    def __init__(self, negative_slope=0.3, **kwargs):
        super().__init__(**kwargs)
        self.negative_slope = checks.number(self, "negative_slope", negative_slope, 0)

    def call(self, inputs):
        return activations.leaky_relu(inputs, self.negative_slope)


class ELU(_Elementwise):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere; alpha: default 1.

    Source: Clevert et al., *Fast and accurate deep network learning by exponential linear units*, 2016.
    """

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = checks.number(self, "alpha", alpha)

    def call(self, inputs):
        return activations.elu(inputs, self.alpha)


class PReLU(_Elementwise):
    """``x`` where positive, ``alpha * x`` elsewhere, with learned alphas.

    Input and output have the same shape. Weight: alpha, the shape of a sample, with 1 for `shared_axes`.
    Source: He et al., *Delving deep into rectifiers*, 2015.

    Parameters
    ----------
    alpha_initializer: str, callable or dict
        Default "zeros".
    alpha_regularizer, alpha_constraint: optional
    shared_axes: int or list of ints, optional
        Axes along which all elements have one alpha, counted from 1: (1, 2) gives one for each channel of images.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For axes that do not exist, and inputs whose other axes are open.
    """

    def __init__(self, alpha_initializer="Zeros", alpha_regularizer=None, alpha_constraint=None, shared_axes=None,
                 **kwargs):
        super().__init__(**kwargs)
        self.alpha_initializer = self._get(initializers, "alpha_initializer", alpha_initializer)
        self.alpha_regularizer = self._get(regularizers, "alpha_regularizer", alpha_regularizer)
        self.alpha_constraint = self._get(constraints, "alpha_constraint", alpha_constraint)
        axes = shared_axes if isinstance(shared_axes, (tuple, list)) or shared_axes is None else [shared_axes]
        if axes is not None and any(isinstance(a, bool) or not isinstance(a, (int, np.integer)) for a in axes):
            raise TypeError(f"{self._title()}: shared_axes must be ints, got {describe(shared_axes)}.")
        self.shared_axes = None if axes is None else [int(a) for a in axes]

    def build(self, input_shape):
        rank, shared = len(input_shape), self.shared_axes or ()
        if any(a == 0 or not -rank < a < rank for a in shared):
            raise ValueError(f"{self._title()}: shared_axes={self.shared_axes} must be axes of an input of shape "
                             f"{show(input_shape)}, and not the batch.")
        shared = {a % rank for a in shared}
        shape = [1 if i in shared else n for i, n in enumerate(input_shape)][1:]
        if None in shape:
            raise ValueError(f"{self._title()} has a weight for each element of a sample, so that sizes must be known: "
                             f"the input has shape {show(input_shape)}. Name open axes in shared_axes.")
        self.alpha = self.add_weight(tuple(shape), self.alpha_initializer, name="alpha",
                                     regularizer=self.alpha_regularizer, constraint=self.alpha_constraint)
        self.input_spec = InputSpec(ndim=rank, axes={i: n for i, n in enumerate(input_shape) if i and i not in shared})

    def call(self, inputs):
        return ops.where(inputs > 0, inputs, self.alpha * inputs)


class Softmax(_Elementwise):
    """``exp(x) / sum(exp(x))`` along `axis`: an int, or a tuple of ints for a common sum; default -1.

    With a second argument `mask` of bool, elements where it is False get 0.
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        axes = axis if isinstance(axis, (tuple, list)) else (axis,)
        if not axes or any(isinstance(a, bool) or not isinstance(a, int) for a in axes):
            raise TypeError(f"{self._title()}: axis must be an int or a tuple of ints, got {describe(axis)}.")
        self.axis = axis

    def call(self, inputs, mask=None):
        return ops.softmax(masked(inputs, mask), tuple(self.axis) if isinstance(self.axis, list) else self.axis)
