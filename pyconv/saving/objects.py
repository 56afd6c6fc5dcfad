"""Any object with a configuration as a dictionary, and back."""

from __future__ import annotations

import json

from ..utils.configurable import plain, serialize
from ..utils.registry import CustomObjectScope, get_registered_name, get_registered_object

__all__ = ["deserialize_keras_object", "resolve_function", "serialize_keras_object", "to_json"]


def serialize_keras_object(obj):
    """A layer, model, loss, metric, optimizer or the like as ``{"class_name": ..., "config": ...}``.

    A function becomes its registered name; numbers, texts and nests of these stay what they are.

    Raises TypeError for objects without ``get_config``.
    """
    if hasattr(obj, "get_config") and not isinstance(obj, type):
        return _with_kind(obj, serialize(obj))
    return plain(obj)


def _families() -> dict:
    """Kind -> (base class, module with `deserialize`)."""
    from .. import layers, losses, metrics, optimizers
    return {"layers": (layers.Layer, layers), "losses": (losses.Loss, losses),
            "metrics": (metrics.Metric, metrics), "optimizers": (optimizers.Optimizer, optimizers)}


def _with_kind(obj, config):
    for kind, (base, _) in _families().items():
        if isinstance(obj, base):
            return {"module": f"pyconv.{kind}", **config}
    return {"module": _module_of(type(obj)), **config}


def _module_of(cls):
    """The room of pyconv that a class belongs to; for a user's class the module where it is."""
    parts = cls.__module__.split(".")
    return ".".join(parts[:2]) if parts[0] == "pyconv" else cls.__module__


def deserialize_keras_object(config, custom_objects=None, safe_mode=True):
    """The object that `serialize_keras_object` described.

    Parameters
    ----------
    config: dict, or a name, number or nest of these
        The "module" in it only says what kind of object it is; nothing is imported by its name.
    custom_objects: dict, optional
        Name -> class or function, besides the registered ones.
    safe_mode: bool
        There for code written for Keras: must be True. A configuration never holds code.

    Raises
    ------
    ValueError
        For classes that are neither part of pyconv, registered, nor among `custom_objects`.
    """
    if safe_mode is not True:
        raise ValueError(f"deserialize_keras_object: safe_mode={safe_mode!r} must be True: a configuration holds no "
                         "code, so there is no other mode.")
    with CustomObjectScope(custom_objects):
        return _deserialize(config)


def _deserialize(config):
    if isinstance(config, (list, tuple)):
        return type(config)(_deserialize(c) for c in config)
    if not isinstance(config, dict):
        return config
    if "class_name" not in config:
        return {k: _deserialize(v) for k, v in config.items()}
    name = config["class_name"]
    kind = str(config.get("module", "")).removeprefix("pyconv.").removeprefix("keras.")
    families = _families()
    if kind in ("models", "src.models"):
        kind = "layers"
    if kind in families:
        return families[kind][1].deserialize(config)
    found = get_registered_object(name)
    if found is None and kind in ("initializers", "regularizers", "constraints", "activations"):
        import importlib
        return importlib.import_module(f"..{kind}", __package__).get(config)
    if found is None:
        raise ValueError(f"the configuration has the class {name!r} (module {config.get('module')!r}), which "
                         "is neither part of pyconv nor registered: import the module that registers it with "
                         "@pyconv.saving.register_serializable(), or give custom_objects.")
    return found.from_config(config.get("config") or {}) if isinstance(found, type) else found


def resolve_function(name):
    """The user's function (or an object of the user's class) that a name in a configuration stands for.

    Names of pyconv's own things, and whatever is no text, are returned as they are.
    """
    found = get_registered_object(name) if isinstance(name, str) else None
    if found is None:
        return name
    return found() if isinstance(found, type) else found


def to_json(config, title):
    """A configuration as JSON can hold it.

    Raises
    ------
    ValueError
        If there are functions without a name (lambda) or values that are no plain ones; the message tells
        where.
    """
    def convert(value, where):
        if value == "<lambda>" if isinstance(value, str) else False:
            raise ValueError(f"{title} cannot be saved: {where} is a lambda, and files hold no code. Write "
                             "the function with def, decorate it with @pyconv.saving.register_serializable(), "
                             "and "
                             "use it here; the file then refers to it by name.")
        if isinstance(value, dict):
            name = value.get("config", {}).get("name") if isinstance(value.get("config"), dict) else None
            inner = f"{where}, in {name!r}" if name else where
            return {str(k): convert(v, f"{inner}: {k}" if k not in ("config", "layers") else inner)
                    for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [convert(v, where) for v in value]
        if callable(value) and hasattr(value, "__name__") and not isinstance(value, type):
            return convert(get_registered_name(value), where)
        value = plain(value)
        if isinstance(value, (dict, list, tuple)):
            return convert(value, where)
        return value
    converted = convert(config, "the model")
    json.dumps(converted)
    return converted
