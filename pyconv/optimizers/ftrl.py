"""FTRL."""

from __future__ import annotations

from .. import ops
from .optimizer import Optimizer, check_number

__all__ = ["Ftrl"]


class Ftrl(Optimizer):
    """Follow the regularized leader, with penalties that make weights exactly 0 (McMahan et al., *Ad click
    prediction: a view from the trenches*, 2013).

    With ``p = -learning_rate_power``, and l1, l2, shrinkage the three strengths::

        n' = n + g * g
        z += g + 2 * shrinkage * w - (n'**p - n**p) / learning_rate * w
        w = (clip(z, -l1, l1) - z) / (n'**p / learning_rate + 2 * l2 + beta / learning_rate)

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Above 0; default 0.001.
    learning_rate_power: float
        At most 0; default -0.5. 0: a learning rate that does not fall.
    initial_accumulator_value: float
        What n starts with, at least 0; default 0.1.
    l1_regularization_strength, l2_regularization_strength: float
        At least 0; default 0.
    l2_shrinkage_regularization_strength: float
        A penalty on the weights' size that acts through the gradient, at least 0; default 0.
    beta: float
        At least 0; default 0.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("accumulator", "linear")
    hyperparameters = ("learning_rate_power", "initial_accumulator_value", "l1_regularization_strength",
                       "l2_regularization_strength", "l2_shrinkage_regularization_strength", "beta")

    def __init__(self, learning_rate=0.001, learning_rate_power=-0.5, initial_accumulator_value=0.1,
                 l1_regularization_strength=0.0, l2_regularization_strength=0.0,
                 l2_shrinkage_regularization_strength=0.0, beta=0.0, weight_decay=None, clipnorm=None,
                 clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None,
                 name=None):
        given = (learning_rate_power, initial_accumulator_value, l1_regularization_strength,
                 l2_regularization_strength, l2_shrinkage_regularization_strength, beta)
        for argument, value in zip(self.hyperparameters, given, strict=True):
            low, high = (-1e9, 0) if argument == "learning_rate_power" else (0, None)
            setattr(self, argument, check_number(argument, value, low, high))
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)

    def initial_value(self, slot, weight):
        return self.initial_accumulator_value if slot == "accumulator" else 0.0

    def factors(self, learning_rate, step, shared):
        rest = 2.0 * self.l2_regularization_strength + self.beta / learning_rate
        return 1.0 / learning_rate, rest

    def _power(self, n):
        if self.learning_rate_power == -0.5:
            return ops.sqrt(n)
        return ops.power(n, -self.learning_rate_power)

    def update(self, value, gradient, state, factors):
        inverse, rest = factors
        n, z = state
        total, l1 = n + ops.square(gradient), self.l1_regularization_strength
        root = self._power(total)
        if self.l2_shrinkage_regularization_strength:
            gradient = gradient + value * (2.0 * self.l2_shrinkage_regularization_strength)
        z = z + gradient - (root - self._power(n)) * inverse * value
        clipped = ops.clip(z, -l1, l1) - z if l1 else -z
        return clipped / (root * inverse + rest), (total, z)
