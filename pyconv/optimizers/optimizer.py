"""What all optimizers share: the learning rate, the count of steps, clipping, weight decay, constraints."""

from __future__ import annotations

import inspect
import numbers
import re
import warnings

import numpy as np

from .. import ops
from ..config import floatx
from ..graph import Variable, current_trace
from ..utils.naming import snake_case, unique_name

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


class Optimizer:
    """Base class. A subclass writes `update`; `slots` names its state variables, one set per weight.

    Parameters
    ----------
    learning_rate: float or callable
        A callable is given `iterations` (an int64 scalar, symbolic while a step is traced) and returns the
        rate, written with `pyconv.ops`.
    weight_decay: float, optional
        Before each update a weight `w` loses ``learning_rate * weight_decay * w`` (Loshchilov and Hutter,
        *Decoupled weight decay regularization*, 2019).
    clipnorm: float, optional
        Each gradient is scaled down to this Euclidean norm at most.
    clipvalue: float, optional
        Each element of a gradient is limited to the range from -clipvalue to clipvalue.
    global_clipnorm: float, optional
        All gradients are scaled down together to this norm at most. One of the three may be given.
    name: str, optional

    Attributes
    ----------
    iterations: Variable
        int64 scalar: how many steps have been taken.
    learning_rate: Variable
        float scalar. Assign a number at any time, also between the steps of a compiled model.
    variables: list of Variable
        `iterations`, `learning_rate`, then the state in the order of the weights.
    """

    slots: tuple = ()      # names of the state variables per weight; all start at zero

    def __init__(self, learning_rate=0.01, weight_decay=None, clipnorm=None, clipvalue=None,
                 global_clipnorm=None, name=None):
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
        self.iterations = self._variable(np.zeros((), "int64"), "iterations")
        self.built = False
        self._weights: list = []
        self._state: dict = {}          # id of a weight -> its state variables
        self._excluded: tuple = ()
        self._learning_rate = None
        self.learning_rate = learning_rate

    def _variable(self, value, name):
        variable = Variable(value, name=name, trainable=False)
        variable.path = f"{self.name}/{name}"
        return variable

    # ---- the learning rate

    @property
    def learning_rate(self):
        """The Variable, or what a schedule gives for the current step."""
        if isinstance(self._learning_rate, Variable):
            return self._learning_rate
        return self._scheduled(self.iterations.value)

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
        if self.built and len(new) == len(variables):
            return
        for weight in new:
            self._weights.append(weight)
            self._state[id(weight)] = tuple(self._slot(weight, slot) for slot in self.active_slots())
        self.built = True

    def active_slots(self) -> tuple:
        """The state variables that this configuration needs."""
        return self.slots

    def _slot(self, weight, slot):
        name = weight.path.replace("/", "_")
        return self._variable(np.zeros(weight.shape, weight.dtype), f"{name}_{slot}")

    @property
    def variables(self) -> list:
        rate = [self._learning_rate] if isinstance(self._learning_rate, Variable) else []
        return [self.iterations, *rate, *(s for weight in self._weights for s in self._state[id(weight)])]

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Leave some weights out of the weight decay.

        var_list: the variables. var_names: regular expressions, searched in the names and paths of variables.
        """
        if self.built:
            raise ValueError("exclude_from_weight_decay() must be called before the optimizer is built.")
        self._excluded = (tuple(map(id, var_list or ())), tuple(var_names or ()))

    def _decays(self, variable) -> bool:
        if not self._excluded:
            return True
        ids, patterns = self._excluded
        return id(variable) not in ids and not any(re.search(p, variable.path) or re.search(p, variable.name)
                                                   for p in patterns)

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
        raise NotImplementedError

    def factors(self, learning_rate, step):
        """The scalars that all weights of one element type share, computed once per step.

        learning_rate, step: scalars of that type; `step` is 1 in the first step.
        """
        return (learning_rate,)

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
        pairs = [(v, g) for v, g in zip(variables, grads, strict=True) if g is not None]
        grads = self._clip([g for _, g in pairs])
        factors: dict = {}
        for (variable, _), gradient in zip(pairs, grads, strict=True):
            if variable.dtype not in factors:
                rate = ops.cast(self._current_rate(), variable.dtype)
                step = ops.cast(self.iterations.value + 1, variable.dtype)
                factors[variable.dtype] = rate, self.factors(rate, step)
            rate, shared = factors[variable.dtype]
            slots = self._state[id(variable)]
            value = variable.value
            if self.weight_decay is not None and self._decays(variable):
                value = value - value * (rate * self.weight_decay)
            gradient = ops.cast(gradient, variable.dtype)
            value, state = self.update(value, gradient, tuple(s.value for s in slots), shared)
            if variable.constraint is not None:
                value = variable.constraint(value)
            variable.assign(value)
            for slot, new in zip(slots, state, strict=True):
                slot.assign(new)
        self.iterations.assign(self.iterations.value + 1)

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

    def get_config(self) -> dict:
        """The arguments that make an optimizer like this one; the learning rate as it is now."""
        rate = self._learning_rate
        return {"name": self.name, "learning_rate": float(rate.array) if isinstance(rate, Variable) else rate,
                "weight_decay": self.weight_decay, "clipnorm": self.clipnorm, "clipvalue": self.clipvalue,
                "global_clipnorm": self.global_clipnorm}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}>"


def ops_dtype(value) -> str:
    """The name of the element type of a tensor or array."""
    return str(value.dtype)
