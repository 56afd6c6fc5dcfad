"""Tools for testing code that is built on pyconv.

`check_layer` and `check_op` test what every layer and every function of tensors should do, on cases that hypothesis
draws and shrinks; `check_gradients` compares gradients with finite differences; `strategies` has what they draw with.

Importing this module needs NumPy alone. What draws cases needs hypothesis: ``pip install 'pyconv-nn[testing]'``.
"""

import importlib

from .gradients import NotSmooth as NotSmooth
from .gradients import check_gradients as check_gradients
from .properties import PropertyError as PropertyError

# loaded when first used: they need hypothesis
_EXPORTS = {"check_layer": "layers", "LAYER_PROPERTIES": "layer_properties", "check_op": "op_checks",
            "OP_PROPERTIES": "op_checks"}
_MODULES = ("programs", "strategies")

__all__ = sorted(["NotSmooth", "PropertyError", "check_gradients", *_EXPORTS, *_MODULES])


def __getattr__(name):
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    globals()[name] = value
    return value


def __dir__():
    return __all__
