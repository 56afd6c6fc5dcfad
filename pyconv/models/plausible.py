"""Warnings of a loss and a last activation that do not go together: such a model runs, and learns little or nothing."""

from __future__ import annotations

import warnings

from .. import activations, losses
from ..layers import Layer, Softmax

__all__ = ["warn_of_last_activation"]

_ENTROPIES = (losses.sparse_categorical_crossentropy, losses.categorical_crossentropy, losses.binary_crossentropy,
              losses.categorical_focal_crossentropy, losses.binary_focal_crossentropy)


def warn_of_last_activation(model, loss):
    """Warn if the only output of `model` has an activation that `loss`, a name, object or function, does not expect.

    Nothing is said of models and losses that are not of the common kinds.
    """
    layer = _last_layer(model)
    activation = activations.softmax if isinstance(layer, Softmax) else getattr(layer, "activation", None)
    if activation is activations.softmax and 1 in (getattr(layer, "units", 0), getattr(layer, "filters", 0)):
        _warn(f"the layer {layer.name!r} has one unit, whose softmax is always 1. Use activation='sigmoid' with a "
              "binary loss, or one unit per class.")
        return
    found = losses.get(loss) if isinstance(loss, str) else loss
    function = getattr(found, "fn", found)
    if function not in _ENTROPIES:
        return
    logits, name = getattr(found, "kwargs", {}).get("from_logits", False), function.__name__
    if activation is activations.linear and not logits:
        likely = "sigmoid" if function.__name__.startswith("binary") else "softmax"
        _warn(f"{name} takes probabilities, but the layer {layer.name!r} has no activation, so that it gives logits. "
              f"Give the loss from_logits=True, or the layer activation={likely!r}.")
    elif activation in (activations.softmax, activations.sigmoid) and logits:
        _warn(f"{name} with from_logits=True takes logits, but the layer {layer.name!r} has the activation "
              f"{activation.__name__!r}. Leave one of the two out.")


def _last_layer(model):
    """The layer that makes the only output of a Sequential or functional model, in nested ones too; else None."""
    while getattr(model, "_network", None) is not None:
        outputs = model._network.flat_outputs
        model = outputs[0].call.target if len(outputs) == 1 and outputs[0].call is not None else None
    if isinstance(model, Layer) and hasattr(model, "_sequence"):        # a Sequential whose shapes are not known yet
        return _last_layer(model.layers[-1]) if model.layers else None
    return model


def _warn(text):
    warnings.warn(f"compile: {text}", stacklevel=4)
