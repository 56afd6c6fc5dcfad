"""Dense, activations, identity, and the entrance of a model."""

from __future__ import annotations

from .. import activations, constraints, initializers, ops, regularizers
from ..config import floatx
from ..graph import FunctionalTensor, canonical
from ..utils.configurable import describe
from . import checks
from .input_spec import InputSpec, is_shape, show
from .layer import Layer

__all__ = ["Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Identity", "InputLayer", "Input"]


class Dense(Layer):
    """``activation(inputs @ kernel + bias)`` over the last axis.

    Input: (batch, ..., n). Output: (batch, ..., units). Weights: kernel (n, units), bias (units,).

    Parameters
    ----------
    units: int
        Size of the output's last axis.
    activation: str or callable
        Default none.
    use_bias: bool
        Default True.
    kernel_initializer, bias_initializer: str, callable or dict
        Defaults "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer, activity_regularizer: optional
    kernel_constraint, bias_constraint: optional
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and for inputs with fewer than 2 axes or an open or empty last axis.
    """

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None,
                 activity_regularizer=None, kernel_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = checks.integer(self, "units", units)
        self.activation = self._get(activations, "activation", activation)
        self.use_bias = checks.boolean(self, "use_bias", use_bias)
        self.kernel_initializer = self._get(initializers, "kernel_initializer", kernel_initializer)
        self.bias_initializer = self._get(initializers, "bias_initializer", bias_initializer)
        self.kernel_regularizer = self._get(regularizers, "kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = self._get(regularizers, "bias_regularizer", bias_regularizer)
        self.kernel_constraint = self._get(constraints, "kernel_constraint", kernel_constraint)
        self.bias_constraint = self._get(constraints, "bias_constraint", bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape):
        size = input_shape[-1] if is_shape(input_shape) and len(input_shape) > 1 else None
        if not size:
            raise ValueError(f"{self._title()} needs an input (batch, ..., n) whose last axis has a known "
                             f"size of at least 1, got shape {show(input_shape)}.")
        self.kernel = self.add_weight((size, self.units), self.kernel_initializer, name="kernel",
                                      regularizer=self.kernel_regularizer, constraint=self.kernel_constraint)
        self.bias = self.add_weight((self.units,), self.bias_initializer, name="bias",
                                    regularizer=self.bias_regularizer,
                                    constraint=self.bias_constraint) if self.use_bias else None
        self.input_spec = InputSpec(min_ndim=2, axes={-1: size})

    def call(self, inputs):
        return self.activation(ops.dense(inputs, self.kernel, self.bias))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)


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


class Softmax(_Elementwise):
    """``exp(x) / sum(exp(x))`` along `axis`: an int, or a tuple of ints for a common sum; default -1."""

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        axes = axis if isinstance(axis, (tuple, list)) else (axis,)
        if not axes or any(isinstance(a, bool) or not isinstance(a, int) for a in axes):
            raise TypeError(f"{self._title()}: axis must be an int or a tuple of ints, got {describe(axis)}.")
        self.axis = axis

    def call(self, inputs):
        return ops.softmax(inputs, tuple(self.axis) if isinstance(self.axis, list) else self.axis)


class Identity(Layer):
    """The inputs as they are; any nest of tensors."""

    def call(self, inputs):
        return inputs


class InputLayer(Layer):
    """The entrance of a model: it states the shape and the type of what comes in. Use `Input` for the
    functional API.

    Parameters
    ----------
    shape: tuple
        Of one sample, without the batch; None where a size is open.
    batch_size: int, optional
        Default: any.
    dtype: str, optional
        Default `pyconv.config.floatx()`. What a model is given is cast to it.
    batch_shape: tuple, optional
        Instead of `shape` and `batch_size`.
    name: str, optional
    """

    def __init__(self, shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None,
                 input_tensor=None, optional=False, name=None, **kwargs):
        self.name = None
        if any(v is not None and v is not False for v in (sparse, ragged, optional)):
            raise ValueError(f"{self._title()}: sparse, ragged and optional inputs are not supported.")
        super().__init__(name=name, **kwargs)
        if input_tensor is not None:
            if not isinstance(input_tensor, FunctionalTensor):
                raise TypeError(f"{self._title()}: input_tensor must come from Input, got "
                                f"{describe(input_tensor)}.")
            batch_shape, dtype = input_tensor.shape, input_tensor.dtype
        if (shape is None) == (batch_shape is None):
            raise ValueError(f"{self._title()}: give shape, the shape of one sample such as (28, 28, 1)"
                             f"{', or batch_shape, and not both' if shape is not None else ''}.")
        if batch_shape is None:
            if isinstance(shape, int) and not isinstance(shape, bool):
                raise ValueError(f"{self._title()}: shape must be a tuple, got {shape}; write ({shape},).")
            if batch_size is not None:
                checks.integer(self, "batch_size", batch_size)
            self._check(shape, "shape")
            batch_shape = (batch_size, *shape)
        elif batch_size is not None:
            raise ValueError(f"{self._title()}: batch_size is part of batch_shape={batch_shape}; leave one "
                             "out.")
        self._check(batch_shape, "batch_shape")
        self.batch_shape = tuple(None if n is None else int(n) for n in batch_shape)
        try:
            self._dtype = canonical(dtype or floatx())
        except TypeError as error:
            raise TypeError(f"{self._title()}: dtype: {error}") from None
        self.dtype = self._dtype
        if input_tensor is None:
            input_tensor = FunctionalTensor(self.batch_shape, self._dtype, self.name)
        self.output_tensor = input_tensor
        self.built = True

    def _check(self, shape, argument):
        if not is_shape(shape) or any(isinstance(n, bool) or (n is not None and n < 0) for n in shape):
            raise ValueError(f"{self._title()}: {argument} must be a tuple of ints of 0 or more, or None "
                             f"where a size is open, got {describe(shape)}.")

    def call(self, inputs):
        return inputs

    @property
    def input(self):
        return self.output_tensor

    @property
    def output(self):
        return self.output_tensor

    def get_config(self):
        return {"batch_shape": self.batch_shape, "dtype": self.dtype, "name": self.name}


def Input(shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None,
          tensor=None, optional=False):
    """A tensor that stands for what a model is given; layers are called on it (the functional API).

    Parameters
    ----------
    shape: tuple
        Of one sample, without the batch, such as (28, 28, 1); None where a size is open.
    batch_size: int, optional
        Default: any.
    dtype: str, optional
        Default `pyconv.config.floatx()`. Arrays given to the model are cast to it within its program.
    batch_shape: tuple, optional
        Instead of `shape` and `batch_size`.
    name: str, optional
        By which a dictionary of inputs refers to it.

    Raises
    ------
    ValueError, TypeError
        For shapes that are no tuples of ints and None, and unknown types.
    """
    return InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name).output
