"""Optimizers: how gradients change the weights."""

from ..utils.naming import find
from ..utils.registry import CustomObjectScope, get_registered_name
from . import schedules
from .adafactor import Adafactor
from .adagrad import Adadelta, Adagrad
from .adam import Adam, Adamax, AdamW, Nadam
from .ftrl import Ftrl
from .lamb import Lamb
from .lion import Lion
from .loss_scale import LossScaleOptimizer
from .muon import Muon
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .schedule_free import ScheduleFreeAdamW
from .sgd import SGD

__all__ = ["Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "LossScaleOptimizer",
           "Muon", "Nadam", "Optimizer", "RMSprop", "SGD", "ScheduleFreeAdamW", "deserialize", "get", "schedules",
           "serialize"]

_CLASSES = (Adadelta, Adafactor, Adagrad, Adam, Adamax, AdamW, Ftrl, Lamb, Lion, LossScaleOptimizer,
            Muon, Nadam, RMSprop, SGD, ScheduleFreeAdamW)
_TABLE = {c.__name__.lower(): c for c in _CLASSES}


def serialize(optimizer) -> dict:
    """The optimizer as a dictionary of its class name and configuration."""
    return {"class_name": get_registered_name(type(optimizer)), "config": optimizer.get_config()}


def deserialize(config: dict, custom_objects=None) -> Optimizer:
    """The optimizer that `serialize` described; its state starts anew.

    custom_objects: dict, optional
        Name -> class of one's own optimizers and schedules.
    """
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError(f"an optimizer's configuration is a dictionary with 'class_name' and 'config', "
                         f"got {config!r}.")
    with CustomObjectScope(custom_objects):
        return find("optimizer", config["class_name"], _TABLE).from_config(config.get("config", {}))


def get(identifier) -> Optimizer | None:
    """An optimizer from its name ("adam", "SGD"), its configuration, or itself.

    Raises
    ------
    ValueError
        For unknown names; the message says what exists.
    TypeError
        For anything else, such as the class instead of an instance.
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        raise TypeError(f"optimizer={identifier.__name__} is a class; give an instance: "
                        f"{identifier.__name__}().")
    found = find("optimizer", identifier, _TABLE)
    if found is LossScaleOptimizer:
        raise ValueError(f"optimizer={identifier!r} wraps another optimizer; give an instance, such as "
                         f"pyconv.optimizers.LossScaleOptimizer(pyconv.optimizers.Adam()).")
    return found()
