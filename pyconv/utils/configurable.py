"""Objects that a dictionary describes: initializers, regularizers, constraints, and the arguments of
layers."""

from __future__ import annotations

import functools
import inspect

import numpy as np

from .naming import find, snake_case
from .registry import get_registered_name

__all__ = ["Configurable", "describe", "lookup", "parameters", "plain", "serialize"]


@functools.cache
def parameters(cls) -> tuple:
    """The names of the arguments that the constructor of `cls` takes, those passed on through ``**kwargs``
    too."""
    names, passed_on = {}, True
    for base in cls.__mro__:
        init = base.__dict__.get("__init__")
        if init is None or not passed_on or base is object:
            continue
        passed_on = False
        for parameter in list(inspect.signature(init).parameters.values())[1:]:
            if parameter.kind == parameter.VAR_KEYWORD:
                passed_on = True
            elif parameter.kind != parameter.VAR_POSITIONAL:
                names.setdefault(parameter.name)
    return tuple(names)


def serialize(value):
    """An object as ``{"class_name": ..., "config": ...}``, a function as its name, None as None.

    Names of registered classes and functions are those under which they were registered.
    """
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "get_config"):
        module = getattr(value, "config_module", None)
        return {**({"module": module} if module else {}), "class_name": get_registered_name(type(value)),
                "config": value.get_config()}
    if callable(value) and hasattr(value, "__name__"):
        return get_registered_name(value)
    raise TypeError(f"{value!r} cannot be described by a configuration: it has no get_config() method.")


def plain(value):
    """A value of a configuration made of numbers, strings, None, lists, tuples and dictionaries."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return serialize(value)


def describe(value) -> str:
    """A value for an error message, shortened where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def lookup(kind, identifier, table):
    """The object that `identifier` stands for: a name, a configuration, a class, or the object itself.

    Parameters
    ----------
    kind: str
        What the object is, for the error message.
    identifier: str, dict, class, callable or None
        None gives None.
    table: dict
        Name in snake_case -> class or function.
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict) and "class_name" in identifier:
        if identifier["class_name"] == "function":            # Keras's way to write a user's own function
            return find(kind, identifier["config"], table)
        return find(kind, identifier["class_name"], table).from_config(identifier.get("config") or {})
    if isinstance(identifier, str):
        found = find(kind, identifier, table)
        return found() if isinstance(found, type) else found
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier):
        return identifier
    raise TypeError(f"{kind} must be a name, an object or a configuration, got {describe(identifier)}.")


class Configurable:
    """Its configuration is the values of its constructor's arguments, kept as attributes of the same names.

    A direct subclass is the base of a family and has a `family`: name in snake_case -> class.
    """

    family: dict

    def __init_subclass__(cls):
        if Configurable in cls.__bases__:
            cls.family = {}
        else:
            cls.family[snake_case(cls.__name__)] = cls

    def get_config(self) -> dict:
        """The arguments that make an object like this one."""
        return {name: plain(getattr(self, name)) for name in parameters(type(self))}

    @classmethod
    def from_config(cls, config):
        """An object made from what `get_config` gave. Arguments that are unknown here are ignored if None."""
        known = parameters(cls)
        return cls(**{k: v for k, v in config.items() if v is not None or k in known})

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"

    def _number(self, name, value, least=None):
        """Check that an argument is a finite number (and at least `least`); returns it."""
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{type(self).__name__}: {name} must be a number, got {describe(value)}.")
        if not np.isfinite(value) or (least is not None and value < least):
            raise ValueError(f"{type(self).__name__}: {name} must be "
                             f"finite{f' and at least {least}' if least is not None else ''}, got {value!r}.")
        return value
