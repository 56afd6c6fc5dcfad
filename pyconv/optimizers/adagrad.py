"""Adagrad and Adadelta."""

from __future__ import annotations

from .. import ops
from .optimizer import Optimizer, check_number

__all__ = ["Adadelta", "Adagrad"]


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares (Duchi et al., *Adaptive subgradient
    methods for online learning and stochastic optimization*, 2011)::

        s += g * g
        w -= learning_rate * g / sqrt(s + epsilon)

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Default 0.001.
    initial_accumulator_value: float
        What s starts with, at least 0; default 0.1.
    epsilon: float
        Default 1e-7.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("accumulator",)
    hyperparameters = ("initial_accumulator_value", "epsilon")

    def __init__(self, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7, weight_decay=None,
                 clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None,
                 name=None):
        self.initial_accumulator_value = check_number("initial_accumulator_value",
                                                      initial_accumulator_value, 0)
        self.epsilon = check_number("epsilon", epsilon, 0)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)

    def initial_value(self, slot, weight):
        return self.initial_accumulator_value

    def update(self, value, gradient, state, factors):
        (rate,) = factors
        total = state[0] + ops.square(gradient)
        return value - gradient * rate / ops.sqrt(total + self.epsilon), (total,)


class Adadelta(Optimizer):
    """Steps as large as the recent ones were, by the ratio of running mean squares (Zeiler, *ADADELTA: an
    adaptive learning rate method*, 2012)::

        s = rho * s + (1 - rho) * g * g
        d = sqrt(e + epsilon) / sqrt(s + epsilon) * g
        e = rho * e + (1 - rho) * d * d
        w -= learning_rate * d

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Default 0.001; the paper's form is 1.
    rho: float
        From 0 to 1; default 0.95.
    epsilon: float
        Default 1e-7.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("accumulated_grad", "accumulated_delta_var")
    hyperparameters = ("rho", "epsilon")

    def __init__(self, learning_rate=0.001, rho=0.95, epsilon=1e-7, weight_decay=None, clipnorm=None,
                 clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None,
                 name=None):
        self.rho = check_number("rho", rho, 0, 1)
        self.epsilon = check_number("epsilon", epsilon, 0)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)

    def update(self, value, gradient, state, factors):
        (rate,) = factors
        s = state[0] * self.rho + ops.square(gradient) * (1 - self.rho)
        d = ops.sqrt(state[1] + self.epsilon) * gradient / ops.sqrt(s + self.epsilon)
        e = state[1] * self.rho + ops.square(d) * (1 - self.rho)
        return value - d * rate, (s, e)
