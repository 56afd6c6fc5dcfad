"""RMSprop."""

from __future__ import annotations

from .. import ops
from .optimizer import Optimizer, check_number

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Gradients divided by the root of their running mean square (Tieleman and Hinton, *Lecture 6.5*, 2012)::

        v = rho * v + (1 - rho) * g * g
        a = rho * a + (1 - rho) * g                             # centered=True; otherwise a = 0
        step = learning_rate * g / sqrt(v - a * a + epsilon)
        m = momentum * m + step                                 # momentum > 0; otherwise m = step
        w -= m

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Default 0.001.
    rho: float
        From 0 to 1; default 0.9.
    momentum: float
        From 0 to 1; default 0.
    epsilon: float
        Default 1e-7.
    centered: bool
        Whether the variance of the gradient is used, in the place of the mean square (Graves, *Generating
        sequences with recurrent neural networks*, 2013). Default False.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("velocity", "momentum", "average_gradient")
    hyperparameters = ("rho", "momentum", "epsilon", "centered")

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False,
                 weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False,
                 ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None):
        self.rho = check_number("rho", rho, 0, 1)
        self.momentum = check_number("momentum", momentum, 0, 1)
        self.epsilon = check_number("epsilon", epsilon, 0)
        self.centered = bool(centered)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)

    def slots_of(self, weight):
        used = True, self.momentum > 0, self.centered
        return tuple(slot for slot, use in zip(self.slots, used, strict=True) if use)

    def update(self, value, gradient, state, factors):
        (rate,) = factors
        v = state[0] * self.rho + ops.square(gradient) * (1 - self.rho)
        new, spread = [v], v
        if self.centered:
            a = state[-1] * self.rho + gradient * (1 - self.rho)
            spread = v - ops.square(a)
        step = gradient * rate / ops.sqrt(spread + self.epsilon)
        if self.momentum > 0:
            step = state[1] * self.momentum + step
            new.append(step)
        if self.centered:
            new.append(a)
        return value - step, tuple(new)
