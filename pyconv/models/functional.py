"""The functional API's graph of calls, from a model's inputs to its outputs."""

from __future__ import annotations

from .. import ops
from ..graph import Call, FunctionalTensor, Tensor, canonical, flatten, map_structure
from ..layers.core import InputLayer
from ..layers.input_spec import shape_of, show
from ..layers.layer import Layer

__all__ = ["Network"]


class Network:
    """The calls that lead from `inputs` to `outputs` (nests of FunctionalTensors), in an order in which they
    can be made.

    Attributes
    ----------
    calls: list of Call
    layers: list of Layer
        Those called and an InputLayer per input; layers further from the outputs first, as in Keras.
    input_names: list of str

    Raises
    ------
    TypeError
        If inputs or outputs are not tensors of the functional API.
    ValueError
        If an output depends on an Input that is not among `inputs`, or two layers have the same name.
    """

    def __init__(self, inputs, outputs, title="Model"):
        self.title = title
        self.inputs, self.outputs = inputs, outputs
        for what, nest in (("inputs", inputs), ("outputs", outputs)):
            leaves = flatten(nest)
            if not leaves:
                raise ValueError(f"{title}: {what} is empty; give at least one tensor.")
            for leaf in leaves:
                if not isinstance(leaf, FunctionalTensor):
                    raise TypeError(f"{title}: {what} must be made of tensors that come from pyconv.Input "
                                    f"and from layers called on them, got {type(leaf).__name__}.")
        self.flat_inputs, self.flat_outputs = flatten(inputs), flatten(outputs)
        if len({id(t) for t in self.flat_inputs}) < len(self.flat_inputs):
            raise ValueError(f"{title}: an input stands in inputs twice.")
        self.input_layers = [InputLayer(input_tensor=t, name=t.name) for t in self.flat_inputs]
        self.input_names = [layer.name for layer in self.input_layers]
        self.calls = self._sort()
        self.layers = self._order_layers()
        names = [layer.name for layer in self.layers]
        for layer in self.layers:
            if names.count(layer.name) > 1:
                raise ValueError(f"{title}: {names.count(layer.name)} layers have the name {layer.name!r}; "
                                 f"a model's layers need different names.")

    def _sort(self) -> list[Call]:
        """All calls that the outputs need, each after those that it needs itself."""
        order, seen = [], set()
        given = {id(t) for t in self.flat_inputs}
        stack = [(t, None, False) for t in reversed(self.flat_outputs)]
        while stack:
            tensor, user, ready = stack.pop()
            if ready:
                order.append(tensor.call)
                continue
            if id(tensor) in given or (tensor.call is not None and id(tensor.call) in seen):
                continue
            if tensor.call is None:
                through = f", which {_name(user.target)} uses" if user else ""
                names = ", ".join(map(repr, self.input_names))
                raise ValueError(f"{self.title}: the outputs depend on the Input {tensor.name!r} of shape "
                                 f"{show(tensor.shape)}{through}, but it is not among the model's inputs "
                                 f"({names}). Add it to inputs.")
            seen.add(id(tensor.call))
            stack.append((tensor, user, True))
            stack.extend((t, tensor.call, False) for t in reversed(tensor.call.inputs))
        return order

    def _order_layers(self) -> list[Layer]:
        given = {id(t) for t in self.flat_inputs}
        depth: dict = {}                     # id of a call or an input -> steps to the furthest output
        for call in reversed(self.calls):
            depth.setdefault(id(call), 0)
            for tensor in call.inputs:
                source = id(tensor) if id(tensor) in given else id(tensor.call)
                depth[source] = max(depth.get(source, 0), depth[id(call)] + 1)
        found: dict = {}                     # layer -> depth, in order of the calls
        for layer, tensor in zip(self.input_layers, self.flat_inputs, strict=True):
            found[layer] = depth.get(id(tensor), 0)
        for call in self.calls:
            if isinstance(call.target, Layer):
                found[call.target] = max(found.get(call.target, 0), depth[id(call)])
        return sorted(found, key=lambda layer: -found[layer])

    # ---- what a model is given

    def arrange(self, inputs) -> list:
        """What was given, one entry per input; ValueError if something is missing or too much."""
        if isinstance(inputs, dict):
            keys = list(self.inputs) if isinstance(self.inputs, dict) else self.input_names
            if len(keys) != len(self.flat_inputs):
                keys = self.input_names
            missing = [k for k in keys if k not in inputs]
            if missing:
                raise ValueError(f"the input {missing[0]!r} is missing; given: "
                                 f"{', '.join(map(repr, inputs))}; expected: {', '.join(map(repr, keys))}.")
            given = [inputs[k] for k in keys]
        else:
            given = flatten(inputs)
        if len(given) != len(self.flat_inputs):
            raise ValueError(f"{len(given)} inputs were given; the model has {len(self.flat_inputs)}: "
                             f"{', '.join(map(repr, self.input_names))}.")
        return given

    def check(self, inputs):
        """Raise ValueError if shapes do not fit the model's inputs."""
        for value, name, tensor in zip(self.arrange(inputs), self.input_names, self.flat_inputs, strict=True):
            shape = shape_of(value)
            if adjusted(shape, tensor.shape) is None:
                shape = (None, *shape[1:]) if isinstance(value, Tensor) and shape else shape
                raise ValueError(f"the input {name!r} expects shape {show(tensor.shape)}, got {show(shape)}.")

    def standardize(self, inputs) -> list:
        """Tensors of the shape and type of the model's inputs.

        As in Keras a last axis of length 1 may be missing or superfluous: images (batch, 28, 28) fit an
        Input((28, 28, 1)).
        """
        out = []
        for value, tensor in zip(self.arrange(inputs), self.flat_inputs, strict=True):
            if len(shape_of(value)) != len(tensor.shape):
                value = ops.reshape(value, adjusted(shape_of(value), tensor.shape))
            out.append(ops.cast(value, tensor.dtype) if canonical(value.dtype) != tensor.dtype else value)
        return out

    def __call__(self, inputs):
        """Make all calls on concrete tensors."""
        values = dict(zip(map(id, self.flat_inputs), self.standardize(inputs), strict=True))
        for call in self.calls:
            results = flatten(call(values))
            for tensor, result in zip(flatten(call.results), results, strict=True):
                values.setdefault(id(tensor), result)
        return map_structure(lambda t: values[id(t)], self.outputs)


def adjusted(shape, expected):
    """`shape` with the axes of `expected`, or None if it does not fit."""
    shape = tuple(shape)
    if len(shape) == len(expected) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == len(expected) - 1 and expected[-1] == 1:
        shape = (*shape, 1)
    if len(shape) != len(expected) or any(n is not None and m is not None and n != m
                                          for n, m in zip(shape, expected, strict=True)):
        return None
    return shape


def _name(target) -> str:
    return f"layer {target.name!r}" if isinstance(target, Layer) else f"{target.__name__}()"
