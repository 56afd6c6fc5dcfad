"""Optimizers: how gradients change the weights."""

from ..utils.naming import find
from .adam import Adam
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["Adam", "Optimizer", "SGD", "deserialize", "get", "serialize"]

_TABLE = {"sgd": SGD, "adam": Adam}


def serialize(optimizer) -> dict:
    """The optimizer as a dictionary of its class name and configuration."""
    return {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}


def deserialize(config: dict) -> Optimizer:
    """The optimizer that `serialize` described; its state starts anew."""
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError(f"an optimizer's configuration is a dictionary with 'class_name' and 'config', "
                         f"got {config!r}.")
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
    return find("optimizer", identifier, _TABLE)()
