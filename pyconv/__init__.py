"""pyconv: convolutional networks with Keras's API and a small compiled core.

Names are loaded when they are first used, so that importing the package costs little more than importing NumPy.
"""

import importlib

__version__ = "0.1.0"

# name -> the module that has it; a module's own name loads the module itself
_EXPORTS = {
    "Model": "models", "Sequential": "models", "Input": "models",
    "Layer": "layers", "InputSpec": "layers", "Variable": "graph", "Function": "ops.function",
    "Initializer": "initializers", "Regularizer": "regularizers", "Loss": "losses", "Metric": "metrics",
    "Optimizer": "optimizers", "DTypePolicy": "dtype_policies", "FloatDTypePolicy": "dtype_policies",
    "set_backend": "config", "device": "backends", "value_and_grad": "utils.gradients",
}
_MODULES = ("activations", "applications", "backends", "callbacks", "config", "constraints", "data", "datasets",
            "dtype_policies", "graph", "initializers", "layers", "losses", "metrics", "mixed_precision", "models",
            "ops", "optimizers", "random", "regularizers", "saving", "testing", "utils")

__all__ = sorted([*_EXPORTS, *_MODULES, "version"])


def version() -> str:
    """The version of pyconv, such as "0.1.0"."""
    return __version__


def __getattr__(name):
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        import difflib
        close = difflib.get_close_matches(name, __all__, 1)
        raise AttributeError(f"module 'pyconv' has no attribute {name!r}."
                             + (f" Did you mean {close[0]!r}?" if close else ""))
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
