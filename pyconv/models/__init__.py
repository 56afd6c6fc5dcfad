"""Models: the functional API, Sequential, subclasses, and the training loop."""

from ..layers.core import Input
from .cloning import clone_model
from .model import Model, model_from_json
from .sequential import Sequential
from .trainer import Trainer

__all__ = ["Input", "Model", "Sequential", "Trainer", "clone_model", "load_model", "model_from_json", "save_model"]


def __getattr__(name):
    if name in ("load_model", "save_model"):        # pyconv.saving builds on this package
        from .. import saving
        return getattr(saving, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
