"""Users' own classes and functions, found again by name when a configuration is read.

Two tables: what was registered for good with `register_serializable`, and what is known within a
`CustomObjectScope`. A configuration never says where code is: only what is in one of the tables, or part of
pyconv, is made from it.
"""

from __future__ import annotations

import threading

__all__ = ["CustomObjectScope", "custom_object", "custom_object_scope", "get_custom_objects",
           "get_registered_name", "get_registered_object", "register_serializable"]

_objects: dict = {}      # "package>name" -> class or function
_names: dict = {}        # the other way round
_local = threading.local()


def register_serializable(package="Custom", name=None):
    """A decorator that makes a class or function known to `load_model`, under ``package>name``.

    ::

        @pyconv.saving.register_serializable(package="my_lab")
        class Scale(pyconv.Layer):
            ...

    Parameters
    ----------
    package: str
        Keeps equal names of different projects apart; default "Custom".
    name: str, optional
        Default the name of the class or function. A file refers to it by this name, so it must stay.

    Raises
    ------
    TypeError
        If package or name is no text, or what is decorated is neither a class nor a function.
    ValueError
        If the name is taken by another object (one of another module, or with another name), or a class has
        no ``get_config``.
    """
    for argument, value in (("package", package), ("name", name)):
        if not isinstance(value, str) and not (argument == "name" and value is None):
            raise TypeError(f"register_serializable: {argument} must be a text, got {value!r}; write "
                            "@register_serializable() with parentheses.")
        if value is not None and (not value or ">" in value):
            raise ValueError(f"register_serializable: {argument}={value!r} must not be empty nor have a '>'.")

    def register(target):
        if not callable(target) or not hasattr(target, "__name__"):
            raise TypeError(f"register_serializable registers classes and functions, got {target!r}.")
        if isinstance(target, type) and not hasattr(target, "get_config"):
            raise ValueError(f"register_serializable: the class {target.__name__} has no get_config() "
                             "method, so no configuration can describe its objects.")
        full = f"{package}>{name or target.__name__}"
        before = _objects.get(full)
        if before is not None and _origin(before) != _origin(target):
            raise ValueError(f"register_serializable: {full!r} is registered already, for "
                             f"{'.'.join(_origin(before))}; choose another package or name.")
        _objects[full], _names[target] = target, full
        _tell_layers(full, target)
        return target
    return register


def _origin(target):
    return str(getattr(target, "__module__", "")), str(getattr(target, "__qualname__", target.__name__))


def _tell_layers(full, target):
    """Layers are looked up by the full name too, so that equal names of two packages stay apart."""
    if isinstance(target, type):
        from ..layers.layer import CLASSES, Layer
        if issubclass(target, Layer):
            CLASSES[full] = target


def get_registered_name(obj) -> str:
    """``"package>name"`` of a registered class or function, otherwise its own name."""
    try:
        return _names.get(obj) or obj.__name__
    except TypeError:                       # not hashable, so never registered
        return obj.__name__


def get_registered_object(name, custom_objects=None, module_objects=None):
    """The class or function with a registered name, or None.

    Parameters
    ----------
    name: str
        ``"package>name"``, or the name alone where it is known in one package only.
    custom_objects, module_objects: dict, optional
        Name -> object: looked through before and after the registered ones.
    """
    for table in (*_scopes(), custom_objects or {}):
        if name in table:
            return table[name]
    if name in _objects:
        return _objects[name]
    ends = [o for full, o in _objects.items() if name in (full.split(">")[1], o.__name__)]
    if len(ends) == 1:
        return ends[0]
    return (module_objects or {}).get(name)


def custom_object(name):
    """What stands before pyconv's own names: objects of the current scopes, and full registered names."""
    for table in _scopes():
        if name in table:
            return table[name]
    return _objects.get(name)


def _scopes():
    return reversed(getattr(_local, "scopes", ()))


def get_custom_objects() -> dict:
    """A copy of the table of registered objects: ``"package>name"`` -> class or function."""
    return dict(_objects)


class CustomObjectScope:
    """Within a ``with`` block, names in configurations stand for these objects::

        with pyconv.saving.CustomObjectScope({"Scale": Scale}):
            model = pyconv.models.load_model("model.pyconv")

    Parameters
    ----------
    custom_objects: dict
        Name -> class or function. Scopes may be nested; the innermost counts. It holds for this thread.
    """

    def __init__(self, custom_objects=None):
        if custom_objects is not None and not isinstance(custom_objects, dict):
            raise TypeError(f"custom_objects must be a dictionary name -> class or function, got "
                            f"{type(custom_objects).__name__}.")
        self.custom_objects = dict(custom_objects or {})

    def __enter__(self):
        if not hasattr(_local, "scopes"):
            _local.scopes = []
        _local.scopes.append(self.custom_objects)
        return self

    def __exit__(self, *exc):
        _local.scopes = [s for s in _local.scopes if s is not self.custom_objects]


custom_object_scope = CustomObjectScope
