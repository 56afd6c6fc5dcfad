"""Stochastic gradient descent."""

from __future__ import annotations

from .optimizer import Optimizer, check_number

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent, with momentum on request.

    Without momentum ``w -= learning_rate * g``; with it::

        m = momentum * m - learning_rate * g
        w += m                                        # nesterov=False
        w += momentum * m - learning_rate * g         # nesterov=True

    (Polyak 1964; Nesterov's form as in Sutskever et al., *On the importance of initialization and momentum in
    deep learning*, 2013.)

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Default 0.01.
    momentum: float
        From 0 to 1; default 0.
    nesterov: bool
        Default False.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.

    Raises
    ------
    ValueError
        If the momentum lies outside of 0 to 1.
    """

    slots = ("momentum",)
    hyperparameters = ("momentum", "nesterov")

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=None, clipnorm=None,
                 clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None,
                 name=None):
        self.momentum = check_number("momentum", momentum, 0, 1)
        self.nesterov = bool(nesterov)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)

    def slots_of(self, weight):
        return self.slots if self.momentum else ()

    def update(self, value, gradient, state, factors):
        (rate,) = factors
        step = gradient * rate
        if not state:
            return value - step, ()
        m = state[0] * self.momentum - step
        return value + (m * self.momentum - step if self.nesterov else m), (m,)
