"""Adafactor: Adam's division with the memory of rows and columns."""

from __future__ import annotations

from .. import ops
from .optimizer import Optimizer, check_number

__all__ = ["Adafactor"]


def _rms(x):
    return ops.sqrt(ops.mean(ops.square(x)))


class Adafactor(Optimizer):
    """Gradients divided by a root mean square of which only the means of rows and of columns are kept
    (Shazeer and Stern, *Adafactor: adaptive learning rates with sublinear memory cost*, 2018).

    In step t, counted from 1, for a weight with two axes or more, over its last two axes::

        b = 1 - t ** beta_2_decay
        row = b * row + (1 - b) * mean(g * g + epsilon_1, axis=-1)
        column = b * column + (1 - b) * mean(g * g + epsilon_1, axis=-2)
        v = row / mean(row, axis=-1) * column                                 # each row times each column
        u = g / sqrt(v)
        w -= min(learning_rate, 1 / sqrt(t)) * max(epsilon_2, rms(w)) * u / max(1, rms(u) / clip_threshold)

    For weights with fewer axes v is the running mean of ``g * g + epsilon_1`` itself.

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Default 0.001.
    beta_2_decay: float
        Below 0; default -0.8.
    epsilon_1, epsilon_2: float
        Default 1e-30 and 0.001.
    clip_threshold: float
        Default 1.
    relative_step: bool
        Whether the rate is at most ``1 / sqrt(t)``; default True. With False the formula is the same, as in Keras:
        it has that bound anyway.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("row", "column", "velocity")
    hyperparameters = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")

    def __init__(self, learning_rate=0.001, beta_2_decay=-0.8, epsilon_1=1e-30, epsilon_2=1e-3, clip_threshold=1.0,
                 relative_step=True, weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None,
                 use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None):
        self.beta_2_decay = -check_number("-beta_2_decay", -beta_2_decay, 0)
        self.epsilon_1 = check_number("epsilon_1", epsilon_1, 0)
        self.epsilon_2 = check_number("epsilon_2", epsilon_2, 0)
        self.clip_threshold = check_number("clip_threshold", clip_threshold, 0)
        if not self.clip_threshold:
            raise ValueError("clip_threshold=0 must be above 0.")
        self.relative_step = bool(relative_step)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
                         ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name)

    def slots_of(self, weight):
        return self.slots[:2] if len(weight.shape) > 1 else self.slots[2:]

    def slot_shape(self, weight, slot):
        shape = weight.shape
        return {"row": shape[:-1], "column": (*shape[:-2], *shape[-1:])}.get(slot, shape)

    def factors(self, learning_rate, step, shared):
        return ops.minimum(learning_rate, 1.0 / ops.sqrt(step)), 1.0 - ops.power(step, self.beta_2_decay)

    def update(self, value, gradient, state, factors):
        rate, beta = factors
        squares = ops.square(gradient) + self.epsilon_1
        if len(state) == 2:
            row = state[0] * beta + ops.mean(squares, axis=-1) * (1.0 - beta)
            column = state[1] * beta + ops.mean(squares, axis=-2) * (1.0 - beta)
            share = row / ops.mean(row, axis=-1, keepdims=True)
            v, news = ops.expand_dims(share, -1) * ops.expand_dims(column, -2), (row, column)
        else:
            v = state[0] * beta + squares * (1.0 - beta)
            news = (v,)
        u = gradient / ops.sqrt(v)
        u = u / ops.maximum(_rms(u) / self.clip_threshold, 1.0)
        return value - u * (rate * ops.maximum(_rms(value), self.epsilon_2)), news
