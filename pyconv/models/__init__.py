"""Models: the functional API, Sequential, subclasses, and the training loop."""

from ..layers.core import Input
from .model import Model, clone_model
from .sequential import Sequential
from .trainer import Trainer

__all__ = ["Input", "Model", "Sequential", "Trainer", "clone_model"]
