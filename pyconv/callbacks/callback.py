"""The hooks of a training loop, and the list that calls them."""

from __future__ import annotations

__all__ = ["Callback", "CallbackList", "LambdaCallback", "HOOKS"]

# Every hook, and the older name that stands in for it if only that one is overridden.
HOOKS = {"on_train_begin": None, "on_train_end": None, "on_epoch_begin": None, "on_epoch_end": None,
         "on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end",
         "on_test_begin": None, "on_test_end": None, "on_test_batch_begin": None, "on_test_batch_end": None,
         "on_predict_begin": None, "on_predict_end": None, "on_predict_batch_begin": None,
         "on_predict_batch_end": None}


class Callback:
    """Base class: override the hooks that matter; the others cost nothing.

    Each hook is given `logs`, a dictionary of Python floats (the loss and the metrics so far; empty at the
    beginnings), and before it the number of the epoch or batch, from 0, where there is one. `logs` of
    `on_predict_batch_end` holds the predictions of the batch under "outputs".

    Attributes
    ----------
    model: Model
        Set ``model.stop_training = True`` to end training after this batch.
    params: dict
        "verbose", "epochs" and "steps" (batches per epoch; None if not known).
    """

    def __init__(self):
        self.params: dict = {}
        self._model = None

    @property
    def model(self):
        return self.__dict__.get("_model")

    def set_params(self, params):
        self.params = params

    def set_model(self, model):
        self._model = model

    def on_train_begin(self, logs=None):
        """Before the first epoch."""

    def on_train_end(self, logs=None):
        """After the last epoch; also when an exception, such as Ctrl-C, ends the training.

        logs: the last epoch's.
        """

    def on_epoch_begin(self, epoch, logs=None):
        """Before the first batch of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        """After the validation of an epoch.

        logs: the metrics of the epoch, those of the validation as "val_...".
        """

    def on_train_batch_begin(self, batch, logs=None):
        """Before a training step."""

    def on_train_batch_end(self, batch, logs=None):
        """After a training step. logs: the means over the epoch so far."""

    def on_batch_begin(self, batch, logs=None):
        """Another name for `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """Another name for `on_train_batch_end`."""

    def on_test_begin(self, logs=None):
        """Before an evaluation, also that of validation data during training."""

    def on_test_end(self, logs=None):
        """After an evaluation."""

    def on_test_batch_begin(self, batch, logs=None):
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch, logs=None):
        """After a batch of an evaluation."""

    def on_predict_begin(self, logs=None):
        """Before a prediction."""

    def on_predict_end(self, logs=None):
        """After a prediction."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """After a batch of a prediction."""


def _overridden(callback, name):
    """The callback's own hook, or None if it is the empty one of the base class."""
    if name in getattr(callback, "__dict__", {}):
        return callback.__dict__[name]
    own, base = getattr(type(callback), name, None), getattr(Callback, name)
    return None if own is None or own is base else getattr(callback, name)


class CallbackList:
    """Callbacks called in order; only the hooks that they override.

    Parameters
    ----------
    callbacks: Callback, or a list of them, optional
    add_history, add_progbar: bool
        Whether to add a `History` and a `ProgbarLogger` if there is none yet.
    model: Model, optional
    params: "verbose", "epochs", "steps", ...
        Given to each callback as a dictionary.

    Raises
    ------
    TypeError
        If something in the list is no callback.
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        from .history import History
        from .progress import ProgbarLogger
        if callbacks is None:
            callbacks = []
        elif not isinstance(callbacks, (list, tuple)):
            callbacks = [callbacks]
        self.callbacks = []
        for callback in callbacks:
            self.callbacks += callback if isinstance(callback, (list, tuple)) else [callback]
        for callback in self.callbacks:
            if isinstance(callback, type) or not (hasattr(callback, "set_model")
                                                  and hasattr(callback, "set_params")):
                hint = f" Give an instance: {callback.__name__}()." if isinstance(callback, type) else ""
                raise TypeError(f"callbacks must hold pyconv.callbacks.Callback objects, got "
                                f"{callback!r}.{hint}")
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        self.history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if add_history and self.history is None:
            self.history = History()
            self.callbacks.append(self.history)
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)
        self.params = params
        self.hooks = {}
        for name, alias in HOOKS.items():
            found = [_overridden(c, name) or (alias and _overridden(c, alias)) for c in self.callbacks]
            self.hooks[name] = tuple(hook for hook in found if hook)

    def __iter__(self):
        return iter(self.callbacks)

    def call(self, name, *args):
        """Call hook `name` of all callbacks that override it."""
        for hook in self.hooks[name]:
            hook(*args)

    def set_params(self, params):
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model):
        for callback in self.callbacks:
            callback.set_model(model)


def _hook_of_list(name):
    def method(self, *args, **kwargs):
        for hook in self.hooks[name]:
            hook(*args, **kwargs)
    method.__name__, method.__doc__ = name, f"Call `{name}` of all callbacks that override it."
    return method


for _name in HOOKS:
    setattr(CallbackList, _name, _hook_of_list(_name))


class LambdaCallback(Callback):
    """A callback from functions, one for each hook given by name.

    ``LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))``

    Raises
    ------
    TypeError
        For a name that is no hook, or a value that cannot be called.
    """

    def __init__(self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None,
                 on_train_batch_begin=None, on_train_batch_end=None, **kwargs):
        super().__init__()
        given = {"on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end,
                 "on_train_begin": on_train_begin,
                 "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin,
                 "on_train_batch_end": on_train_batch_end, **kwargs}
        known = {*HOOKS, *(alias for alias in HOOKS.values() if alias)}
        for name, function in given.items():
            if name not in known:
                raise TypeError(f"LambdaCallback has no hook {name!r}; known: {', '.join(sorted(known))}.")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}.")
            setattr(self, name, function)
