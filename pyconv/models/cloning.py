"""Models made again, layer by layer."""

from __future__ import annotations

from ..graph import Call, flatten, map_structure
from ..layers.core import Input
from ..layers.layer import Layer
from ..utils.configurable import describe
from .model import Model

__all__ = ["clone_model"]


def clone_model(model, input_tensors=None, clone_function=None, call_function=None, recursive=False):
    """A model with the same layers and new weights.

    Parameters
    ----------
    model: Model
        One of a subclass is made again from its `get_config`.
    input_tensors: FunctionalTensor or nest of them, optional
        What the new model begins with, in the order of the old one's inputs; default new Inputs.
    clone_function: callable, optional
        Is given each layer (of a functional or sequential model, InputLayers excepted) and returns the one
        that takes its place. Default: a layer made from the configuration.
    call_function: callable, optional
        ``call_function(layer, *args, **kwargs)`` calls each clone and returns the result, to put layers before or
        behind it; of functional models only.
    recursive: bool
        Whether functional and sequential models within the model are cloned in this way too, rather than given
        to `clone_function` as a whole; default False.

    Raises
    ------
    TypeError
        If `model` is no model, or `clone_function` returns no layer.
    ValueError
        If a model that is neither functional nor sequential is given with further arguments, or a sequential one
        with `call_function`.
    """
    if not isinstance(model, Model):
        raise TypeError(f"clone_model takes a model, got {describe(model)}.")
    if input_tensors is None and clone_function is None and call_function is None and not recursive:
        return type(model).from_config(model.get_config())

    def clone(layer):
        if recursive and isinstance(layer, Model) and (layer._network is not None or _sequence(layer) is not None):
            return clone_model(layer, None, clone_function, None if _sequence(layer) is not None else call_function,
                               True)
        new = clone_function(layer) if clone_function else type(layer).from_config(layer.get_config())
        if not isinstance(new, Layer):
            raise TypeError(f"clone_model: clone_function must return a layer, got {describe(new)} for "
                            f"{layer.name!r}.")
        return new
    sequence = _sequence(model)
    if sequence is not None and call_function is not None:
        raise ValueError(f"clone_model: call_function is for functional models; {model._title()} is a sequence of "
                         "layers. Give clone_function, or put the layers into a new Sequential.")
    if model._network is None:
        if sequence is None or input_tensors is not None:
            raise ValueError(f"clone_model: {model._title()} is not made of tensors of the functional API"
                             f"{'' if model.built else ' (or not built yet)'}, so it can only be cloned as a "
                             f"whole, by clone_model(model).")
        return type(model)([clone(layer) for layer in sequence], name=model.name)
    if sequence is not None and input_tensors is None:
        first = [Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in model.inputs]
        return type(model)([*first, *map(clone, model.layers)], name=model.name)
    return _clone_network(model, input_tensors, clone, call_function)


def _sequence(model):
    return getattr(model, "_sequence", None)


def _clone_network(model, input_tensors, clone, call_function):
    network = model._network
    given = flatten(input_tensors) if input_tensors is not None else [
        Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in network.flat_inputs]
    if len(given) != len(network.flat_inputs):
        raise ValueError(f"clone_model: {len(given)} input_tensors were given; the model has "
                         f"{len(network.flat_inputs)} inputs.")
    tensors = dict(zip(map(id, network.flat_inputs), given, strict=True))
    layers: dict = {}                    # id of a layer -> its clone: shared layers stay shared
    for call in network.calls:
        target = call.target
        if isinstance(target, Layer):
            if id(target) not in layers:
                layers[id(target)] = clone(target)
            target = layers[id(target)]
            if call_function is not None:
                target = _called(call_function, target)
        results = Call(target, call.args, call.kwargs)(tensors)
        for old, new in zip(flatten(call.results), flatten(results), strict=True):
            tensors[id(old)] = new
    inputs, outputs = (map_structure(lambda t: tensors[id(t)], nest)
                       for nest in (network.inputs, network.outputs))
    return Model(inputs, outputs, name=model.name)


def _called(call_function, layer):
    return lambda *args, **kwargs: call_function(layer, *args, **kwargs)
