"""Saving and loading: whole models, weights alone, and objects as dictionaries.

No file holds code, and none is read with pickle: see `archive` for what is in a model's file.
"""

import importlib

from ..utils.registry import CustomObjectScope as CustomObjectScope
from ..utils.registry import custom_object_scope as custom_object_scope
from ..utils.registry import get_custom_objects as get_custom_objects
from ..utils.registry import get_registered_name as get_registered_name
from ..utils.registry import get_registered_object as get_registered_object
from ..utils.registry import register_serializable as register_serializable

# Keras's names for the same things
register_keras_serializable = register_serializable

_EXPORTS = {"load_model": "model_file", "save_model": "model_file", "load_weights": "weights",
            "save_weights": "weights", "serialize_keras_object": "objects",
            "deserialize_keras_object": "objects", "get_random_state": "random_state",
            "set_random_state": "random_state"}
_ALIASES = {"serialize": "serialize_keras_object", "deserialize": "deserialize_keras_object"}

__all__ = sorted(["CustomObjectScope", "custom_object_scope", "get_custom_objects", "get_registered_name",
                  "get_registered_object", "register_keras_serializable", "register_serializable",
                  "safetensors", *_EXPORTS, *_ALIASES])


# What needs models is loaded when it is first used: layers themselves need the registry only.
def __getattr__(name):
    if name == "safetensors":
        return importlib.import_module(f"{__name__}.safetensors")
    target = _ALIASES.get(name, name)
    if target in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[target]}"), target)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
