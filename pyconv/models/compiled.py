"""The loss and the metrics of a compiled model: what the user named, matched to the model's outputs."""

from __future__ import annotations

from .. import losses as losses_module
from .. import metrics as metrics_module
from ..graph import flatten, is_nest

__all__ = ["CompiledLoss", "CompiledMetrics", "output_names"]


def output_names(y_pred, names=None) -> list:
    """The names of the outputs: a dictionary's keys, `names` if there are as many, or output_1, ..."""
    count = len(flatten(y_pred))
    if isinstance(y_pred, dict) and len(y_pred) == count:
        return [str(key) for key in y_pred]
    if names and len(names) == count:
        return list(names)
    return [f"output_{i + 1}" for i in range(count)]


def entries_of(value) -> list:
    """The leaves of a nest of names and objects; a configuration (with "class_name") is a leaf."""
    if isinstance(value, dict):
        return [value] if "class_name" in value else [e for item in value.values() for e in entries_of(item)]
    if isinstance(value, (list, tuple)):
        return [e for item in value for e in entries_of(item)]
    return [] if value is None else [value]


def align(value, names, what, spread=False) -> list:
    """`value` as a list with one entry per output.

    A dictionary is matched by name (outputs that it lacks get None), a list by position. With `spread` a
    single value counts for every output.
    """
    count = len(names)
    if value is None:
        return [None] * count
    if isinstance(value, dict) and "class_name" not in value:
        unknown = [key for key in value if key not in names]
        if unknown:
            raise ValueError(f"{what} has the name {unknown[0]!r}, but the model's outputs are called "
                             f"{', '.join(map(repr, names))}.")
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != count:
            raise ValueError(f"{what} has {len(value)} entries, but the model has {count} "
                             f"output{'s' if count > 1 else ''} ({', '.join(names)}).")
        return list(value)
    if count == 1 or spread:
        return [value] * count
    raise ValueError(f"{what} is one array, but the model has {count} outputs ({', '.join(names)}); give a "
                     f"list or a dictionary.")


def labels_of(y, names) -> list:
    """One entry of labels per output."""
    if is_nest(y) and not isinstance(y, dict) and len(flatten(y)) == len(names):
        return flatten(y)
    return align(y, names, "y")


def _kind(y_true, y_pred) -> str:
    """"binary", "sparse" or "categorical", from the shapes of labels and predictions, by Keras's rule."""
    labels, shape = tuple(y_true.shape), tuple(y_pred.shape)
    if len(shape) < 2 or shape[-1] == 1:
        return "binary"
    return "sparse" if len(labels) < len(shape) or labels[-1] == 1 else "categorical"


class CompiledLoss:
    """The weighted sum of the losses of all outputs.

    Parameters
    ----------
    loss: name, Loss, function, or a list or dictionary of these
    loss_weights: list or dictionary of float, optional
    names: list of str, optional
        The names of the model's outputs.
    """

    def __init__(self, loss, loss_weights=None, names=None):
        self.loss, self.loss_weights, self.names = loss, loss_weights, names
        for entry in entries_of(loss):
            if entry not in ("crossentropy", "ce"):
                losses_module.get(entry)            # an unknown name is an error of compile(), not of fit()
        for weight in flatten(loss_weights):
            if isinstance(weight, bool) or not isinstance(weight, (int, float)):
                raise TypeError(f"loss_weights must hold numbers, got {weight!r}.")
        self.trackers = None        # a Mean per output, if there are several losses

    def _resolve(self, entry, y_true, y_pred):
        if entry is None:
            return None
        if entry in ("crossentropy", "ce"):
            entry = {"binary": "binary_crossentropy", "sparse": "sparse_categorical_crossentropy",
                     "categorical": "categorical_crossentropy"}[_kind(y_true, y_pred)]
        loss = losses_module.get(entry)
        if isinstance(loss, losses_module.Loss):
            return loss
        return losses_module.LossFunctionWrapper(loss, name=entry if isinstance(entry, str) else None)

    def __call__(self, y, y_pred, sample_weight=None):
        """The total, or None if no output has a loss; the trackers are updated."""
        names = output_names(y_pred, self.names)
        entries = align(self.loss, names, "loss", spread=True)
        if y is None and any(e is not None for e in entries):
            raise ValueError("y is missing: the loss compares the model's output with labels. "
                             "Give y, or batches (x, y).")
        active = [name for name, e in zip(names, entries, strict=True) if e is not None]
        if len(flatten(y)) == len(active) < len(names) and not isinstance(y, dict):
            labels = iter(flatten(y))               # labels only for the outputs that have a loss
            truths = [None if e is None else next(labels) for e in entries]
        else:
            truths = labels_of(y, names)
        factors = align(self.loss_weights, names, "loss_weights")
        weights = align(sample_weight, names, "sample_weight", spread=True)
        if self.trackers is None:
            self.trackers = {n: metrics_module.Mean(name=f"{n}_loss")
                             for n in active} if len(active) > 1 else {}
        total = None
        for name, entry, y_true, pred, factor, weight in zip(names, entries, truths, flatten(y_pred), factors,
                                                             weights, strict=True):
            if entry is None:
                continue
            if y_true is None:
                raise ValueError(f"y has no labels for the output {name!r}, which has a loss.")
            value = self._resolve(entry, y_true, pred)(y_true, pred, weight)
            if tuple(value.shape) != ():
                raise ValueError(f"The loss of output {name!r} has shape {tuple(value.shape)}, but a model "
                                 f"needs a scalar: use a reduction other than 'none'.")
            if name in self.trackers:
                self.trackers[name].update_state(value, sample_weight=float(pred.shape[0] if pred.shape
                                                                            else 1))
            if factor is not None:
                value = value * float(factor)
            total = value if total is None else total + value
        return total

    @property
    def metrics(self) -> list:
        return list((self.trackers or {}).values())


class CompiledMetrics:
    """The metrics of all outputs, made when the shapes of labels and predictions are first seen.

    Parameters
    ----------
    metrics, weighted_metrics: list, or a list or dictionary with such lists, one per output
    names: list of str, optional
    """

    def __init__(self, metrics=None, weighted_metrics=None, names=None):
        for what, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if value is not None and not isinstance(value, (list, tuple, dict)):
                raise TypeError(f"{what} must be a list, or a dictionary by output, got {value!r}; write "
                                f"[{value!r}].")
            for entry in entries_of(value):
                if entry not in ("accuracy", "acc", "crossentropy", "ce"):
                    metrics_module.get(entry)       # an unknown name is an error of compile(), not of fit()
        self.given, self.names = (metrics, weighted_metrics), names
        self.entries = None         # (name in the logs, metric, output, is it weighted)

    @property
    def metrics(self) -> list:
        return [metric for _, metric, _, _ in self.entries or ()]

    def _resolve(self, entry, y_true, y_pred):
        if entry in ("accuracy", "acc"):
            cls = {"binary": metrics_module.BinaryAccuracy,
                   "sparse": metrics_module.SparseCategoricalAccuracy,
                   "categorical": metrics_module.CategoricalAccuracy}[_kind(y_true, y_pred)]
            return cls(name=entry)
        if entry in ("crossentropy", "ce"):
            cls = {"binary": metrics_module.BinaryCrossentropy,
                   "sparse": metrics_module.SparseCategoricalCrossentropy,
                   "categorical": metrics_module.CategoricalCrossentropy}[_kind(y_true, y_pred)]
            return cls(name=entry)
        metric = metrics_module.get(entry)
        if not isinstance(metric, metrics_module.Metric):
            return metrics_module.MeanMetricWrapper(metric)
        if isinstance(entry, str):
            metric.name = entry
        return metric

    def _build(self, names, truths, preds):
        self.entries, used = [], set()
        for given, weighted in zip(self.given, (False, True), strict=True):
            what = "weighted_metrics" if weighted else "metrics"
            if len(names) == 1:
                per_output = [entries_of(given)]
            elif given and isinstance(given, (list, tuple)) and not any(is_nest(e) for e in given) \
                    and len(given) != len(names):
                raise ValueError(f"{what} has {len(given)} entries for {len(names)} outputs "
                                 f"({', '.join(names)}); give a list with one list per output, or a "
                                 f"dictionary by output.")
            else:
                per_output = [entries_of(e) for e in align(given or None, names, what)]
            for index, entries in enumerate(per_output):
                prefix = f"{names[index]}_" if len(names) > 1 else ""
                for entry in entries:
                    if truths[index] is None:
                        raise ValueError(f"y has no labels for the output {names[index]!r}, which has "
                                         f"metrics.")
                    metric = self._resolve(entry, truths[index], preds[index])
                    name, number = prefix + metric.name, 0
                    if weighted and name in used:
                        name = f"{prefix}weighted_{metric.name}"
                    base = name
                    while name in used:
                        number += 1
                        name = f"{base}_{number}"
                    used.add(name)
                    self.entries.append((name, metric, index, weighted))

    def update_state(self, y, y_pred, sample_weight=None):
        if not any(self.given):
            self.entries = []
            return
        names, preds = output_names(y_pred, self.names), flatten(y_pred)
        truths = labels_of(y, names)
        weights = align(sample_weight, names, "sample_weight", spread=True)
        if self.entries is None:
            try:
                self._build(names, truths, preds)
            except Exception:
                self.entries = None
                raise
        for _, metric, index, weighted in self.entries:
            if weighted and weights[index] is not None:
                metric.update_state(truths[index], preds[index], sample_weight=weights[index])
            else:
                metric.update_state(truths[index], preds[index])

    def results(self) -> dict:
        return {name: metric.result() for name, metric, _, _ in self.entries or ()}
