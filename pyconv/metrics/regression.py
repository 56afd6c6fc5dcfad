"""How far numbers are from the truth, and how much of their variation is explained."""

from __future__ import annotations

from .. import losses, ops
from ..config import epsilon
from ..losses import as_float, match_ranks
from ..ops.base import operation
from .metric import Mean, MeanMetricWrapper, Metric

__all__ = ["ConcordanceCorrelation", "CosineSimilarity", "LogCoshError", "MeanAbsoluteError",
           "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError",
           "PearsonCorrelation", "R2Score", "RootMeanSquaredError", "concordance_correlation",
           "cosine_similarity", "pearson_correlation"]


def _pair(name, y_true, y_pred):
    y_pred = as_float(y_pred)
    y_true, y_pred = match_ranks(as_float(y_true, str(y_pred.dtype)), y_pred)
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ValueError(f"{name}: labels of shape {tuple(y_true.shape)} do not fit predictions of shape "
                         f"{tuple(y_pred.shape)}; they must be the same.")
    return y_true, y_pred


@operation
def cosine_similarity(y_true, y_pred, axis=-1):
    """The cosine of the angle between `y_true` and `y_pred` along `axis`: minus the loss of the same name.

    Equal shapes; result: the shape without `axis`.
    """
    return -losses.cosine_similarity(y_true, y_pred, axis)


def _centred(x, axis):
    return x - ops.mean(x, axis, keepdims=True)


@operation
def pearson_correlation(y_true, y_pred, axis=-1):
    """``covariance / (deviation * deviation)`` along `axis`, from -1 to 1; NaN for constants (Pearson, 1895).

    Equal shapes; result: the shape without `axis`. Raises ValueError for shapes that differ.
    """
    a, b = (_centred(y, axis) for y in _pair("pearson_correlation", y_true, y_pred))
    roots = [ops.sqrt(ops.mean(ops.square(x), axis)) for x in (a, b)]
    return ops.mean(a * b, axis) / (roots[0] * roots[1])


@operation
def concordance_correlation(y_true, y_pred, axis=-1):
    """``2 * covariance / (variance + variance + (mean - mean)**2 + epsilon)`` along `axis`: 1 for equal
    numbers, less than the correlation where scale or mean differ (Lin, *A concordance correlation
    coefficient*, 1989).

    Equal shapes; result: the shape without `axis`. Raises ValueError for shapes that differ.
    """
    y_true, y_pred = _pair("concordance_correlation", y_true, y_pred)
    a, b = _centred(y_true, axis), _centred(y_pred, axis)
    apart = ops.square(ops.mean(y_true, axis) - ops.mean(y_pred, axis))
    norm = ops.mean(ops.square(a), axis) + ops.mean(ops.square(b), axis) + apart
    return 2.0 * ops.mean(a * b, axis) / (norm + epsilon())


# ---- as metrics

class MeanSquaredError(MeanMetricWrapper):
    """The mean of `pyconv.losses.mean_squared_error`."""

    direction = "down"

    def __init__(self, name="mean_squared_error", dtype=None):
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of `pyconv.losses.mean_absolute_error`."""

    direction = "down"

    def __init__(self, name="mean_absolute_error", dtype=None):
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """The mean of `pyconv.losses.mean_absolute_percentage_error`."""

    direction = "down"

    def __init__(self, name="mean_absolute_percentage_error", dtype=None):
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """The mean of `pyconv.losses.mean_squared_logarithmic_error`."""

    direction = "down"

    def __init__(self, name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class LogCoshError(MeanMetricWrapper):
    """The mean of `pyconv.losses.log_cosh`."""

    direction = "down"

    def __init__(self, name="logcosh", dtype=None):
        super().__init__(losses.log_cosh, name, dtype)


class _Along(MeanMetricWrapper):

    direction = "up"
    def __init__(self, fn, name, dtype, axis):
        super().__init__(fn, name, dtype, axis=axis)


class CosineSimilarity(_Along):
    """The mean of `cosine_similarity` along `axis` (default the last)."""

    def __init__(self, name="cosine_similarity", dtype=None, axis=-1):
        super().__init__(cosine_similarity, name, dtype, axis)


class PearsonCorrelation(_Along):
    """The mean of `pearson_correlation` along `axis` (default the last)."""

    def __init__(self, name="pearson_correlation", dtype=None, axis=-1):
        super().__init__(pearson_correlation, name, dtype, axis)


class ConcordanceCorrelation(_Along):
    """The mean of `concordance_correlation` along `axis` (default the last)."""

    def __init__(self, name="concordance_correlation", dtype=None, axis=-1):
        super().__init__(concordance_correlation, name, dtype, axis)


class RootMeanSquaredError(Mean):
    """The root of the mean of ``(y_pred - y_true)**2`` over all that was seen. Equal shapes."""

    direction = "down"

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = _pair("root_mean_squared_error", y_true, y_pred)
        super().update_state(ops.square(y_pred - y_true), sample_weight)

    def result(self):
        return ops.sqrt(super().result())


class R2Score(Metric):
    """The part of the variance that predictions explain: ``1 - sum((y - p)**2) / sum((y - mean(y))**2)`` for
    each output; 1 is perfect, 0 as good as the mean.

    update_state(y_true, y_pred, sample_weight=None): (N, outputs) twice, and (N,).

    Parameters
    ----------
    class_aggregation: str or None
        "uniform_average" (default): the mean over outputs. "variance_weighted_average": weighted by the
        outputs' variances. None: one score per output.
    num_regressors: int
        With k above 0 the adjusted score ``1 - (1 - score) * (n - 1) / (n - k - 1)`` of n elements, where
        n - 1 > k. Default 0.

    Raises
    ------
    ValueError
        For unknown aggregations, negative numbers, and inputs without exactly two axes.
    """

    direction = "up"

    def __init__(self, class_aggregation="uniform_average", num_regressors=0, name="r2_score", dtype=None):
        super().__init__(dtype, name)
        known = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in known:
            raise ValueError(f"class_aggregation={class_aggregation!r} is not known; expected one of "
                             f"{', '.join(map(repr, known))}.")
        if isinstance(num_regressors, bool) or not isinstance(num_regressors, int) or num_regressors < 0:
            raise ValueError(f"num_regressors={num_regressors!r} must be an int of at least 0.")
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.num_samples = self.add_variable(name="num_samples")
        self._sums = None

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = _pair("R2Score", as_float(y_true, self.dtype), as_float(y_pred, self.dtype))
        if len(y_pred.shape) != 2:
            raise ValueError(f"R2Score needs labels and predictions of shape (samples, outputs), got "
                             f"{tuple(y_pred.shape)}.")
        if self._sums is None:
            self._sums = [self.add_variable((y_pred.shape[1],), name=name)
                          for name in ("squared_sum", "sum", "residual", "count")]
        weight = as_float(1.0 if sample_weight is None else sample_weight, self.dtype)
        if len(weight.shape) == 1:
            weight = ops.expand_dims(weight, 1)
        weight = ops.broadcast_to(weight, y_true.shape)
        weighted = y_true * weight
        news = (y_true * weighted, weighted, ops.square(y_true - y_pred) * weight, weight)
        for variable, new in zip(self._sums, news, strict=True):
            variable.assign(variable.value + ops.sum(new, 0))
        self.num_samples.assign(self.num_samples.value + float(y_true.shape[0] * y_true.shape[1]))

    def result(self):
        if self._sums is None:
            raise ValueError("R2Score has seen no data yet, so it has no result.")
        squares, total, residual, count = (v.value for v in self._sums)
        spread = squares - total * (total / count)
        still = ops.equal(spread, 0.0)
        scores = ops.where(still, 0.0, 1.0 - residual / ops.where(still, 1.0, spread))
        if self.class_aggregation == "uniform_average":
            scores = ops.mean(scores)
        elif self.class_aggregation is not None:
            scores = ops.sum(spread * scores) / ops.sum(spread)
        if self.num_regressors:
            n, k = self.num_samples.value, float(self.num_regressors)
            enough = ops.greater(n - 1.0, k)
            adjusted = 1.0 - (1.0 - scores) * (n - 1.0) / ops.where(enough, n - k - 1.0, 1.0)
            scores = ops.where(enough, adjusted, scores)
        return scores

    def get_config(self):
        return {**super().get_config(), "class_aggregation": self.class_aggregation,
                "num_regressors": self.num_regressors}
