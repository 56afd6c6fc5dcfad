"""A functional model as a dictionary, in the format of Keras: its layers, and who is called on what."""

from __future__ import annotations

import numpy as np

from ..graph import FunctionalTensor, flatten, is_nest, map_structure
from ..layers import deserialize
from ..layers.layer import Layer
from ..utils.configurable import plain, serialize
from .functional import Network

__all__ = ["network_config", "network_from_config"]


def _encode(value, history):
    """An argument of a call as plain values."""
    if isinstance(value, FunctionalTensor):
        return {"class_name": "__keras_tensor__", "config": {"shape": list(value.shape), "dtype": value.dtype,
                                                             "keras_history": list(history[id(value)])}}
    if isinstance(value, dict):
        return {k: _encode(v, history) for k, v in value.items()}
    if isinstance(value, tuple):
        return {"class_name": "__tuple__", "items": [_encode(v, history) for v in value]}
    if isinstance(value, list):
        return [_encode(v, history) for v in value]
    if isinstance(value, slice):
        return {"class_name": "__slice__", "items": [value.start, value.stop, value.step]}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__"}
    if isinstance(value, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": value.tolist(), "dtype": value.dtype.name}}
    return plain(value)


def _decode(value, tensors):
    if isinstance(value, list):
        return [_decode(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("class_name")
    if kind == "__keras_tensor__":
        return tensors[tuple(value["config"]["keras_history"])]
    if kind == "__tuple__":
        return tuple(_decode(v, tensors) for v in value["items"])
    if kind == "__slice__":
        return slice(*value["items"])
    if kind == "__ellipsis__":
        return Ellipsis
    if kind == "__numpy__":
        return np.array(value["config"]["value"], value["config"]["dtype"])
    return {k: _decode(v, tensors) for k, v in value.items()}


def _names_of(network) -> dict:
    """id of a target -> its name; functions of pyconv.ops are named here, one for each call."""
    names = {id(layer): layer.name for layer in network.layers}
    taken = set(names.values())
    for call in network.calls:
        if not isinstance(call.target, Layer):
            base, name, n = call.target.__name__, call.target.__name__, 0
            while name in taken:
                n += 1
                name = f"{base}_{n}"
            taken.add(name)
            names[id(call)] = name
    return names


def network_config(network: Network) -> dict:
    """``{"layers": [...], "input_layers": ..., "output_layers": ...}``."""
    names = _names_of(network)
    history, entries = {}, {}
    for layer, tensor in zip(network.input_layers, network.flat_inputs, strict=True):
        entries[layer.name] = {**serialize(layer), "name": layer.name, "inbound_nodes": []}
        history[id(tensor)] = (layer.name, 0, 0)
    for call in network.calls:
        target = call.target
        name = names[id(target) if isinstance(target, Layer) else id(call)]
        if name not in entries:
            described = serialize(target) if isinstance(target, Layer) else {
                "module": "pyconv.ops", "class_name": "Function",
                "config": {"name": name, "function": _path(target)}}
            entries[name] = {**described, "name": name, "inbound_nodes": []}
        nodes = entries[name]["inbound_nodes"]
        for index, tensor in enumerate(flatten(call.results)):
            history.setdefault(id(tensor), (name, len(nodes), index))
        nodes.append({"args": [_encode(a, history) for a in call.args],
                      "kwargs": {k: _encode(v, history) for k, v in call.kwargs.items()}})

    def places(nest):
        return map_structure(lambda t: list(history[id(t)]), nest)
    return {"layers": list(entries.values()), "input_layers": places(network.inputs),
            "output_layers": places(network.outputs)}


def _path(function) -> str:
    from .. import activations, ops
    for module, short in ((ops, "ops"), (activations, "activations")):
        if getattr(module, function.__name__, None) is function:
            return f"{short}.{function.__name__}"
    raise ValueError(f"the function {function.__name__} is called in the model, but it is not one of "
                     "pyconv.ops or pyconv.activations, so no configuration can refer to it. Put it into a "
                     "Layer.")


def _function(path):
    from .. import activations, ops
    short, _, name = path.partition(".")
    module = {"ops": ops, "activations": activations}.get(short)
    if module is None or name not in module.__all__:
        raise ValueError(f"the configuration refers to a function {path!r}, which this version of pyconv "
                         "does not have.")
    return getattr(module, name)


def _is_place(value):
    return isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str)


def network_from_config(config, custom_objects=None):
    """(inputs, outputs) of the model that `network_config` described."""
    tensors, waiting = {}, []
    for entry in config["layers"]:
        if entry["class_name"] == "Function":
            target = _function(entry["config"]["function"])
        else:
            target = deserialize(entry, custom_objects)
        if entry["class_name"] == "InputLayer":
            tensors[entry["name"], 0, 0] = target.output
        waiting.extend((entry["name"], i, target, node) for i, node in enumerate(entry["inbound_nodes"]))
    done: dict = {}
    while waiting:
        later = []
        for name, index, target, node in waiting:
            # A shared layer's calls are made in order, so that each keeps its index.
            if done.get(name, 0) != index or not _known(node, tensors):
                later.append((name, index, target, node))
                continue
            if not _places(node["args"]) and not _places(node["kwargs"]):
                raise ValueError(f"the configuration of the model calls {name!r} on no tensor.")
            results = target(*_decode(node["args"], tensors), **_decode(node["kwargs"], tensors))
            for i, tensor in enumerate(flatten(results)):
                tensors[name, index, i] = tensor
            done[name] = index + 1
        if len(later) == len(waiting):
            raise ValueError(f"the configuration of the model has calls whose inputs are never made: "
                             f"{', '.join(sorted({repr(entry[0]) for entry in later}))}.")
        waiting = later

    def tensors_at(nest):
        if _is_place(nest):
            return tensors[tuple(nest)]
        if isinstance(nest, dict):
            return {k: tensors_at(v) for k, v in nest.items()}
        return [tensors_at(v) for v in nest]
    return tensors_at(config["input_layers"]), tensors_at(config["output_layers"])


def _places(value) -> list:
    """Where the tensors stand that a call's arguments name."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return [tuple(value["config"]["keras_history"])]
    if is_nest(value):
        return [place for v in (value.values() if isinstance(value, dict) else value) for place in _places(v)]
    return []


def _known(value, tensors) -> bool:
    """Whether all tensors that a call's arguments name have been made."""
    return all(place in tensors for place in _places(value))
