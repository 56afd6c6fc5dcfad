"""Scaling of the loss, so that gradients in float16 are neither lost below its smallest number nor infinite."""

from __future__ import annotations

import math

import numpy as np

from .. import ops
from ..graph import Variable, current_trace
from ..utils.configurable import describe
from ..utils.naming import unique_name
from .optimizer import Optimizer, check_count, check_number

__all__ = ["LossScaleOptimizer"]


class LossScaleOptimizer(Optimizer):
    """Another optimizer, with a loss that is scaled up by a factor that adapts itself.

    The loss is multiplied by the scale before it is differentiated, and gradients are divided by it. If a gradient
    has a number that is not finite, the step is not taken (weights, the inner optimizer's state and its count stay as
    they are) and the scale is halved; after `dynamic_growth_steps` steps without one in a row it is doubled.

    `compile` wraps the optimizer of a model whose policy is "mixed_float16" in this. Attributes that are not listed
    here, such as `use_ema`, are those of the inner optimizer.
    Source: Micikevicius et al., *Mixed precision training*, 2018, section 3.2.

    Parameters
    ----------
    inner_optimizer: Optimizer
    initial_scale: float
        Default 2 ** 15; a scale that is too high falls faster than one that is too low rises.
    dynamic_growth_steps: int
        Default 2000.
    name: str, optional

    Attributes
    ----------
    dynamic_scale: Variable
        float32 scalar, the current scale.
    step_counter: Variable
        int64 scalar, the number of steps since the scale last changed.

    Raises
    ------
    ValueError, TypeError
        For an inner optimizer that is none, or that scales its loss itself, numbers out of range, and arguments that
        belong to the inner optimizer.
    """

    def __init__(self, inner_optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000, name=None, **kwargs):
        if not isinstance(inner_optimizer, Optimizer):
            raise TypeError(f"LossScaleOptimizer: inner_optimizer must be an optimizer, such as "
                            f"pyconv.optimizers.Adam(), got {describe(inner_optimizer)}.")
        if isinstance(inner_optimizer, LossScaleOptimizer):
            raise ValueError("LossScaleOptimizer: the inner optimizer scales the loss already; give the optimizer that "
                             "it wraps.")
        if not kwargs.pop("dynamic", True):
            raise ValueError("LossScaleOptimizer: the scale is always dynamic; for a fixed one give "
                             "loss_scale_factor to the optimizer itself.")
        defaults = {"use_ema": False, "ema_momentum": 0.99}
        for argument, value in kwargs.items():
            if argument not in Optimizer.COMMON:
                raise TypeError(f"LossScaleOptimizer: the argument {argument!r} is not known. Known: inner_optimizer, "
                                f"initial_scale, dynamic_growth_steps, name.")
            if value != defaults.get(argument):         # old configurations of Keras have them all
                raise ValueError(f"LossScaleOptimizer: give {argument} to the inner optimizer.")
        if not check_number("initial_scale", initial_scale, 0) > 0 or not math.isfinite(initial_scale):
            raise ValueError(f"LossScaleOptimizer: initial_scale={initial_scale!r} must be above 0 and finite.")
        if dynamic_growth_steps is None:
            raise ValueError("LossScaleOptimizer: dynamic_growth_steps must be an int of at least 1, got None.")
        self.inner_optimizer = inner_optimizer
        self.name = name or unique_name("loss_scale_optimizer")
        self.initial_scale = float(initial_scale)
        self.dynamic_growth_steps = check_count("dynamic_growth_steps", dynamic_growth_steps, 1)
        inner_optimizer.loss_scale_factor = None        # it would be scaled twice
        self.step_counter = self._variable(np.zeros((), "int64"), "step_counter")
        self.dynamic_scale = self._variable(np.asarray(self.initial_scale, "float32"), "dynamic_scale")

    def __getattr__(self, name):
        if name == "inner_optimizer" or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.inner_optimizer, name)

    # ---- what is the inner optimizer's

    @property
    def iterations(self):
        """How many steps were taken, the skipped ones not among them."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.inner_optimizer.learning_rate = value

    @property
    def variables(self) -> list:
        return [self.step_counter, self.dynamic_scale, *self.inner_optimizer.variables]

    def build(self, variables):
        self.inner_optimizer.build(variables)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def average_of(self, variable) -> Variable:
        return self.inner_optimizer.average_of(variable)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    # ---- a step

    def scale_loss(self, loss):
        """The loss times the scale, to be differentiated in its place."""
        return loss * ops.cast(self.dynamic_scale.value, str(loss.dtype))

    def check_finite(self, grads):
        """A bool scalar: whether all elements of all gradients are finite."""
        finite = np.ones((), bool)
        for gradient in grads:
            if gradient is not None and 0 not in gradient.shape:
                # The largest size is NaN if one element is.
                finite = ops.logical_and(finite, ops.isfinite(ops.max(ops.absolute(gradient))))
        return finite

    def apply(self, grads, trainable_variables=None):
        """One step with gradients of the scaled loss; see `Optimizer.apply`."""
        grads = list(grads)
        finite, scale = self.check_finite(grads), self.dynamic_scale.value
        unscaled = [None if g is None else g / ops.cast(scale, str(g.dtype)) for g in grads]
        trace = current_trace()
        if trace is None:
            if bool(finite):
                self.inner_optimizer.apply(unscaled, trainable_variables)
        else:
            before, values = dict(trace.updates), dict(trace.values)
            self.inner_optimizer.apply(unscaled, trainable_variables)
            for variable, new in list(trace.updates.items()):
                if before.get(variable) is not new:
                    old = values.get(variable)
                    trace.update(variable, ops.where(finite, new, trace.initial(variable) if old is None else old))
        steps = self.step_counter.value + 1
        grows = ops.greater_equal(steps, self.dynamic_growth_steps)
        self.step_counter.assign(ops.where(ops.logical_or(ops.logical_not(finite), grows), 0, steps))
        self.dynamic_scale.assign(scale * ops.where(finite, ops.where(grows, 2.0, 1.0), 0.5))

    # ---- configuration

    def get_config(self) -> dict:
        from . import serialize
        return {"name": self.name, "inner_optimizer": serialize(self.inner_optimizer),
                "initial_scale": self.initial_scale, "dynamic_growth_steps": self.dynamic_growth_steps}

    @classmethod
    def from_config(cls, config: dict):
        from . import get
        config = dict(config)
        return cls(get(config.pop("inner_optimizer")), **config)
