"""What a layer owns: its weights, its sub-layers, and theirs. The part of `Layer` that concerns variables."""

from __future__ import annotations

import contextlib
import math
import threading

import numpy as np

from .. import constraints, initializers, regularizers
from ..graph import Variable, canonical, current_trace, is_float
from ..random import SeedGenerator
from ..utils.configurable import describe
from ..utils.foreign import to_hosts
from .input_spec import is_shape, show

__all__ = ["Owner", "blank_weights", "structure_version"]

PLAIN = {str, int, float, bool, type(None)}       # attributes of these types own nothing
_version = 0
_blank = threading.local()       # .left: how many bytes of weights may still be made, within `blank_weights`


@contextlib.contextmanager
def blank_weights(nbytes):
    """Within it, in this thread, `add_weight` makes zeros and draws nothing: a file's values take their place.

    nbytes: what the weights may take together at most; a ValueError before they would take more.
    """
    before, _blank.left = getattr(_blank, "left", None), nbytes
    try:
        yield
    finally:
        _blank.left = before


def _blank_weight(title, name, shape, dtype) -> np.ndarray:
    _blank.left -= math.prod(shape) * np.dtype(dtype).itemsize
    if _blank.left < 0:
        raise ValueError(f"{title}: the weight {name!r} of shape {show(shape)} needs far more memory than the "
                         "weights in the file; its configuration does not belong to them.")
    return np.zeros(shape, dtype)


def structure_version() -> int:
    """A number that grows whenever any layer is frozen or unfrozen: compiled programs are then renewed."""
    return _version


def bump_version():
    global _version
    _version += 1


class Owner:
    """Finds variables, seeds and sub-layers among its attributes, also inside of lists, tuples and
    dictionaries.

    They are looked up when asked for, so that a list may grow after it was assigned.
    """

    _untracked = frozenset({"_weights", "_inbound", "_programs", "_init_args", "_traced"})

    def _owned(self) -> tuple:
        """(variables, seed states, sub-layers) that this layer itself holds, each once."""
        variables, seeds, layers, seen = [], [], [], {id(self)}

        def visit(value):
            if isinstance(value, (Variable, SeedGenerator, Owner)):
                if id(value) not in seen:
                    seen.add(id(value))
                    if isinstance(value, Owner):
                        layers.append(value)
                    elif isinstance(value, Variable):
                        variables.append(value)
                    else:
                        seeds.append(value.state)
            elif isinstance(value, (list, tuple)):
                for item in value:
                    visit(item)
            elif isinstance(value, dict):
                for item in value.values():
                    visit(item)

        visit(self.__dict__.get("_weights", []))
        for key, value in self.__dict__.items():
            if key not in self._untracked and type(value) not in PLAIN:
                visit(value)
        return variables, seeds, layers

    def _sublayers(self) -> list:
        return self._owned()[2]

    def _flatten_layers(self, include_self=True) -> list:
        """This layer and all below it, each once, outer ones first."""
        found, seen = [], set()

        def visit(layer):
            if id(layer) not in seen:
                seen.add(id(layer))
                found.append(layer)
                for sub in layer._sublayers():
                    visit(sub)

        visit(self)
        return found if include_self else found[1:]

    def _collect(self) -> dict:
        """Variable -> (trainable, is it a weight), in the order of `variables`."""
        found, seen = {}, set()

        def visit(layer, trainable):
            if id(layer) in seen:
                return
            seen.add(id(layer))
            trainable = trainable and layer.trainable
            variables, seeds, layers = layer._owned()
            for variable in sorted(variables, key=lambda v: not v.trainable):
                found.setdefault(variable, (trainable and variable.trainable, True))
            for state in seeds:
                found.setdefault(state, (False, False))
            for sub in layers:
                visit(sub, trainable)

        visit(self, True)
        return found

    @property
    def trainable(self) -> bool:
        """Whether the optimizer may change this layer's weights. Setting it sets all sub-layers too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{self._title()}: trainable must be True or False, got {describe(value)}.")
        for layer in self._flatten_layers():
            layer._trainable = bool(value)
        bump_version()

    @property
    def variables(self) -> list:
        """All variables: the weights, and the states of random generators."""
        return list(self._collect())

    @property
    def trainable_variables(self) -> list:
        return [v for v, (trainable, _) in self._collect().items() if trainable]

    @property
    def non_trainable_variables(self) -> list:
        return [v for v, (trainable, _) in self._collect().items() if not trainable]

    @property
    def weights(self) -> list:
        """The variables without the states of random generators; the order of `get_weights`."""
        return [v for v, (_, weight) in self._collect().items() if weight]

    @property
    def trainable_weights(self) -> list:
        return [v for v, (trainable, weight) in self._collect().items() if weight and trainable]

    @property
    def non_trainable_weights(self) -> list:
        return [v for v, (trainable, weight) in self._collect().items() if weight and not trainable]

    def add_weight(self, shape=None, initializer=None, dtype=None, trainable=True, autocast=True,
                   regularizer=None, constraint=None, aggregation="none",
                   overwrite_with_gradient=False, name=None) -> Variable:
        """Make a variable that belongs to this layer; it has its first value at once.

        Parameters
        ----------
        shape: tuple of ints
            Default (), a scalar.
        initializer: str, callable or dict
            Default "glorot_uniform" for floats, "zeros" for other types.
        dtype: str
            Default the layer's `dtype`.
        trainable: bool
            Whether the optimizer changes it.
        regularizer, constraint: optional
            A penalty added to the loss; a limit applied after each update.
        name: str
            Default "variable".

        autocast: bool
            Whether the layer reads it in its own type where it computes in half precision; default True.

        `aggregation` and `overwrite_with_gradient` are there for code written for Keras, and ignored.
        """
        name, trace = name or "variable", current_trace()
        if trace is not None and any(layer is self for layer in trace.layers):
            raise ValueError(f"{self._title()}: add_weight belongs in __init__ or build(). call() runs again for each "
                             f"new shape of the inputs, and {name!r} would be another weight each time.")
        if isinstance(shape, str):
            raise TypeError(f"{self._title()}: add_weight takes the shape first, got {shape!r}; write "
                            f"add_weight(shape, ..., name={shape!r}).")
        shape = () if shape is None else (shape,) if isinstance(shape, (int, np.integer)) else shape
        if not is_shape(shape) or any(n is None or n < 0 for n in shape):
            raise ValueError(f"{self._title()}: the shape of weight {name!r} must be made of ints of 0 or "
                             f"more, got {describe(shape)}. A None means that the layer needs an input "
                             "whose size is known there.")
        dtype = canonical(self.dtype if dtype is None else dtype)
        if initializer is None:
            initializer = "glorot_uniform" if is_float(dtype) else "zeros"
        initializer, sizes = initializers.get(initializer), tuple(map(int, shape))
        if getattr(_blank, "left", None) is not None:
            value = _blank_weight(self._title(), name, sizes, dtype)
        else:
            value = np.asarray(initializer(sizes, dtype=dtype))
        if value.shape != tuple(shape):
            raise ValueError(f"{self._title()}: the initializer of weight {name!r} gave shape "
                             f"{value.shape}; expected {tuple(shape)}.")
        variable = Variable(value, dtype, name, trainable, autocast)
        outer = [layer.name for layer in trace.layers if layer is not self] if trace else []
        variable.path = "/".join([*outer, self.name, name])
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        self._weights.append(variable)
        return variable

    def get_weights(self) -> list:
        """The values of `weights`, as NumPy arrays."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights):
        """Set the values of all `weights`, from arrays in the order of `get_weights`.

        Raises ValueError if their number or a shape does not fit; then no weight has changed.
        """
        own = self.weights
        if not isinstance(weights, (list, tuple)):
            raise TypeError(f"{self._title()}: set_weights takes a list of arrays, got {describe(weights)}.")
        arrays = [w.numpy() if isinstance(w, Variable) else np.asarray(to_hosts(w)) for w in weights]
        if len(arrays) != len(own):
            hint = "" if self.built else " It is not built yet: call it, or its build(input_shape), first."
            raise ValueError(f"{self._title()}: set_weights got {len(arrays)} arrays; the layer has "
                             f"{len(own)} weights: "
                             f"{', '.join(f'{v.path} {show(v.shape)}' for v in own) or 'none'}.{hint}")
        for variable, array in zip(own, arrays, strict=True):
            if array.shape != variable.shape:
                raise ValueError(f"{self._title()}: weight {variable.path!r} has shape "
                                 f"{show(variable.shape)}; got an array of shape {show(array.shape)}.")
            if array.dtype.kind not in "biuf":
                raise TypeError(f"{self._title()}: weight {variable.path!r} takes numbers, got "
                                f"{array.dtype}.")
        for variable, array in zip(own, arrays, strict=True):
            variable.array[...] = array

    def count_params(self) -> int:
        """The number of elements of all weights."""
        if not self.built:
            raise ValueError(f"{self._title()} is not built yet, so its parameters cannot be counted: call "
                             f"it, or its build(input_shape), first.")
        return sum(math.prod(v.shape) for v in self.weights)
