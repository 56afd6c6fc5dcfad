"""Adam."""

from __future__ import annotations

from .. import ops
from .optimizer import Optimizer, check_number

__all__ = ["Adam"]


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and its square.

    In step t, counted from 1 (Kingma and Ba, *Adam: a method for stochastic optimization*, 2015, in the order
    of computation that the end of its section 2 proposes)::

        m += (g - m) * (1 - beta_1)
        v += (g * g - v) * (1 - beta_2)
        w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)

    With `amsgrad` the largest v so far stands in the place of v (Reddi et al., *On the convergence of Adam
    and beyond*, 2018).

    Parameters
    ----------
    learning_rate: float or callable
        Default 0.001.
    beta_1, beta_2: float
        From 0 to below 1; default 0.9 and 0.999.
    epsilon: float
        Default 1e-7.
    amsgrad: bool
        Default False.
    weight_decay, clipnorm, clipvalue, global_clipnorm, name:
        See `Optimizer`.
    """

    slots = ("momentum", "velocity", "velocity_hat")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False,
                 weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, name=None):
        self.beta_1 = check_number("beta_1", beta_1, 0, 1, open_high=True)
        self.beta_2 = check_number("beta_2", beta_2, 0, 1, open_high=True)
        self.epsilon = check_number("epsilon", epsilon, 0)
        self.amsgrad = bool(amsgrad)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)

    def active_slots(self):
        return self.slots if self.amsgrad else self.slots[:2]

    def factors(self, learning_rate, step):
        correction = ops.sqrt(1.0 - ops.power(self.beta_2, step)) / (1.0 - ops.power(self.beta_1, step))
        return (learning_rate * correction,)

    def update(self, value, gradient, state, factors):
        (alpha,) = factors
        m = state[0] + (gradient - state[0]) * (1 - self.beta_1)
        v = state[1] + (ops.square(gradient) - state[1]) * (1 - self.beta_2)
        largest = (ops.maximum(state[2], v),) if self.amsgrad else ()
        root = ops.sqrt(largest[0] if largest else v)
        return value - m * alpha / (root + self.epsilon), (m, v, *largest)

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon,
                "amsgrad": self.amsgrad}
