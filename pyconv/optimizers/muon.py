"""Muon."""

from __future__ import annotations

import re

from .. import ops
from .adam import corrected_rate, moments
from .optimizer import Optimizer, check_number

__all__ = ["Muon"]


class Muon(Optimizer):
    """Momentum whose steps are made orthogonal, for matrices; AdamW for everything else (Jordan, *Muon: an
    optimizer for hidden layers in neural networks*, 2024).

    For a weight with two axes::

        m = momentum * m + g
        d = g + momentum * m                                    # nesterov=True; otherwise d = m
        x = d / norm(d)
        ns_steps times: a = x x^T, x = muon_a * x + (muon_b * a + muon_c * a a) x
        w -= learning_rate * rms_rate * sqrt(max(rows, columns)) * x

    (a Newton-Schulz iteration that brings all singular values near 1; the scale is that of Liu et al., *Muon
    is scalable for LLM training*, 2025). AdamW takes weights with any other number of axes, those with
    "embedding" in their path, and those whose path matches an expression of `exclude_layers`: name the last
    layer of the network there.

    Parameters
    ----------
    learning_rate: float, LearningRateSchedule or callable
        Default 0.001.
    adam_beta_1, adam_beta_2, epsilon: float
        Of AdamW; default 0.9, 0.999 and 1e-7.
    adam_weight_decay, weight_decay: float or None
        The decay of AdamW's weights and of the others; both 0.004 by default.
    exclude_layers: list of str, optional
        Regular expressions, searched in the paths of weights.
    exclude_embeddings: bool
        Default True.
    muon_a, muon_b, muon_c: float
        Coefficients of the iteration; default 3.4445, -4.7750 and 2.0315.
    adam_lr_ratio: float
        The learning rate of AdamW, as a multiple; default 1.
    momentum: float
        From 0 to 1; default 0.95.
    ns_steps: int
        Default 5.
    nesterov: bool
        Default True.
    rms_rate: float or None
        Default 0.2. None: steps are not scaled by the size of the matrix.
    clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
    gradient_accumulation_steps, name:
        See `Optimizer`.
    """

    slots = ("momentum", "velocity")
    hyperparameters = ("adam_beta_1", "adam_beta_2", "epsilon", "exclude_layers", "muon_a", "muon_b",
                       "muon_c", "adam_lr_ratio", "momentum", "ns_steps", "nesterov", "exclude_embeddings",
                       "adam_weight_decay", "rms_rate")

    def __init__(self, learning_rate=0.001, adam_beta_1=0.9, adam_beta_2=0.999, adam_weight_decay=0.004,
                 epsilon=1e-7, weight_decay=0.004, clipnorm=None, clipvalue=None, global_clipnorm=None,
                 use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, exclude_layers=None, exclude_embeddings=True,
                 muon_a=3.4445, muon_b=-4.7750, muon_c=2.0315, adam_lr_ratio=1, momentum=0.95, ns_steps=5,
                 nesterov=True, rms_rate=0.2):
        self.adam_beta_1 = check_number("adam_beta_1", adam_beta_1, 0, 1, open_high=True)
        self.adam_beta_2 = check_number("adam_beta_2", adam_beta_2, 0, 1, open_high=True)
        self.epsilon = check_number("epsilon", epsilon, 0)
        self.adam_weight_decay = None if adam_weight_decay is None else check_number("adam_weight_decay",
                                                                                     adam_weight_decay, 0)
        self.muon_a, self.muon_b, self.muon_c = float(muon_a), float(muon_b), float(muon_c)
        self.adam_lr_ratio = check_number("adam_lr_ratio", adam_lr_ratio, 0)
        self.momentum = check_number("momentum", momentum, 0, 1)
        if isinstance(ns_steps, bool) or not isinstance(ns_steps, int) or ns_steps < 1:
            raise ValueError(f"ns_steps={ns_steps!r} must be an int of at least 1.")
        self.ns_steps, self.nesterov = ns_steps, bool(nesterov)
        self.exclude_layers, self.exclude_embeddings = list(exclude_layers or []), bool(exclude_embeddings)
        self.rms_rate = None if rms_rate is None else check_number("rms_rate", rms_rate, 0)
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name)

    def _uses_adam(self, weight) -> bool:
        path = weight.path
        return (len(weight.shape) != 2 or self.exclude_embeddings and "embedding" in path.lower()
                or any(re.search(pattern, path) for pattern in self.exclude_layers))

    def slots_of(self, weight):
        return self.slots if self._uses_adam(weight) else self.slots[:1]

    def decay_of(self, variable):
        if not self._decays(variable):
            return None
        return self.adam_weight_decay if self._uses_adam(variable) else self.weight_decay

    def factors(self, learning_rate, step, shared):
        return learning_rate, corrected_rate(learning_rate * self.adam_lr_ratio, step, self.adam_beta_1,
                                             self.adam_beta_2)

    def update(self, value, gradient, state, factors):
        rate, alpha = factors
        if len(state) == 2:
            m, v = moments(gradient, *state, self.adam_beta_1, self.adam_beta_2)
            return value - m * alpha / (ops.sqrt(v) + self.epsilon), (m, v)
        m = state[0] * self.momentum + gradient
        step = self._orthogonal(m * self.momentum + gradient if self.nesterov else m)
        if self.rms_rate is not None:
            rate = rate * (max(value.shape) ** 0.5 * self.rms_rate)
        return value - step * rate, (m,)

    def _orthogonal(self, x):
        """Nearly the orthogonal factor of the polar decomposition of the matrix x."""
        tall = x.shape[0] > x.shape[1]
        if tall:
            x = ops.transpose(x, (1, 0))
        x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
        for _ in range(self.ns_steps):
            a = ops.matmul(x, ops.transpose(x, (1, 0)))
            b = a * self.muon_b + ops.matmul(a, a) * self.muon_c
            x = x * self.muon_a + ops.matmul(b, x)
        return ops.transpose(x, (1, 0)) if tall else x
