"""Cases for layers: how a layer is made, and what it is called on."""

from __future__ import annotations

import copy
import inspect
from typing import NamedTuple

import numpy as np

from .. import config
from ..graph import Graph, flatten, is_float, pack, simplify, trace
from ..layers.input_spec import is_shape, show
from ..layers.layer import Layer
from ..random import set_random_seed
from ..utils.configurable import describe
from .gradients import with_gradients
from .optional import strategies as st

__all__ = ["LayerCase", "LayerConfig", "cases", "map_shapes"]


class LayerConfig(NamedTuple):
    """A layer's class, the arguments of its constructor, and what it is called on; see `check_layer`."""

    layer: object
    arguments: dict
    input_shape: object
    input_dtype: object = None
    values: object = None


def map_shapes(function, shape):
    """`function` of each shape in a nest of shapes."""
    if is_shape(shape):
        return function(tuple(shape))
    if isinstance(shape, dict):
        return {k: map_shapes(function, v) for k, v in shape.items()}
    if isinstance(shape, (list, tuple)):
        return type(shape)(map_shapes(function, s) for s in shape)
    raise TypeError(f"check_layer: input_shape must be a tuple of ints and None (without the batch), or a list, tuple "
                    f"or dictionary of such, got {describe(shape)}.")


class LayerCase:
    """One way to make a layer and to call it.

    Parameters
    ----------
    made: LayerConfig
        Its `layer` is a class or a function that makes one; sizes of its shapes may be open.
    sizes: list of ints
        The size of each axis that is open, by its number.
    batch, seed: int
    reference, backends:
        See `check_layer`.
    """

    def __init__(self, made: LayerConfig, sizes, batch, seed, reference=None, backends=()):
        self.made, self.batch, self.seed, self.reference, self.backends = made, batch, seed, reference, backends
        self.shapes = map_shapes(lambda s: tuple(sizes[i] if n is None else n for i, n in enumerate(s)),
                                 made.input_shape)
        self.arguments = made.arguments
        leaves = []
        map_shapes(leaves.append, made.input_shape)
        self.dtypes = _each(made.input_dtype, leaves, "input_dtype")
        self.values = _each(made.values, leaves, "values")

    @property
    def cls(self):
        """The layer's class; None if a function makes it."""
        return self.made.layer if isinstance(self.made.layer, type) else None

    @property
    def title(self) -> str:
        return getattr(self.made.layer, "__name__", "layer")

    def __str__(self):
        given = ", ".join(f"{k}={describe(v)}" for k, v in self.arguments.items())
        shapes = map_shapes(lambda s: (self.batch, *s), self.shapes)
        return f"{self.title}({given}) on inputs of shape {show(shapes)}, numbers from seed {self.seed}"

    __repr__ = __str__

    # ---- making

    def make(self, dtype="float64", process_seed=None, **changes) -> Layer:
        """A new layer, not built, whose random numbers follow from the case's seed, or from `process_seed`."""
        config.set_floatx(dtype)
        set_random_seed(self.seed if process_seed is None else process_seed)
        given = {**fresh(self.arguments, dtype), **changes}
        if "dtype" in given:
            given["dtype"] = dtype
        layer = self.made.layer(**given)
        if not isinstance(layer, Layer):
            raise TypeError(f"check_layer: {self.title} makes a {type(layer).__name__}, not a layer.")
        return layer

    def built(self, dtype="float64", **changes):
        """A layer with weights that are not what they start with, and arguments to call it on.

        Trainable weights are moved a little, so that zeros and ones do not hide where they are used; the others are
        what a call in training makes of them.
        """
        layer, args = self.make(dtype, **changes), self.inputs(dtype)
        self.call(layer, args)
        rng = np.random.default_rng([self.seed, 1000])
        for variable in layer.trainable_variables:
            if is_float(variable.dtype):
                variable.assign(variable.numpy() + rng.uniform(-0.25, 0.25, variable.shape).astype(variable.dtype))
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable.numpy()))
        if layer.non_trainable_weights:
            self.call(layer, self.inputs(dtype, stream=1), training=True)
        return layer, args

    # ---- inputs and calls

    def inputs(self, dtype="float64", batch=None, stream=0, fill=None) -> tuple:
        """The arguments of a call. `stream` tells apart several of one case; `fill`: the same number everywhere."""
        rng = np.random.default_rng([self.seed, stream])
        batch = self.batch if batch is None else batch
        place = iter(zip(self.dtypes, self.values, strict=True))

        def draw(shape):
            kind, values = next(place)
            return _array(rng, (batch, *shape), dtype if kind is None or is_float(kind) else kind, values, fill)
        args = map_shapes(draw, self.shapes)
        return args if isinstance(args, tuple) else (args,)

    @staticmethod
    def call(layer, args, training=False) -> list:
        """The outputs as a flat list of arrays."""
        config.set_floatx(layer.dtype)
        return [np.asarray(y) for y in flatten(layer(*args, training=training))]

    @staticmethod
    def traced(layer, args, training=False):
        """``graph, result`` of the layer's call on arrays like `args`."""
        config.set_floatx(layer.dtype)
        return trace(lambda *tensors: layer(*pack(args, tensors)), [(a.shape, a.dtype.name) for a in flatten(args)],
                     training)

    @staticmethod
    def gradients(layer, args, training, backend):
        """The sum of the float outputs' products with fixed numbers, and its gradients for the float inputs and the
        trainable weights; None if there is nothing to differentiate."""
        leaves, variables = flatten(args), [v for v in layer.trainable_variables if is_float(v.dtype)]

        def run(*tensors):
            outputs = layer(*pack(args, tensors))
            return with_gradients(lambda *_: outputs, tensors, variables, np.random.default_rng(0))
        config.set_floatx(layer.dtype)
        graph, _ = trace(run, [(a.shape, a.dtype.name) for a in leaves], training)
        found = backend.compile(simplify(Graph(graph.inputs, graph.outputs)))(leaves)
        return found if len(found) > 1 else None


def _array(rng, shape, dtype, values, fill):
    if callable(values):
        return np.asarray(values(rng, shape, dtype)).astype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    low, high = values or ((-2.0, 2.0) if is_float(dtype) else (0, 3))
    if fill is not None and is_float(dtype):
        return np.full(shape, min(max(fill, low), high), dtype)
    if is_float(dtype):
        return rng.uniform(low, high, shape).astype(dtype)
    return rng.integers(low, high + 1, shape).astype(dtype)


def _each(option, leaves, name) -> list:
    """An option of `check_layer` for each of the inputs."""
    if isinstance(option, dict):
        option = list(option.values())
    if not isinstance(option, list):
        return [option] * len(leaves)
    if len(option) != len(leaves):
        raise ValueError(f"check_layer: {name} has {len(option)} entries for {len(leaves)} inputs.")
    return option


def fresh(value, dtype=None):
    """A copy of arguments in which each layer is a new one, made as it was made."""
    if isinstance(value, Layer):
        args, kwargs = value._init_args
        kwargs = fresh(kwargs, dtype)
        if dtype is not None and "dtype" in kwargs:
            kwargs["dtype"] = dtype
        return type(value)(*fresh(args, dtype), **kwargs)
    if isinstance(value, dict):
        return {k: fresh(v, dtype) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(fresh(v, dtype) for v in value)
    return value.copy() if isinstance(value, np.ndarray) else value


def as_config(layer, arguments, input_shape, input_dtype, values) -> LayerConfig:
    """What `check_layer` is given, with an instance taken apart into its class and its arguments."""
    if isinstance(layer, Layer):
        from ..models import Model, Sequential
        if isinstance(layer, Model) and not isinstance(layer, Sequential):
            raise TypeError(f"check_layer: {describe(layer)} cannot be made anew from its arguments, since it is made "
                            f"of tensors: give a function that makes such a model.")
        if arguments is not None:
            raise TypeError("check_layer: arguments are for a class; a layer has its own.")
        args, kwargs = layer._init_args
        bound = inspect.signature(type(layer).__init__).bind(layer, *args, **kwargs).arguments
        bound.pop("self", None)
        arguments = {}
        for name, parameter in inspect.signature(type(layer).__init__).parameters.items():
            if name in bound and parameter.kind == parameter.VAR_KEYWORD:
                arguments.update(bound[name])
            elif name in bound and parameter.kind != parameter.VAR_POSITIONAL:
                arguments[name] = bound[name]
        layer = type(layer)
    if not callable(layer):
        raise TypeError(f"check_layer takes a class of layers, a layer, a function that makes one, or a strategy of "
                        f"layer_configs, got {describe(layer)}.")
    return LayerConfig(layer, arguments or {}, input_shape, input_dtype, values)


@st.composite
def cases(draw, made, sizes=(1, 7), most_batch=5, **options):
    """A strategy of `LayerCase`.

    made: LayerConfig, or a strategy of such. Its fields may be strategies too; those but the first may be functions of
    the arguments that were drawn. sizes: the range of open sizes. options: reference and backends of the `LayerCase`.
    """
    made = draw(made) if isinstance(made, st.SearchStrategy) else made

    def settled(value):
        return draw(value) if isinstance(value, st.SearchStrategy) else value
    arguments = {k: settled(v) for k, v in settled(made.arguments).items()}
    shape = made.input_shape
    if inspect.isfunction(shape):
        shape = shape(arguments)
    shape = settled(shape)
    made = made._replace(arguments=copy.copy(arguments), input_shape=shape)
    opened = set()
    map_shapes(lambda s: opened.update(i for i, n in enumerate(s) if n is None), shape)
    drawn = {i: draw(st.integers(*sizes)) for i in sorted(opened)}
    return LayerCase(made, drawn, draw(st.integers(1, most_batch)), draw(st.integers(0, 9999)), **options)
