"""AdamW without a schedule: the mean over the steps in its place."""

from __future__ import annotations

from .. import ops
from .optimizer import Optimizer, check_number

__all__ = ["ScheduleFreeAdamW"]


class ScheduleFreeAdamW(Optimizer):
    """AdamW whose weights lie between the place that its steps have reached and the mean of all such places, so that
    no schedule has to lower the rate (Defazio et al., *The road less scheduled*, 2024).

    In step t, counted from 1, where z starts as w, and ``x = (w - (1 - beta_1) * z) / beta_1`` is the mean so far::

        v += (g * g - v) * (1 - beta_2)
        z -= learning_rate * min(t / warmup_steps, 1) * g / (sqrt(v / (1 - beta_2**t)) + epsilon)
        x += (z - x) / t
        w = (1 - beta_1) * z + beta_1 * x

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Default 0.0025.
    beta_1: float
        Above 0 and below 1: how near w is to the mean; default 0.9.
    beta_2: float
        From 0 to below 1; default 0.999.
    epsilon: float
        Default 1e-8.
    warmup_steps: int
        Steps in which the rate rises from 0; default 0.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("momentum", "velocity")
    hyperparameters = ("beta_1", "beta_2", "epsilon", "warmup_steps")

    def __init__(self, learning_rate=0.0025, beta_1=0.9, beta_2=0.999, epsilon=1e-8, warmup_steps=0,
                 weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False,
                 ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None):
        self.beta_1 = check_number("beta_1", beta_1, 0, 1, open_high=True)
        if not self.beta_1:
            raise ValueError("beta_1=0 must be above 0: the mean is found back by dividing by it.")
        self.beta_2 = check_number("beta_2", beta_2, 0, 1, open_high=True)
        self.epsilon = check_number("epsilon", epsilon, 0)
        if isinstance(warmup_steps, bool) or not isinstance(warmup_steps, int) or warmup_steps < 0:
            raise ValueError(f"warmup_steps={warmup_steps!r} must be an int of at least 0.")
        self.warmup_steps = warmup_steps
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
                         ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name)

    def initial_value(self, slot, weight):
        return weight.array if slot == "momentum" else 0.0

    def factors(self, learning_rate, step, shared):
        if self.warmup_steps:
            learning_rate = learning_rate * ops.minimum(step / float(self.warmup_steps), 1.0)
        return learning_rate, 1.0 - ops.power(self.beta_2, step), 1.0 / step

    def update(self, value, gradient, state, factors):
        rate, correction, share = factors
        z, v = state
        x = (value - z * (1.0 - self.beta_1)) / self.beta_1
        v = v + (ops.square(gradient) - v) * (1.0 - self.beta_2)
        z = z - gradient * rate / (ops.sqrt(v / correction) + self.epsilon)
        x = x * (1.0 - share) + z * share
        return z * (1.0 - self.beta_1) + x * self.beta_1, (z, v)
