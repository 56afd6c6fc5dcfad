"""Lion."""

from __future__ import annotations

from .. import ops
from .optimizer import Optimizer, check_number

__all__ = ["Lion"]


class Lion(Optimizer):
    """Steps of one size, in the direction of the sign of a running mean (Chen et al., *Symbolic discovery of
    optimization algorithms*, 2023)::

        w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g

    Its learning rate is usually 3 to 10 times smaller than Adam's, its weight decay as much larger.

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Default 0.001.
    beta_1: float
        Above 0, at most 1; default 0.9.
    beta_2: float
        From 0 to 1; default 0.99.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("momentum",)
    hyperparameters = ("beta_1", "beta_2")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.99, weight_decay=None, clipnorm=None,
                 clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None,
                 name=None):
        self.beta_1 = check_number("beta_1", beta_1, 0, 1)
        if not self.beta_1 > 0:
            raise ValueError(f"beta_1={beta_1} must be above 0.")
        self.beta_2 = check_number("beta_2", beta_2, 0, 1)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)

    def update(self, value, gradient, state, factors):
        (rate,) = factors
        (m,) = state
        direction = ops.sign(m * self.beta_1 + gradient * (1 - self.beta_1))
        return value - direction * rate, (m * self.beta_2 + gradient * (1 - self.beta_2),)
