"""Data in batches: from a user's own code, folders of images and recordings, and series; and its division in two."""

import importlib

_EXPORTS = {"PyDataset": "py_dataset", "Sequence": "py_dataset", "image_dataset_from_directory": "images",
            "audio_dataset_from_directory": "audio",
            "split_dataset": "splitting", "timeseries_dataset_from_array": "timeseries"}

__all__ = sorted(_EXPORTS)


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
