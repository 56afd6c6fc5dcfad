"""Metrics: numbers that are gathered over many batches, in variables that the compiled step updates."""

from __future__ import annotations

from ..losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from ..utils.naming import find_object, snake_case
from ..utils.registry import CustomObjectScope, get_registered_name
from .accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .confusion import (
    F1Score,
    FBetaScore,
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from .curves import (
    AUC,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from .metric import (
    Mean,
    MeanMetricWrapper,
    Metric,
    Sum,
)
from .overlap import (
    BinaryIoU,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)
from .probabilistic import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    Hinge,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from .regression import (
    ConcordanceCorrelation,
    CosineSimilarity,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    R2Score,
    RootMeanSquaredError,
    concordance_correlation,
    cosine_similarity,
    pearson_correlation,
)

__all__ = ["AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "BinaryIoU", "CategoricalAccuracy",
           "CategoricalCrossentropy", "CategoricalHinge", "ConcordanceCorrelation", "CosineSimilarity",
           "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge", "IoU", "KLDivergence",
           "LogCoshError", "Mean", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanIoU",
           "MeanMetricWrapper", "MeanSquaredError", "MeanSquaredLogarithmicError", "Metric", "OneHotIoU",
           "OneHotMeanIoU", "PearsonCorrelation", "Poisson", "Precision", "PrecisionAtRecall", "R2Score",
           "Recall", "RecallAtPrecision", "RootMeanSquaredError", "SensitivityAtSpecificity",
           "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy",
           "SpecificityAtSensitivity", "SquaredHinge", "Sum", "TopKCategoricalAccuracy", "TrueNegatives",
           "TruePositives", "accuracy", "binary_accuracy", "binary_crossentropy",
           "binary_focal_crossentropy", "categorical_accuracy", "categorical_crossentropy",
           "categorical_focal_crossentropy", "categorical_hinge", "concordance_correlation",
           "cosine_similarity", "deserialize", "get", "hinge", "huber", "kl_divergence", "log_cosh",
           "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
           "mean_squared_logarithmic_error", "pearson_correlation", "poisson", "serialize",
           "sparse_categorical_accuracy", "sparse_categorical_crossentropy",
           "sparse_top_k_categorical_accuracy", "squared_hinge", "top_k_categorical_accuracy"]

# ---- by name

CLASSES = {c.__name__: c for c in (
    AUC, Accuracy, BinaryAccuracy, BinaryCrossentropy, BinaryIoU, CategoricalAccuracy,
    CategoricalCrossentropy, CategoricalHinge, ConcordanceCorrelation, CosineSimilarity, F1Score,
    FBetaScore, FalseNegatives, FalsePositives, Hinge, IoU, KLDivergence, LogCoshError, Mean,
    MeanAbsoluteError, MeanAbsolutePercentageError, MeanIoU, MeanSquaredError,
    MeanSquaredLogarithmicError, OneHotIoU, OneHotMeanIoU, PearsonCorrelation, Poisson, Precision,
    PrecisionAtRecall, R2Score, Recall, RecallAtPrecision, RootMeanSquaredError,
    SensitivityAtSpecificity, SparseCategoricalAccuracy, SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy, SpecificityAtSensitivity, SquaredHinge, Sum, TopKCategoricalAccuracy,
    TrueNegatives, TruePositives)}
NAMES = {**{snake_case(name): c for name, c in CLASSES.items()}, **CLASSES, "acc": Accuracy,
         "mse": MeanSquaredError, "mae": MeanAbsoluteError, "mape": MeanAbsolutePercentageError,
         "msle": MeanSquaredLogarithmicError, "bce": BinaryCrossentropy, "kld": KLDivergence,
         "rmse": RootMeanSquaredError, "logcosh": LogCoshError, "log_cosh": LogCoshError,
         "io_u": IoU, "binary_io_u": BinaryIoU, "mean_io_u": MeanIoU, "one_hot_io_u": OneHotIoU,
         "one_hot_mean_io_u": OneHotMeanIoU}
NAMES.update({f.__name__: c for f, c in ((top_k_categorical_accuracy, TopKCategoricalAccuracy),
                                         (sparse_top_k_categorical_accuracy, SparseTopKCategoricalAccuracy))})


def serialize(metric):
    """The metric as its name (a function) or as a dictionary of its class name and configuration."""
    if isinstance(metric, Metric):
        return {"class_name": get_registered_name(type(metric)), "config": metric.get_config()}
    return get_registered_name(metric)


def deserialize(config, custom_objects=None):
    """The metric that `serialize` described, without its state. custom_objects: dict, name -> class or function."""
    with CustomObjectScope(custom_objects):
        return get(config)


def get(identifier):
    """A metric from its name ("mse", "CategoricalAccuracy"), its configuration, or itself.

    Functions ``fn(y_true, y_pred)`` are returned as they are.

    Raises
    ------
    ValueError
        For unknown names; the message proposes the nearest.
    TypeError
        For what can be no metric.
    """
    return find_object("metric", identifier, Metric, CLASSES, NAMES)
