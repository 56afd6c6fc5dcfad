"""Adam, and what was made of it: AdamW, Adamax, Nadam."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..config import floatx
from .optimizer import Optimizer, check_number

__all__ = ["Adam", "AdamW", "Adamax", "Nadam"]


def moments(gradient, m, v, beta_1, beta_2):
    """The running means of the gradient and of its square, one step on."""
    return m + (gradient - m) * (1 - beta_1), v + (ops.square(gradient) - v) * (1 - beta_2)


def corrected_rate(learning_rate, step, beta_1, beta_2):
    """The learning rate times what makes up for the means having started at 0."""
    return learning_rate * (ops.sqrt(1.0 - ops.power(beta_2, step)) / (1.0 - ops.power(beta_1, step)))


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
    learning_rate: float, LearningRateSchedule or callable
        Default 0.001.
    beta_1, beta_2: float
        From 0 to below 1; default 0.9 and 0.999.
    epsilon: float
        Default 1e-7.
    amsgrad: bool
        Default False.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("momentum", "velocity", "velocity_hat")
    hyperparameters = ("beta_1", "beta_2", "epsilon", "amsgrad")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False,
                 weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False,
                 ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None):
        self.beta_1 = check_number("beta_1", beta_1, 0, 1, open_high=True)
        self.beta_2 = check_number("beta_2", beta_2, 0, 1, open_high=True)
        self.epsilon = check_number("epsilon", epsilon, 0)
        self.amsgrad = bool(amsgrad)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)

    def slots_of(self, weight):
        return self.slots if self.amsgrad else self.slots[:2]

    def factors(self, learning_rate, step, shared):
        return (corrected_rate(learning_rate, step, self.beta_1, self.beta_2),)

    def update(self, value, gradient, state, factors):
        (alpha,) = factors
        m, v = moments(gradient, *state[:2], self.beta_1, self.beta_2)
        largest = (ops.maximum(state[2], v),) if self.amsgrad else ()
        root = ops.sqrt(largest[0] if largest else v)
        return value - m * alpha / (root + self.epsilon), (m, v, *largest)


class AdamW(Adam):
    """`Adam` with a weight decay that is not part of the gradient, 0.004 by default (Loshchilov and Hutter,
    *Decoupled weight decay regularization*, 2019).

    Before each step a weight loses ``learning_rate * weight_decay * w``. The arguments are those of `Adam`.

    Raises
    ------
    ValueError
        If the weight decay is None: use `Adam` then.
    """

    def __init__(self, learning_rate=0.001, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-7,
                 amsgrad=False, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False,
                 ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None):
        if weight_decay is None:
            raise ValueError("AdamW: weight_decay=None must be a number; use Adam for no weight decay.")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm, clipvalue,
                         global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)


class Adamax(Optimizer):
    """Adam with the largest of decaying gradients in the place of the mean square (section 7.1 of Kingma and
    Ba, *Adam*, 2015). In step t, counted from 1::

        m += (g - m) * (1 - beta_1)
        u = max(beta_2 * u, abs(g))
        w -= learning_rate / (1 - beta_1**t) * m / (u + epsilon)

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

    slots = ("momentum", "norm")
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
        return (learning_rate / (1.0 - ops.power(self.beta_1, step)),)

    def update(self, value, gradient, state, factors):
        (alpha,) = factors
        m = state[0] + (gradient - state[0]) * (1 - self.beta_1)
        u = ops.maximum(state[1] * self.beta_2, ops.absolute(gradient))
        return value - m * alpha / (u + self.epsilon), (m, u)


class Nadam(Optimizer):
    """Adam with Nesterov's momentum (Dozat, *Incorporating Nesterov momentum into Adam*, 2016).

    In step t, counted from 1, with ``u(t) = beta_1 * (1 - 0.96**t / 2)`` and U the product of u(1) to u(t)::

        m += (g - m) * (1 - beta_1)
        v += (g * g - v) * (1 - beta_2)
        ahead = u(t+1) / (1 - U * u(t+1)) * m + (1 - u(t)) / (1 - U) * g
        w -= learning_rate * ahead / (sqrt(v / (1 - beta_2**t)) + epsilon)

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

    def make_shared_state(self, variables):
        dtype = variables[0].dtype if variables else floatx()
        return [self._variable(np.ones((), dtype), "u_product")]

    def _u(self, step):
        return self.beta_1 * (1.0 - 0.5 * ops.power(0.96, step))

    def update_shared_state(self, step):
        product = self._shared_state[0].value
        return [product * self._u(ops.cast(step, str(product.dtype)))]

    def factors(self, learning_rate, step, shared):
        now, ahead = self._u(step), self._u(step + 1.0)
        product = ops.cast(shared[0], str(step.dtype))
        of_mean, of_gradient = ahead / (1.0 - product * ahead), (1.0 - now) / (1.0 - product)
        return (learning_rate * of_mean, learning_rate * of_gradient,
                1.0 / (1.0 - ops.power(self.beta_2, step)))

    def update(self, value, gradient, state, factors):
        of_mean, of_gradient, correction = factors
        m, v = moments(gradient, *state, self.beta_1, self.beta_2)
        ahead = m * of_mean + gradient * of_gradient
        return value - ahead / (ops.sqrt(v * correction) + self.epsilon), (m, v)
