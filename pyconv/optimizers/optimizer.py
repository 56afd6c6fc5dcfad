"""What all optimizers share: the learning rate, the count of steps, clipping, weight decay, constraints,
moving averages of the weights, accumulation of gradients."""

from __future__ import annotations

import inspect
import numbers
import re
import warnings

import numpy as np

from .. import ops
from ..config import floatx
from ..graph import Variable, current_trace
from ..utils.naming import find, snake_case, unique_name
from . import schedules

__all__ = ["Optimizer"]


def check_number(name, value, low, high=None, open_high=False):
    """`value` as a float if it is a number in [low, high] (or [low, high[), otherwise an error."""
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    value = float(value)
    if not value >= low or high is not None and not (value < high if open_high else value <= high):
        limits = f"at least {low}" if high is None else f"from {low} to {'below ' if open_high else ''}{high}"
        raise ValueError(f"{name}={value} must be {limits}.")
    return value


def check_count(name, value, low):
    """`value` as an int if it is one of at least `low`, or None; otherwise an error."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(f"{name}={value!r} must be an int of at least {low}, or None.")
    return int(value)


class Optimizer:
    """Base class. A subclass writes `update`; `slots` names its state variables, one set per weight.

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        A schedule or callable is given the number of steps taken (an int64 scalar, symbolic while a step is
        traced) and returns the rate, written with `pyconv.ops`.
    weight_decay: float, optional
        Before each update a weight `w` loses ``learning_rate * weight_decay * w`` (Loshchilov and Hutter,
        *Decoupled weight decay regularization*, 2019).
    clipnorm: float, optional
        Each gradient is scaled down to this Euclidean norm at most.
    clipvalue: float, optional
        Each element of a gradient is limited to the range from -clipvalue to clipvalue.
    global_clipnorm: float, optional
        All gradients are scaled down together to this norm at most. One of the three may be given.
    use_ema: bool
        Whether a moving average of each weight is kept: after each step ``average = ema_momentum * average
        + (1 - ema_momentum) * w``, the first average being the weight itself (Polyak and Juditsky,
        *Acceleration of stochastic approximation by averaging*, 1992). At the end of `fit` the weights become
        the averages; see also `pyconv.callbacks.SwapEMAWeights`. Default False.
    ema_momentum: float
        From 0 to 1; default 0.99.
    ema_overwrite_frequency: int, optional
        After every so many steps the weights become their averages. Default: only at the end of `fit`.
    loss_scale_factor: float, optional
        `fit` multiplies the loss by this before it differentiates, and gradients are divided by it.
    gradient_accumulation_steps: int, optional
        2 or more: gradients are gathered, and only every so many steps the weights change, by the mean. A
        schedule counts all steps; everything else, such as the correction of Adam's means, the changes.
    name: str, optional

    Attributes
    ----------
    iterations: Variable
        int64 scalar: how many steps have been taken; with `gradient_accumulation_steps` a number, how often
        the weights were changed.
    learning_rate: Variable
        float scalar. Assign a number at any time, also between the steps of a compiled model.
    variables: list of Variable
        The count of steps, `learning_rate` unless it is a schedule, state that is not about one weight, then
        the state in the order of the weights.

    Raises
    ------
    ValueError, TypeError
        For arguments outside of what is said above; the message names the argument.
    """

    slots: tuple = ()                # names of the state variables per weight
    hyperparameters: tuple = ()      # the subclass's own arguments, kept as attributes of the same names

    def __init__(self, learning_rate=0.01, weight_decay=None, clipnorm=None, clipvalue=None,
                 global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
                 loss_scale_factor=None, gradient_accumulation_steps=None, name=None):
        self.name = name or unique_name(snake_case(type(self).__name__))
        given = [n for n, v in (("clipnorm", clipnorm), ("clipvalue", clipvalue),
                                ("global_clipnorm", global_clipnorm)) if v is not None]
        if len(given) > 1:
            raise ValueError(f"Only one of clipnorm, clipvalue and global_clipnorm can be used, got "
                             f"{' and '.join(given)}.")
        self.weight_decay = None if weight_decay is None else check_number("weight_decay", weight_decay, 0)
        for attribute, value in (("clipnorm", clipnorm), ("clipvalue", clipvalue),
                                 ("global_clipnorm", global_clipnorm)):
            if value is not None and not check_number(attribute, value, 0) > 0:
                raise ValueError(f"{attribute}={value} must be above 0.")
            setattr(self, attribute, None if value is None else float(value))
        self.use_ema = bool(use_ema)
        self.ema_momentum = check_number("ema_momentum", ema_momentum, 0, 1)
        self.ema_overwrite_frequency = check_count("ema_overwrite_frequency", ema_overwrite_frequency, 1)
        if loss_scale_factor is not None and not check_number("loss_scale_factor", loss_scale_factor, 0) > 0:
            raise ValueError(f"loss_scale_factor={loss_scale_factor} must be above 0.")
        self.loss_scale_factor = None if loss_scale_factor is None else float(loss_scale_factor)
        self.gradient_accumulation_steps = check_count("gradient_accumulation_steps",
                                                       gradient_accumulation_steps, 2)
        self._iterations = self._variable(np.zeros((), "int64"), "iterations")
        self.built = False
        self._weights: list = []
        self._state: dict = {}          # id of a weight -> its state variables
        self._averages: dict = {}       # id of a weight -> its moving average
        self._gathered: dict = {}       # id of a weight -> the sum of its gradients since the last change
        self._shared_state: list = []   # variables that are not about one weight
        self._swapped = False           # whether weights and averages have changed places, for an evaluation
        self._excluded: tuple = ()
        self._learning_rate = None
        self.learning_rate = learning_rate

    _BY_WEIGHT = ("_state", "_averages", "_gathered")

    def __getstate__(self):
        """For copies, deep ones and by pickle: what belongs to a weight stands beside it, not under its number."""
        tables = {name: [(w, table[id(w)]) for w in self._weights if id(w) in table]
                  for name in self._BY_WEIGHT if (table := self.__dict__.get(name)) is not None}
        return {**self.__dict__, **tables}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for name in self._BY_WEIGHT:
            if name in state:
                self.__dict__[name] = {id(weight): value for weight, value in state[name]}

    def _variable(self, value, name):
        variable = Variable(value, name=name, trainable=False)
        variable.path = f"{self.name}/{name}"
        return variable

    @property
    def iterations(self):
        """How often the weights were changed: a Variable, or with accumulated gradients a number."""
        steps = self.gradient_accumulation_steps
        return self._iterations if steps is None else _divide(self._iterations.value, steps)

    # ---- the learning rate

    @property
    def learning_rate(self):
        """The Variable, or what a schedule gives for the current step."""
        if isinstance(self._learning_rate, Variable):
            return self._learning_rate
        return self._scheduled(self._iterations.value)

    @learning_rate.setter
    def learning_rate(self, value):
        if callable(value) and not isinstance(value, Variable):
            if self._learning_rate is not None:
                raise TypeError("The learning rate cannot become a schedule after the optimizer was made; "
                                "make a new optimizer and compile the model again.")
            self._learning_rate = value
            return
        if self._learning_rate is not None and not isinstance(self._learning_rate, Variable):
            raise TypeError(f"The learning rate of {self.name} follows the schedule {self._learning_rate!r} "
                            f"and cannot be set to {value!r}. Make the optimizer with a number if it is to "
                            f"be set.")
        if current_trace() is not None and self._learning_rate is not None:
            self._learning_rate.assign(value)
            return
        if isinstance(value, (Variable, np.ndarray)):
            value = np.asarray(value).item()
        value = check_number("learning_rate", value, 0)
        if self._learning_rate is None:
            self._learning_rate = self._variable(np.asarray(value, floatx()), "learning_rate")
        else:
            self._learning_rate.assign(value)

    def _scheduled(self, iterations):
        schedule = self._learning_rate
        try:
            takes_none = not inspect.signature(schedule).parameters
        except (TypeError, ValueError):
            takes_none = False
        return schedule() if takes_none else schedule(iterations)

    # ---- state

    def build(self, variables):
        """Make the state for the weights `variables`.

        Called by each `apply`. Weights that join those it knows, such as those of a layer that is no longer
        frozen, get state of their own; the others keep theirs. Weights that are all new are left to `apply`,
        which refuses them: they belong to another model.
        """
        variables = list(variables)
        new = [v for v in variables if id(v) not in self._state]
        if not variables or self.built and len(new) == len(variables):
            return
        if not self.built:
            self._shared_state = self.make_shared_state(variables)
        for weight in new:
            self._weights.append(weight)
            self._state[id(weight)] = tuple(self._slot(weight, slot) for slot in self.slots_of(weight))
            if self.use_ema:
                self._averages[id(weight)] = self._slot(weight, "average")
            if self.gradient_accumulation_steps:
                self._gathered[id(weight)] = self._slot(weight, "gradient_accumulator")
        self.built = True

    def slots_of(self, weight) -> tuple:
        """The state variables that this configuration needs for a weight."""
        return self.slots

    def initial_value(self, slot, weight):
        """What a state variable of a weight starts with: a number for all its elements, or an array."""
        return 0.0

    def slot_shape(self, weight, slot) -> tuple:
        """The shape of a state variable of a weight; by default the weight's."""
        return weight.shape

    def make_shared_state(self, variables) -> list:
        """State variables that are not about one weight, made when the optimizer is first built."""
        return []

    def _slot(self, weight, slot):
        name = weight.path.replace("/", "_")
        own = slot in self.slots
        value = np.empty(self.slot_shape(weight, slot) if own else weight.shape, weight.dtype)
        value[...] = self.initial_value(slot, weight) if own else 0
        return self._variable(value, f"{name}_{slot}")

    @property
    def variables(self) -> list:
        rate = [self._learning_rate] if isinstance(self._learning_rate, Variable) else []
        own = []
        for weight in self._weights:
            own += self._state[id(weight)]
            own += [table[id(weight)] for table in (self._averages, self._gathered) if table]
        return [self._iterations, *rate, *self._shared_state, *own]

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Leave some weights out of the weight decay.

        var_list: the variables. var_names: regular expressions, searched in the names and paths of variables.
        """
        if self.built:
            raise ValueError("exclude_from_weight_decay() must be called before the optimizer is built.")
        self._excluded = (tuple(var_list or ()), tuple(var_names or ()))

    def _decays(self, variable) -> bool:
        if not self._excluded:
            return True
        variables, patterns = self._excluded
        return not any(v is variable for v in variables) and not any(
            re.search(p, variable.path) or re.search(p, variable.name) for p in patterns)

    def decay_of(self, variable) -> float | None:
        """The weight decay of a weight, None for none."""
        return self.weight_decay if self._decays(variable) else None

    # ---- a step

    def update(self, value, gradient, state, factors):
        """The new value of one weight, and the new values of its state.

        Parameters
        ----------
        value, gradient: tensors of the weight's shape and type
        state: tuple of tensors, one per slot
        factors: tuple of scalars, from `factors`

        Returns
        -------
        tensor, tuple of tensors
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method update(self, value, gradient, state, factors) "
                                  "that gives the new value and the new state of a weight; see Optimizer.update.")

    def factors(self, learning_rate, step, shared):
        """The scalars that all weights of one element type share, computed once per step.

        learning_rate, step: scalars of that type; `step` is 1 in the first step. shared: what
        `update_shared_state` gave.
        """
        return (learning_rate,)

    def update_shared_state(self, step) -> list:
        """The new values of `make_shared_state`'s variables. step: int64 scalar, 1 in the first step."""
        return []

    def apply(self, grads, trainable_variables=None):
        """One step: change the weights by their gradients and count it.

        Inside a trace the changes become updates of the program. Every weight is read before it is updated,
        and its update is one chain of elementwise operations with scalar factors.

        Parameters
        ----------
        grads: list of tensors or arrays
            None where the loss does not depend on a weight: that weight stays, with a warning.
        trainable_variables: list of Variable, optional
            Default: those given to `build`.

        Raises
        ------
        ValueError
            If there is no gradient at all, the lists differ in length, or a weight is new to the optimizer.
        """
        grads = list(grads)
        if trainable_variables is None:
            if not self.built:
                raise ValueError("apply() without variables needs an optimizer that is built: call "
                                 "optimizer.build(variables) first, or give the variables.")
            trainable_variables = self._weights
        variables = list(trainable_variables)
        if len(grads) != len(variables):
            raise ValueError(f"{len(grads)} gradients were given for {len(variables)} variables; "
                             f"there must be one for each.")
        self.build(variables)
        for variable in variables:
            if id(variable) not in self._state:
                raise ValueError(f"The optimizer {self.name} was built for other weights and does not know "
                                 f"{variable.path!r}. Compile the model again with a new optimizer.")
        missing = [v.path for v, g in zip(variables, grads, strict=True) if g is None]
        if variables and len(missing) == len(variables):
            raise ValueError("The loss depends on no trainable weight, so there is nothing to train. Check "
                             f"that the loss uses the model's output. Weights: {', '.join(missing)}.")
        if missing:
            warnings.warn(f"The loss does not depend on these weights, so they are not trained: "
                          f"{', '.join(missing)}.", stacklevel=2)
        pairs = [(v, ops.cast(g, v.dtype)) for v, g in zip(variables, grads, strict=True) if g is not None]
        changes = self._gather(pairs) if self.gradient_accumulation_steps else self._take(pairs, None)
        taken, averaged = self._iterations.value, {}
        if self.use_ema:
            averaged = self._update_averages({id(v): new for v, new in changes})
        for variable, value in changes:
            value = averaged.pop(id(variable), value)
            variable.assign(value if variable.constraint is None else variable.constraint(value))
        for weight in self._weights:            # without a gradient, but overwritten by its average
            if id(weight) in averaged:
                weight.assign(averaged[id(weight)])
        self._iterations.assign(taken + 1)

    def _gather(self, pairs) -> list:
        """Add the gradients to those that are kept, and take a step with their mean if it is time."""
        steps = self.gradient_accumulation_steps
        count = ops.cast(self._iterations.value + 1, "float64")
        due = ops.equal(count, ops.floor(count / steps) * steps)
        means = []
        for variable, gradient in pairs:
            kept = self._gathered[id(variable)]
            total = kept.value + gradient
            kept.assign(ops.where(due, 0.0, total))
            means.append((variable, total * (1.0 / steps)))
        return self._take(means, due)

    def _take(self, pairs, due) -> list:
        """The new values of the weights; the state is updated. due: bool scalar, whether the step counts, or
        None."""
        if self.loss_scale_factor is not None:
            pairs = [(v, g * (1.0 / self.loss_scale_factor)) for v, g in pairs]

        def keep(variable, new):
            variable.assign(new if due is None else ops.where(due, new, variable.value))
        grads = self._clip([g for _, g in pairs])
        count, factors, changes = self.iterations, {}, []
        count = (count.value if isinstance(count, Variable) else count) + 1
        news = self.update_shared_state(count)
        for variable, new in zip(self._shared_state, news, strict=True):
            keep(variable, new)
        for (variable, _), gradient in zip(pairs, grads, strict=True):
            if variable.dtype not in factors:
                rate = ops.cast(self._current_rate(), variable.dtype)
                step = ops.cast(count, variable.dtype)
                factors[variable.dtype] = rate, self.factors(rate, step, news)
            rate, shared = factors[variable.dtype]
            slots = self._state[id(variable)]
            value, decay = variable.value, self.decay_of(variable)
            if decay is not None:
                value = value - value * (rate * decay)
            value, state = self.update(value, gradient, tuple(s.value for s in slots), shared)
            for slot, new in zip(slots, state, strict=True):
                keep(slot, new)
            changes.append((variable, value if due is None else ops.where(due, value, variable.value)))
        return changes

    # ---- moving averages of the weights

    def _update_averages(self, changed) -> dict:
        """Update the averages, given id of a weight -> its new value. Returns the values that overwrite the
        weights, in the same form."""
        count = self.iterations
        count, every = count.value if isinstance(count, Variable) else count, self.ema_overwrite_frequency
        first = ops.equal(count, 0)
        due = None if every is None else ops.equal(_divide(count + 1, every) * every, count + 1)
        overwritten = {}
        for weight in self._weights:
            value, average = changed.get(id(weight), weight.value), self._averages[id(weight)]
            momentum = ops.where(first, 0.0, np.asarray(self.ema_momentum, weight.dtype))
            new = average.value * momentum + value * (1.0 - momentum)
            average.assign(new)
            if due is not None:
                overwritten[id(weight)] = ops.where(due, new, value)
        return overwritten

    def average_of(self, variable) -> Variable:
        """The moving average of a weight; `use_ema` must be on and the weight known."""
        if not self.use_ema:
            raise ValueError(f"The optimizer {self.name} keeps no averages; make it with use_ema=True.")
        if id(variable) not in self._averages:
            raise ValueError(f"The optimizer {self.name} knows no average of {variable.path!r}; it knows "
                             f"those of the weights that it was built for.")
        return self._averages[id(variable)]

    def finalize_variable_values(self, var_list):
        """With `use_ema`, give the weights the values of their averages. Those that are not known stay."""
        if self.use_ema and int(self._iterations) and not self._swapped:
            for variable in var_list:
                if id(variable) in self._averages:
                    variable.assign(self._averages[id(variable)].peek())

    def scale_loss(self, loss):
        """The loss times `loss_scale_factor`, to be differentiated in its place."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def apply_gradients(self, grads_and_vars):
        """`apply` for pairs of gradient and weight; returns `iterations`."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self.iterations

    def _current_rate(self):
        rate = self.learning_rate
        return rate.value if isinstance(rate, Variable) else rate

    def _clip(self, grads) -> list:
        if self.clipnorm is not None:
            return [g * (self.clipnorm / ops.maximum(ops.sqrt(ops.sum(ops.square(g))), self.clipnorm))
                    for g in grads]
        if self.global_clipnorm is not None and grads:
            total = ops.sum(ops.square(grads[0]))
            for g in grads[1:]:
                total = total + ops.cast(ops.sum(ops.square(g)), ops_dtype(total))
            scale = self.global_clipnorm / ops.maximum(ops.sqrt(total), self.global_clipnorm)
            return [g * ops.cast(scale, ops_dtype(g)) for g in grads]
        if self.clipvalue is not None:
            return [ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    # ---- configuration

    COMMON = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum",
              "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps")

    def get_config(self) -> dict:
        """The arguments that make an optimizer like this one; the learning rate as it is now."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            rate = float(rate.peek())
        elif isinstance(rate, schedules.LearningRateSchedule):
            rate = schedules.serialize(rate)
        return {"name": self.name, "learning_rate": rate,
                **{name: getattr(self, name) for name in (*self.COMMON, *self.hyperparameters)}}

    @classmethod
    def from_config(cls, config: dict):
        """An optimizer made from what `get_config` gave; its state starts anew."""
        config, rate = dict(config), config.get("learning_rate")
        if isinstance(rate, dict):
            config["learning_rate"] = schedules.deserialize(rate)
        elif isinstance(rate, str):         # a user's own function, by its registered name
            config["learning_rate"] = find("learning rate function", rate, {})
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}>"


def _divide(count, by):
    """An int64 scalar divided by a positive int, rounded down: exact in double precision up to 2**53."""
    return ops.cast(ops.floor(ops.cast(count, "float64") / by), "int64")


def ops_dtype(value) -> str:
    """The name of the element type of a tensor or array."""
    return str(value.dtype)
