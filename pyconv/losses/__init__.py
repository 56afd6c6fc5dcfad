"""Losses: how far predictions are from the truth, as functions per sample and classes that reduce them."""

from __future__ import annotations

from ..utils.naming import find_object
from ..utils.registry import CustomObjectScope, get_registered_name
from .loss import Loss, LossFunctionWrapper, as_float, as_values, match_ranks, reduce_weighted
from .margin import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from .probabilistic import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
)
from .regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from .similarity import (
    Circle,
    Dice,
    Tversky,
    circle,
    dice,
    tversky,
)

__all__ = ["BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy",
           "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "CategoricalHinge",
           "Circle", "CosineSimilarity", "Dice", "Hinge", "Huber", "KLDivergence", "LogCosh", "Loss",
           "LossFunctionWrapper", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError",
           "MeanSquaredLogarithmicError", "Poisson", "SparseCategoricalCrossentropy", "SquaredHinge",
           "Tversky", "as_float", "as_values", "binary_crossentropy", "binary_focal_crossentropy",
           "categorical_crossentropy", "categorical_focal_crossentropy",
           "categorical_generalized_cross_entropy", "categorical_hinge", "circle", "cosine_similarity",
           "deserialize", "dice", "get", "hinge", "huber", "kl_divergence", "log_cosh", "match_ranks",
           "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
           "mean_squared_logarithmic_error", "poisson", "reduce_weighted", "serialize",
           "sparse_categorical_crossentropy", "squared_hinge", "tversky"]

# ---- by name

CLASSES = {c.__name__: c for c in (
    BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy, CategoricalHinge, Circle, CosineSimilarity, Dice, Hinge, Huber,
    KLDivergence, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError, Poisson, SparseCategoricalCrossentropy, SquaredHinge, Tversky)}
FUNCTIONS = {f.__name__: f for f in (
    binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy,
    categorical_focal_crossentropy, categorical_generalized_cross_entropy, categorical_hinge, circle,
    cosine_similarity, dice, hinge, huber, kl_divergence, log_cosh, mean_absolute_error,
    mean_absolute_percentage_error, mean_squared_error, mean_squared_logarithmic_error, poisson,
    sparse_categorical_crossentropy, squared_hinge, tversky)}
NAMES = {**FUNCTIONS, **CLASSES, "mse": mean_squared_error, "mae": mean_absolute_error, "bce": binary_crossentropy,
         "mape": mean_absolute_percentage_error, "msle": mean_squared_logarithmic_error, "kld": kl_divergence}


def serialize(loss):
    """The loss as its name (a function) or as a dictionary of its class name and configuration."""
    if isinstance(loss, Loss):
        return {"class_name": get_registered_name(type(loss)), "config": loss.get_config()}
    return get_registered_name(loss)


def deserialize(name, custom_objects=None):
    """The loss that `serialize` described. custom_objects: dict, name -> class or function of one's own."""
    with CustomObjectScope(custom_objects):
        return get(name)


def get(identifier):
    """A loss from its name ("mse", "MeanSquaredError"), its configuration, or itself.

    A name in snake case gives the function, a class name an instance with default arguments, as in Keras.

    Raises
    ------
    ValueError
        For unknown names; the message proposes the nearest.
    TypeError
        For what can be no loss.
    """
    return find_object("loss", identifier, Loss, CLASSES, NAMES)
