"""Training, evaluation and prediction of a model: each step is one compiled program."""

from __future__ import annotations

import warnings

import numpy as np

from .. import ops, optimizers
from ..backends.residence import gathered
from ..callbacks import CallbackList
from ..dtype_policies import has_float16
from ..graph import flatten, gradients, is_float, map_structure, pack, placeholder, trace
from ..layers.tracking import structure_version
from ..metrics import Mean
from ..ops.function import Function
from .compiled import CompiledLoss, CompiledMetrics
from .data import (ArrayData, BatchData, as_arrays, check_count, check_lengths, is_array_like, make_data,
                   names_of, split, unpack_x_y_sample_weight, weigh)
from .interrupts import WholeSteps
from .plausible import warn_of_last_activation
from .predictor import Predictor

__all__ = ["Trainer"]


class _Compiled:
    """What `compile` made.

    An object of its own, so that a model does not take metrics' variables for weights.
    """

    def __init__(self, loss, loss_weights, metrics, weighted_metrics, names):
        self.config = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics,
                       "weighted_metrics": weighted_metrics}
        self.loss = None if loss is None else CompiledLoss(loss, loss_weights, names)
        self.metrics = CompiledMetrics(metrics, weighted_metrics, names)
        self.tracker = Mean(name="loss")


class _Functions:
    """The traced steps of a model, made again when a layer is frozen or the model is compiled anew."""

    def __init__(self, model, version):
        self.version = version
        self.train = Function(model._run_train_step, training=True)
        self.test = Function(model._run_test_step, training=False)
        self.predict = Function(lambda x: model.predict_step((x, None, None)), training=False)
        self.fast: dict = {}        # (shape, dtype, backend) of a single array -> program of a prediction


class Trainer(Predictor):
    """The part of a model that trains: `compile`, `fit`, `evaluate`, and the steps they are made of.

    `train_step`, `test_step`, `predict_step`, `compute_loss` and `compute_metrics` may be overridden. They
    are traced: their arguments are symbolic tensors, and what they do is compiled into one program.
    """

    optimizer = None
    history = None
    loss = None                 # as given to `compile`
    stop_training = False
    _compiled = None
    _function_holder = None

    # ---- compile

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None,
                run_eagerly=False, steps_per_execution=1, jit_compile="auto", auto_scale_loss=True, **unknown):
        """Choose how the model is trained and judged.

        Parameters
        ----------
        optimizer: str or Optimizer
            Default "rmsprop"; see `pyconv.optimizers`.
        loss: str, Loss or function, or a list or dictionary of these by output
            A function gets (y_true, y_pred) and gives one value per sample.
        loss_weights: list or dictionary of float, optional
            Factors of the outputs' losses; default 1.
        metrics, weighted_metrics: list, optional
            Names, Metric objects or functions of (y_true, y_pred); for several outputs a list of lists, or a
            dictionary by output. "accuracy" is the one that fits the shapes of labels and predictions. Sample
            weights only count in `weighted_metrics`.

        auto_scale_loss: bool
            Whether the optimizer of a model with the policy "mixed_float16", or a map with it, is wrapped in a
            `pyconv.optimizers.LossScaleOptimizer`; default True.

        `run_eagerly`, `steps_per_execution` and `jit_compile` are there for code written for Keras: a step is always
        one compiled program, one call each. Only ``run_eagerly=True`` is an error.

        Raises
        ------
        ValueError, TypeError
            For names that are not known and arguments of the wrong kind.
        """
        if unknown:
            raise TypeError(f"compile() has no argument {next(iter(unknown))!r}; it takes optimizer, loss, "
                            "loss_weights, metrics and weighted_metrics.")
        if run_eagerly:
            raise ValueError("compile: run_eagerly=True is not possible: a step is always one compiled program. To "
                             "look at values, call the model or its layers on arrays.")
        check_count("steps_per_execution", steps_per_execution, 1, optional=False)
        self.optimizer, self.loss = optimizers.get(optimizer), loss
        if auto_scale_loss and self.optimizer is not None and has_float16(self.dtype_policy) \
                and not isinstance(self.optimizer, optimizers.LossScaleOptimizer):
            self.optimizer = optimizers.LossScaleOptimizer(self.optimizer, name="loss_scale_optimizer")
        self._compiled = _Compiled(loss, loss_weights, metrics, weighted_metrics,
                                   getattr(self, "output_names", None))
        if loss is not None and not isinstance(loss, (list, tuple, dict)):
            warn_of_last_activation(self, loss)
        self._function_holder = None
        self.stop_training = False

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._compiled is not None

    def get_compile_config(self) -> dict | None:
        """The arguments of `compile` as plain values; None before it was called."""
        if not self.compiled:
            return None
        from .. import losses, metrics

        def plain(value, serialize):
            return map_structure(lambda v: v if isinstance(v, (str, int, float)) else serialize(v), value)
        config = self._compiled.config
        return {"optimizer": optimizers.serialize(self.optimizer),
                "loss": plain(config["loss"], losses.serialize),
                "loss_weights": config["loss_weights"], "metrics": plain(config["metrics"],
                                                                         metrics.serialize),
                "weighted_metrics": plain(config["weighted_metrics"], metrics.serialize)}

    def _need_compile(self, method):
        if not self.compiled:
            raise ValueError(f"The model {self.name!r} must be compiled before {method}(): call "
                             f"model.compile(optimizer, loss, metrics) first.")
        if method in ("fit", "train_on_batch") and self.optimizer is None \
                and type(self).train_step is Trainer.train_step:        # one's own may have optimizers of its own
            raise ValueError("The model was compiled without an optimizer, so it can be evaluated but not "
                             "trained.")

    # ---- metrics

    @property
    def metrics(self) -> list:
        """The metrics: the loss, those of the losses of several outputs, then those asked for."""
        compiled = self._compiled
        if compiled is None:
            return []
        return [compiled.tracker, *(compiled.loss.metrics if compiled.loss else ()),
                *compiled.metrics.metrics]

    @property
    def metrics_names(self) -> list:
        """The names under which `evaluate` and `train_on_batch` give their numbers, in that order.

        Those of `metrics` are known once the model has seen labels.
        """
        compiled = self._compiled
        if compiled is None:
            return []
        losses = [m.name for m in compiled.loss.metrics] if compiled.loss else []
        return ["loss", *losses, *(name for name, _, _, _ in compiled.metrics.entries or ())]

    def reset_metrics(self):
        """Forget the batches that the metrics have seen."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict:
        """name -> the metric's value so far."""
        compiled = self._compiled
        losses = compiled.loss.metrics if compiled.loss else ()
        return {"loss": compiled.tracker.result(), **{m.name: m.result() for m in losses},
                **compiled.metrics.results()}

    # ---- the steps, in symbolic tensors

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """What training minimizes: the compiled loss and the penalties of layers and regularizers.

        Raises
        ------
        ValueError
            If there is none of these.
        """
        total = None
        if self._compiled is not None and self._compiled.loss is not None:
            total = self._compiled.loss(y, y_pred, sample_weight)
        for penalty in self.losses:
            total = penalty if total is None else total + ops.cast(penalty, str(total.dtype))
        if total is None:
            raise ValueError("There is no loss: give `loss` to compile(), or let a layer call add_loss().")
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        """Take a batch into the metrics; returns name -> value so far, the loss included."""
        self._compiled.metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def train_step(self, data) -> dict:
        """One step of training, traced.

        data: (x, y, sample_weight), the last two may be None. Gives the logs.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
        self._compiled.tracker.update_state(loss, sample_weight=_batch_size(x))
        variables = self.trainable_variables
        if not variables:
            raise ValueError(f"The model {self.name!r} has no trainable weights, so there is nothing to "
                             f"train.")
        scaled = self.optimizer.scale_loss(loss)
        self.optimizer.apply(gradients(scaled, [v.read() for v in variables]), variables)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data) -> dict:
        """One step of evaluation, traced. data: (x, y, sample_weight). Gives the logs."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        if self._compiled.loss is not None or self.losses:
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
            self._compiled.tracker.update_state(loss, sample_weight=_batch_size(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def _run_train_step(self, x, y, sample_weight):
        dtype = getattr(self, "variable_dtype", None)       # of a mixed policy: a half has no room for all inputs
        data = tuple(_checked(nest, name, dtype)
                     for nest, name in ((x, "x"), (y, "y"), (sample_weight, "sample_weight")))
        if type(self).train_step is not Trainer.train_step:
            self._build_by(self.train_step, data)
        return self.train_step(data)

    def _run_test_step(self, x, y, sample_weight):
        dtype = getattr(self, "variable_dtype", None)
        return self.test_step((x, *(map_structure(lambda t: _in_type(t, dtype), nest) for nest in (y, sample_weight))))

    def _build_by(self, step, data):
        """Trace a step for nothing if there are layers without weights yet: it may ask for weights before they are."""
        if all(layer.built for layer in self._flatten_layers()):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                trace(lambda *tensors: step(pack(data, tensors)), [t.spec for t in flatten(data)], training=True)
            except Exception:           # the step itself will raise it, unless it came from weights that were missing
                pass

    def _functions(self, x=None) -> _Functions:
        """The current functions. x: inputs, for a model that finds its shapes from them."""
        if x is not None and not self.built:
            # Built before it is traced: building renews the functions.
            dtype = getattr(self, "variable_dtype", None)
            self._ensure_built((map_structure(lambda a: placeholder(
                (1, *a.shape[1:]), dtype if dtype and is_float(a.dtype.name) else a.dtype), x),), {})
        version = structure_version()
        holder = self._function_holder
        if holder is None or holder.version != version:
            holder = self._function_holder = _Functions(self, version)
        return holder

    # ---- fit

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None,
            validation_split=0.0,
            validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0,
            steps_per_epoch=None, validation_steps=None, validation_batch_size=None, validation_freq=1):
        """Train the model.

        Ctrl-C ends the training after the step that is running: the weights are whole, and `model.history`
        holds the epochs so far.

        Parameters
        ----------
        x: array (samples, ...), or a list, tuple or dictionary of arrays, or an iterable of batches
            Batches are (x, y) or (x, y, sample_weight). uint8 images may stay what they are.
        y: array or nest of arrays
            Not with an iterable.
        batch_size: int
            Samples per step; default 32. Not with an iterable.
        epochs: int
            The number of the last epoch; default 1.
        verbose: "auto", 0, 1 or 2
            0: silent. 1 and "auto": a progress bar. 2: a line per epoch.
        callbacks: list of Callback
        validation_split: float
            This fraction of the samples, the last ones before shuffling, is used for validation.
        validation_data: (x, y) or (x, y, sample_weight), or an iterable of batches
            Evaluated after each epoch.
        shuffle: bool
            Whether each epoch has a new order (default); not with an iterable. `pyconv.utils.set_random_seed`
            decides it.
        class_weight: dict
            label -> weight of its samples in the loss; 1 for the others.
        sample_weight: array (samples,)
            Weights in the loss, multiplied with those of the classes.
        initial_epoch: int
            Default 0.
        steps_per_epoch: int, optional
            Batches per epoch; default all. Arrays and iterables that can be read again go on where the last
            epoch ended.
        validation_steps: int, optional
        validation_batch_size: int, optional
            Default `batch_size`.
        validation_freq: int or list of int
            Validate after every so many epochs, or after the epochs in the list (counted from 1).

        Returns
        -------
        History
            ``history.history`` is a dictionary name -> list of values per epoch.

        Raises
        ------
        ValueError, TypeError
            For arguments and data that do not fit. If a batch has NaN or infinity in its inputs, or labels
            that are no classes, the step does not take place: weights, optimizer and metrics are as after the
            step before.
        """
        self._need_compile("fit")
        verbose = check_verbose(verbose)
        epochs = check_count("epochs", epochs, 0, optional=False)
        initial_epoch = check_count("initial_epoch", initial_epoch, 0, optional=False)
        if epochs < initial_epoch:
            raise ValueError(f"epochs={epochs} is the number of the last epoch, so it must be at least "
                             f"initial_epoch={initial_epoch}.")
        if not isinstance(shuffle, (bool, np.bool_)):
            raise ValueError(f"shuffle={shuffle!r} must be True or False.")
        batch_size = check_count("batch_size", batch_size)
        steps_per_epoch = check_count("steps_per_epoch", steps_per_epoch)
        validation_batch_size = check_count("validation_batch_size", validation_batch_size)
        validation_steps = check_count("validation_steps", validation_steps)
        should_validate = check_freq(validation_freq)
        if isinstance(validation_split, bool) or not isinstance(validation_split, (int, float, np.floating)) \
                or not 0 <= validation_split < 1:
            raise ValueError(f"validation_split={validation_split!r} must be a fraction from 0 to below 1.")
        if validation_split and validation_data is None:
            probe = make_data(x, y, sample_weight, batch_size)
            if isinstance(probe, BatchData):
                raise ValueError("validation_split needs arrays; x is an iterable of batches: give "
                                 "validation_data.")
            (x, y, sample_weight), validation_data = split(*probe.args, validation_split)
        data = make_data(x, y, sample_weight, batch_size, bool(shuffle), class_weight, steps_per_epoch)
        validation = None
        if validation_data is not None:
            of_arrays = isinstance(data, ArrayData)
            validation = _validation_data(validation_data, validation_batch_size
                                          or (batch_size if of_arrays else None), validation_steps)
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(callbacks, add_history=True, add_progbar=verbose != 0, model=self,
                                     verbose=verbose, epochs=epochs, steps=data.num_batches)
        self._train(data, callbacks, range(initial_epoch, epochs), validation, should_validate)
        return self.history

    def _train(self, data, callbacks, epochs, validation, should_validate):
        guard = WholeSteps()
        run = data.runner(self._functions(_inputs_of(data)).train, guard)
        begin, end = callbacks.hooks["on_train_batch_begin"], callbacks.hooks["on_train_batch_end"]
        self.stop_training = False
        self._initial_epoch, self._initial_batch = epochs.start, 0
        epoch_logs: dict = {}
        with guard:
            try:
                callbacks.call("on_train_begin", {})
                # A callback that brings an earlier run back has said there where that was.
                for epoch in range(self._initial_epoch, epochs.stop):
                    done, self._initial_batch = self._initial_batch, 0
                    self.reset_metrics()
                    callbacks.call("on_epoch_begin", epoch, {})
                    logs = None
                    for step, item in enumerate(data.epoch()):
                        if step < done:
                            continue
                        for hook in begin:
                            hook(step, {})
                        logs = guard.run(run, item)
                        if end:
                            logs = _floats(logs)
                            for hook in end:
                                hook(step, logs)
                        if self.stop_training:
                            break
                    if logs is None and done:   # the earlier run had seen the whole epoch
                        continue
                    if logs is None:            # the data had ended before
                        break
                    epoch_logs = _floats(logs)
                    if validation is not None and should_validate(epoch + 1):
                        results = self._evaluate(validation, callbacks, guard)
                        epoch_logs.update({f"val_{name}": value for name, value in results.items()})
                    callbacks.call("on_epoch_end", epoch, epoch_logs)
                    if self.stop_training or getattr(data, "exhausted", False):
                        break
                if epochs and self.optimizer is not None:
                    self.optimizer.finalize_variable_values(self.trainable_variables)
            finally:
                callbacks.call("on_train_end", epoch_logs)

    # ---- evaluate

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None,
                 callbacks=None, return_dict=False):
        """The loss and the metrics on data that the model is not trained on.

        Arguments as for `fit`; steps: how many batches are used, default all.

        Returns
        -------
        float, list of float, or dict
            The loss, or ``[loss, metric, ...]`` in the order of `metrics_names`; with `return_dict` a
            dictionary by name.
        """
        self._need_compile("evaluate")
        verbose = check_verbose(verbose)
        data = make_data(x, y, sample_weight, batch_size, steps=check_count("steps", steps))
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(callbacks, add_progbar=verbose != 0, model=self, verbose=verbose,
                                     epochs=1, steps=data.num_batches)
        with WholeSteps() as guard:
            logs = self._evaluate(data, callbacks, guard)
        return logs if return_dict else _as_list(logs)

    def _evaluate(self, data, callbacks, guard) -> dict:
        run = data.runner(self._functions(_inputs_of(data)).test, guard)
        begin, end = callbacks.hooks["on_test_batch_begin"], callbacks.hooks["on_test_batch_end"]
        self.reset_metrics()
        callbacks.call("on_test_begin", {})
        logs = None
        for step, item in enumerate(data.epoch()):
            for hook in begin:
                hook(step, {})
            logs = guard.run(run, item)
            if end:
                logs = _floats(logs)
                for hook in end:
                    hook(step, logs)
        if logs is None:
            raise ValueError("The data for the evaluation is empty: the iterable gave no batch.")
        logs = _floats(logs)
        callbacks.call("on_test_end", logs)
        return logs

    # ---- single batches

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step of training. Gives the loss and the metrics of this batch, as they were before the update.

        Returns
        -------
        float, list of float, or dict: as for `evaluate`
        """
        self._need_compile("train_on_batch")
        return self._on_batch("train", x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """One step of evaluation. Gives the loss and the metrics of this batch."""
        self._need_compile("test_on_batch")
        return self._on_batch("test", x, y, sample_weight, None, return_dict)

    def _on_batch(self, kind, x, y, sample_weight, class_weight, return_dict):
        x, y = as_arrays(x, "x", True), as_arrays(y, "y", True)
        sample_weight = as_arrays(sample_weight, "sample_weight", True)
        check_lengths(x, y, sample_weight)
        gathered(flatten((x, y, sample_weight)), f"{kind}_on_batch", mixed=True)
        function = getattr(self._functions(x), kind)
        self.reset_metrics()
        with WholeSteps() as guard:
            logs = _floats(guard.run(lambda args: function(*args, on_host=True),
                                     (x, y, weigh(y, sample_weight, class_weight))))
        return logs if return_dict else _as_list(logs)


# ---- helpers

def check_verbose(verbose):
    """0, 1 or 2 ("auto" is kept)."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose={verbose!r} must be 'auto', 0, 1 or 2.")
    return verbose if verbose == "auto" else int(verbose)


def check_freq(freq):
    """A function that tells whether to validate after an epoch, counted from 1."""
    if isinstance(freq, (list, tuple, set)):
        wanted = {check_count("validation_freq", f, 1, optional=False) for f in freq}
        return lambda epoch: epoch in wanted
    every = check_count("validation_freq", freq, 1, optional=False)
    return lambda epoch: epoch % every == 0


def _validation_data(given, batch_size, steps):
    if isinstance(given, (tuple, list)) and not (isinstance(given, list) and given
                                                 and all(isinstance(b, tuple) for b in given)):
        if not 2 <= len(given) <= 3:
            raise ValueError(f"validation_data must be (x, y) or (x, y, sample_weight), got {len(given)} "
                             f"parts.")
        x, y, sample_weight = unpack_x_y_sample_weight(tuple(given))
        try:
            return make_data(x, y, sample_weight, batch_size, steps=steps)
        except (ValueError, TypeError) as error:
            raise type(error)(f"validation_data: {error}") from None
    if is_array_like(given):
        raise ValueError("validation_data must be (x, y) or (x, y, sample_weight), or an iterable of "
                         "batches, got one array.")
    return make_data(given, steps=steps)


def _inputs_of(data):
    return data.args[0] if isinstance(data, ArrayData) else None


def _batch_size(x) -> float:
    return float(flatten(x)[0].shape[0])


def _in_type(tensor, dtype):
    """Floats as those of the model, as in Keras: losses and metrics of one's own need not know what they were."""
    return tensor if dtype is None or not is_float(tensor.dtype) else ops.cast(tensor, dtype)


def _checked(nest, name, dtype=None):
    """The nest with a check that its floats are finite; they are first cast to `dtype`, if given."""
    names = iter(names_of(nest, name))

    def check(tensor):
        label = next(names)
        if not is_float(tensor.dtype):
            return tensor
        text = (f"{label} has NaN or infinite values. The weights are as they were before this step; look for the "
                "samples with numpy.isfinite.")
        return ops.check_finite(_in_type(tensor, dtype), text)
    return map_structure(check, nest)


def _floats(logs) -> dict:
    if isinstance(logs, dict):
        return {name: value if type(value) in (float, list) else _plain(value) for name, value in logs.items()}
    raise TypeError(f"train_step and test_step must return a dictionary name -> value, got "
                    f"{type(logs).__name__}.")


def _plain(value):
    """A float, or a list of floats where a metric has several values."""
    return np.asarray(value).tolist() if getattr(value, "ndim", 0) else float(value)


def _as_list(logs: dict):
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
