"""Dense layers, embeddings, functions as layers, identity, and the entrance of a model."""

from __future__ import annotations

import inspect
import math
import re

import numpy as np

from .. import activations, constraints, initializers, ops, regularizers
from ..config import floatx
from ..graph import FunctionalTensor, autocast, canonical
from ..utils.configurable import describe
from ..utils.registry import get_registered_name, get_registered_object
from . import checks
from .input_spec import InputSpec, is_shape, show
from .layer import Layer

__all__ = ["Dense", "EinsumDense", "Embedding", "Lambda", "Identity", "InputLayer", "Input"]

_EINSUM = re.compile(r"(?P<left_x>\.\.\.)?(?P<x>[a-zA-Z]+)(?P<right_x>\.\.\.)?,(?P<y>[a-zA-Z]+)->"
                     r"(?P<left_z>\.\.\.)?(?P<z>[a-zA-Z]+)(?P<right_z>\.\.\.)?")


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


class EinsumDense(Layer):
    """``activation(einsum(equation, inputs, kernel) + bias)``: a dense layer over any axes.

    ``EinsumDense("abc,cd->abd", (None, 64), bias_axes="d")`` is Dense(64) on (batch, steps, n). Input: as the first
    term of the equation says. Output: the last. Weights: kernel (second term), and with `bias_axes` a bias with the
    axes of the output from the first of these letters on, of length 1 where a letter is not among them.

    Parameters
    ----------
    equation: str
        ``"X,Y->Z"`` with a letter for each axis; "..." may stand in X and Z for leading or for trailing axes.
    output_shape: int or tuple
        The sizes of Z without the batch and without what "..." stands for; None where it is the input's.
    activation: str or callable
        Default none.
    bias_axes: str, optional
        Letters of Z; default no bias.
    kernel_initializer, bias_initializer: str, callable or dict
        Defaults "glorot_uniform" and "zeros". Inputs of a unit are the letters that the kernel shares with X, its
        outputs those that it shares with Z.
    kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint: optional
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For equations of another form, and shapes that do not fit.
    """

    def __init__(self, equation, output_shape, activation=None, bias_axes=None, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, **kwargs):
        super().__init__(**kwargs)
        found = _EINSUM.fullmatch(equation.replace(" ", "")) if isinstance(equation, str) else None
        terms = found and found.group("x", "y", "z")
        if terms is None or found.group("left_x", "right_x") != found.group("left_z", "right_z") \
                or found.group("left_x") and found.group("right_x") \
                or any(len(set(t)) != len(t) for t in terms) or not set(terms[2]) <= set(terms[0] + terms[1]):
            raise ValueError(f"{self._title()}: equation must be 'X,Y->Z', '...X,Y->...Z' or 'X...,Y->Z...', each term "
                             f"made of different letters, got {describe(equation)}.")
        self.equation = equation
        sizes = output_shape if isinstance(output_shape, (tuple, list)) else (output_shape,)
        if any(isinstance(n, bool) or not (n is None or isinstance(n, int) and n > 0) for n in sizes):
            raise TypeError(f"{self._title()}: output_shape must be made of ints of at least 1 and None, got "
                            f"{describe(output_shape)}.")
        self.output_shape = tuple(sizes)
        self.activation = self._get(activations, "activation", activation)
        self.bias_axes = bias_axes
        if bias_axes is not None and not (isinstance(bias_axes, str) and set() < set(bias_axes) <= set(terms[2])):
            raise ValueError(f"{self._title()}: bias_axes must be letters of the result {terms[2]!r}, got "
                             f"{describe(bias_axes)}.")
        self.kernel_initializer = self._get(initializers, "kernel_initializer", kernel_initializer)
        self.bias_initializer = self._get(initializers, "bias_initializer", bias_initializer)
        self.kernel_regularizer = self._get(regularizers, "kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = self._get(regularizers, "bias_regularizer", bias_regularizer)
        self.kernel_constraint = self._get(constraints, "kernel_constraint", kernel_constraint)
        self.bias_constraint = self._get(constraints, "bias_constraint", bias_constraint)

    def _analysed(self, input_shape):
        """(terms, size of each letter, shape of the output)."""
        found = _EINSUM.fullmatch(self.equation.replace(" ", ""))
        x, y, z = found.group("x", "y", "z")
        left, right = found.group("left_x"), found.group("right_x")
        dots = len(input_shape) - len(x)
        # With leading dots the batch is among them.
        given = self.output_shape if left else (None, *self.output_shape)
        if not is_shape(input_shape) or dots < 0 or dots and not (left or right) or left and dots < 1:
            raise ValueError(f"{self._title()}: an input of shape {show(input_shape)} does not fit the equation "
                             f"{self.equation!r}.")
        if len(given) != len(z):
            raise ValueError(f"{self._title()}: output_shape={show(self.output_shape)} must have {len(z) - (not left)} "
                             f"sizes for the equation {self.equation!r}.")
        elided = input_shape[:dots] if left else input_shape[len(x):]
        sizes = dict(zip(x, input_shape[dots:] if left else input_shape[:len(x)], strict=True))
        out = []
        for letter, n in zip(z, given, strict=True):
            known = sizes.get(letter)
            if n is not None and known is not None and n != known:
                raise ValueError(f"{self._title()}: output_shape={show(self.output_shape)} says {n} for {letter!r} of "
                                 f"{self.equation!r}, but the input of shape {show(input_shape)} has {known} there.")
            out.append(known if n is None else n)
            sizes.setdefault(letter, n)
        return (x, y, z), sizes, (*elided, *out) if left else (*out, *elided)

    def build(self, input_shape):
        (x, y, z), sizes, output_shape = self._analysed(input_shape)
        if not all(sizes.get(c) for c in y):
            raise ValueError(f"{self._title()}: the sizes of the kernel's axes {y!r} in {self.equation!r} must be "
                             f"known and at least 1, but the input has shape {show(input_shape)} and the output "
                             f"{show(output_shape)}.")
        inputs, outputs = [c for c in y if c in x and c not in z], [c for c in y if c in z and c not in x]
        order = [c for c in y if c not in inputs + outputs] + inputs + outputs

        def initial(shape, dtype=None):
            if not isinstance(self.kernel_initializer, initializers.VarianceScaling):
                return self.kernel_initializer(shape, dtype=dtype)
            flat = (*(sizes[c] for c in order if c not in inputs + outputs),
                    math.prod(sizes[c] for c in inputs), math.prod(sizes[c] for c in outputs))
            value = np.asarray(self.kernel_initializer(flat, dtype=dtype)).reshape([sizes[c] for c in order])
            return value.transpose([order.index(c) for c in y])
        self.kernel = self.add_weight(tuple(sizes[c] for c in y), initial, name="kernel",
                                      regularizer=self.kernel_regularizer, constraint=self.kernel_constraint)
        self.bias = None
        if self.bias_axes is not None:
            first = min(z.index(c) for c in self.bias_axes)
            shape = [sizes[c] if c in self.bias_axes else 1 for c in z[first:]]
            trailing = len(input_shape) - len(x) if "...," in self.equation.replace(" ", "") else 0
            self.bias = self.add_weight((*shape, *[1] * trailing), self.bias_initializer, name="bias",
                                        regularizer=self.bias_regularizer, constraint=self.bias_constraint)
        self.input_spec = InputSpec(ndim=len(input_shape))

    def call(self, inputs):
        y = ops.einsum(self.equation, inputs, self.kernel)
        return self.activation(y if self.bias is None else y + self.bias)

    def compute_output_shape(self, input_shape):
        return tuple(self._analysed(tuple(input_shape))[2])


class Embedding(Layer):
    """A vector for each integer: rows of a matrix picked by number.

    Input: (batch, ...) of integers from 0 to input_dim - 1; others raise ValueError. Floats are cut to integers.
    Output: (batch, ..., output_dim). Weight: embeddings (input_dim, output_dim).

    Parameters
    ----------
    input_dim: int
        How many numbers there are, the largest one plus 1.
    output_dim: int
        The length of the vectors.
    embeddings_initializer: str, callable or dict
        Default "uniform".
    embeddings_regularizer, embeddings_constraint: optional
    mask_zero: bool
        Only False: no masks travel with tensors here. Make one where it is needed, ``ops.not_equal(tokens, 0)``.
    weights: array or list of one, optional
        The first values.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit.
    """

    _not_configured = ("autocast", "weights")

    def __init__(self, input_dim, output_dim, embeddings_initializer="uniform", embeddings_regularizer=None,
                 embeddings_constraint=None, mask_zero=False, weights=None, **kwargs):
        super().__init__(**kwargs)
        self.input_dim = checks.integer(self, "input_dim", input_dim)
        self.output_dim = checks.integer(self, "output_dim", output_dim)
        self.embeddings_initializer = self._get(initializers, "embeddings_initializer", embeddings_initializer)
        self.embeddings_regularizer = self._get(regularizers, "embeddings_regularizer", embeddings_regularizer)
        self.embeddings_constraint = self._get(constraints, "embeddings_constraint", embeddings_constraint)
        self.mask_zero = checks.boolean(self, "mask_zero", mask_zero)
        self.input_spec = InputSpec()
        if mask_zero:
            raise ValueError(f"{self._title()}: mask_zero=True is not supported: no masks travel with tensors here. "
                             f"Leave it out, and give a mask where it is needed: pyconv.ops.not_equal(tokens, 0).")
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, (list, tuple)) and len(weights) == 1 else [weights])

    def build(self, input_shape=None):
        self.embeddings = self.add_weight((self.input_dim, self.output_dim), self.embeddings_initializer,
                                          name="embeddings", regularizer=self.embeddings_regularizer,
                                          constraint=self.embeddings_constraint)

    def call(self, inputs):
        with autocast(None):        # only what is taken is cast, not the whole table
            rows = ops.take(self.embeddings, inputs if inputs.dtype == "int64" else ops.cast(inputs, "int32"), 0)
        return ops.cast(rows, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)


class Lambda(Layer):
    """A function as a layer, written with `pyconv.ops`.

    Files hold no code: a model with such a layer is saved only if the function is registered, and then its name is
    what is saved::

        @pyconv.saving.register_serializable("my_lab")
        def double(x):
            return 2 * x

        model.add(layers.Lambda(double))

    Parameters
    ----------
    function: callable
        Takes the inputs, the `arguments`, and if it has an argument `training` that too.
    output_shape: tuple or callable, optional
        Without the batch, or a function of the input's shape; found by tracing the function if it is not given.
    mask: None
        Masks are not supported.
    arguments: dict, optional
        More arguments for the function.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit; when it is saved, for functions that are not registered.
    """

    def __init__(self, function, output_shape=None, mask=None, arguments=None, **kwargs):
        super().__init__(**kwargs)
        function, output_shape = self._named("function", function), self._named("output_shape", output_shape)
        if not callable(function):
            raise TypeError(f"{self._title()}: function must be callable, got {describe(function)}.")
        if mask is not None:
            raise ValueError(f"{self._title()}: masks are not supported; mask must be None.")
        if arguments is not None and not isinstance(arguments, dict):
            raise TypeError(f"{self._title()}: arguments must be a dictionary, got {describe(arguments)}.")
        self.function, self.mask, self.arguments = function, None, dict(arguments or {})
        self.output_shape = output_shape
        try:
            self._trains = "training" in inspect.signature(function).parameters
        except (TypeError, ValueError):
            self._trains = False

    def _named(self, argument, value):
        """The function of a name, as configurations have it; other values as they are."""
        found = _function(value) if isinstance(value, str) else value
        if found is None and value is not None:
            raise ValueError(f"{self._title()}: {argument}: the function {value!r} is not known here; import the "
                             f"module that registers it with @pyconv.saving.register_serializable(), or "
                             "give custom_objects.")
        return found

    def call(self, inputs, training=False):
        return self.function(inputs, **self.arguments, **({"training": training} if self._trains else {}))

    def compute_output_shape(self, input_shape):
        if self.output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self.output_shape):
            return tuple(self.output_shape(input_shape))
        first = input_shape if is_shape(input_shape) else input_shape[0]
        return (first[0], *self.output_shape)

    def get_config(self):
        config = super().get_config()
        for argument in ("function", "output_shape"):
            value = getattr(self, argument)
            if callable(value):
                name = get_registered_name(value) if hasattr(value, "__name__") else None
                # A function that no name leads to stands for itself in this process; `saving` refuses it.
                config[argument] = name if name and _function(name) is value else value
        return config


def _function(name):
    """A registered function, or one of `pyconv.ops` or `pyconv.activations`; None if there is none of the name."""
    return get_registered_object(name) or next((getattr(module, name) for module in (ops, activations)
                                                if name in module.__all__), None)


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
        super().__init__(name=name, dtype="float32", **kwargs)
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
        self.dtype = self.compute_dtype = self._dtype
        self.autocast = False           # a model casts what it is given to this type
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
