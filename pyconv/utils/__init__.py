"""Helpers around training: seeds, files."""

import importlib

_EXPORTS = {"set_random_seed": "pyconv.random", "get_file": "pyconv.utils.files",
            "Progbar": "pyconv.utils.progbar"}

__all__ = sorted(_EXPORTS)


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'pyconv.utils' has no attribute {name!r}")


def __dir__():
    return __all__
