"""Lamb."""

from __future__ import annotations

from .. import ops
from .adam import moments
from .optimizer import Optimizer, check_number

__all__ = ["Lamb"]


class Lamb(Optimizer):
    """Adam's step, scaled for each weight to the weight's own norm; made for large batches (You et al.,
    *Large batch optimization for deep learning: training BERT in 76 minutes*, 2020).

    In step t, counted from 1::

        m += (g - m) * (1 - beta_1)
        v += (g * g - v) * (1 - beta_2)
        d = m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)
        w -= learning_rate * norm(w) / norm(d) * d

    The ratio of the norms is 1 where one of them is 0.

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Default 0.001.
    beta_1, beta_2: float
        From 0 to below 1; default 0.9 and 0.999.
    epsilon: float
        Default 1e-7.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("momentum", "velocity")
    hyperparameters = ("beta_1", "beta_2", "epsilon")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=None,
                 clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None,
                 name=None):
        self.beta_1 = check_number("beta_1", beta_1, 0, 1, open_high=True)
        self.beta_2 = check_number("beta_2", beta_2, 0, 1, open_high=True)
        self.epsilon = check_number("epsilon", epsilon, 0)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)

    def factors(self, learning_rate, step, shared):
        return (learning_rate, 1.0 / (1.0 - ops.power(self.beta_1, step)),
                1.0 / (1.0 - ops.power(self.beta_2, step)))

    def update(self, value, gradient, state, factors):
        rate, of_m, of_v = factors
        m, v = moments(gradient, *state, self.beta_1, self.beta_2)
        d = m * of_m / (ops.sqrt(v * of_v) + self.epsilon)
        own, other = (ops.sqrt(ops.sum(ops.square(x))) for x in (value, d))
        both = ops.logical_and(ops.greater(own, 0.0), ops.greater(other, 0.0))
        ratio = ops.where(both, own / ops.where(both, other, 1.0), 1.0)
        return value - d * (ratio * rate), (m, v)
