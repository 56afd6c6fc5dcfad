"""Learning rates that depend on the number of steps taken. They are part of the compiled step.

A schedule is given to an optimizer in the place of a number: ``Adam(CosineDecay(1e-3, 10_000))``. Names,
arguments and formulas are Keras's; `step` counts from 0, and rates are computed in the default float type.
"""

from __future__ import annotations

import math
import numbers

import numpy as np

from .. import ops
from ..config import floatx
from ..utils.configurable import parameters, plain
from ..utils.naming import find
from ..utils.registry import get_registered_name

__all__ = ["CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay",
           "LearningRateSchedule", "PiecewiseConstantDecay", "PolynomialDecay", "deserialize", "serialize"]


class LearningRateSchedule:
    """Base class. A subclass writes ``__call__(self, step)`` with `pyconv.ops`, and keeps the arguments of
    its constructor as attributes of the same names (or writes `get_config`).

    step: int64 scalar, how many steps were taken; symbolic while a model is traced. Result: a float scalar.
    """

    def __call__(self, step):
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__(self, step).")

    def get_config(self) -> dict:
        """The arguments that make a schedule like this one."""
        return {name: plain(getattr(self, name)) for name in parameters(type(self))}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"

    def _number(self, name, value, above=None):
        if isinstance(value, bool) or not isinstance(value, (numbers.Real, np.floating)):
            raise TypeError(f"{type(self).__name__}: {name} must be a number, got {value!r}.")
        if not math.isfinite(value) or above is not None and not value > above:
            limit = "finite" if above is None else f"above {above}"
            raise ValueError(f"{type(self).__name__}: {name}={value} must be {limit}.")
        return value

    def _fraction(self, step, steps):
        """``step / steps`` in the default float type."""
        return ops.cast(step, floatx()) / float(steps)


# cos(pi/2 - x) = sin(x) as a series in x * x; on [-pi/2, pi/2] the first term left out is below 2e-18. It is
# made of products and sums alone, which a cosine of the system's mathematical library is not.
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(11)]


def cos_pi(x):
    """``cos(pi * x)`` for x from 0 to 1."""
    angle = (0.5 - x) * math.pi
    square = angle * angle
    total = _SINE[-1]
    for coefficient in _SINE[-2::-1]:
        total = square * total + coefficient
    return angle * total


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate: float
    decay_steps: number above 0
    decay_rate: float
    staircase: bool
        Whether ``step / decay_steps`` is rounded down, so that the rate falls in steps; default False.
    name: str

    Raises
    ------
    ValueError
        If decay_steps is not above 0.
    """

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False,
                 name="ExponentialDecay"):
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._number("decay_steps", decay_steps, 0)
        self.decay_rate = self._number("decay_rate", decay_rate)
        self.staircase, self.name = bool(staircase), name

    def __call__(self, step):
        p = self._fraction(step, self.decay_steps)
        if self.staircase:
            p = ops.floor(p)
        return self.initial_learning_rate * ops.power(float(self.decay_rate), p)


class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Arguments as for `ExponentialDecay`.
    """

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False,
                 name="InverseTimeDecay"):
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._number("decay_steps", decay_steps, 0)
        self.decay_rate = self._number("decay_rate", decay_rate)
        self.staircase, self.name = bool(staircase), name

    def __call__(self, step):
        p = self._fraction(step, self.decay_steps)
        if self.staircase:
            p = ops.floor(p)
        return self.initial_learning_rate / (1.0 + self.decay_rate * p)


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and with step ``boundaries[0]``, then ``values[1]`` up to ``boundaries[1]``, and so
    on.

    Parameters
    ----------
    boundaries: list of numbers
        Rising.
    values: list of float
        One more than boundaries.
    name: str

    Raises
    ------
    ValueError
        If the lengths do not fit, or the boundaries do not rise.
    """

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        self.boundaries = [self._number("boundaries", b) for b in boundaries]
        self.values = [self._number("values", v) for v in values]
        self.name = name
        if len(self.values) != len(self.boundaries) + 1 or not self.boundaries:
            raise ValueError(f"PiecewiseConstantDecay: {len(self.boundaries)} boundaries need "
                             f"{len(self.boundaries) + 1} values and at least one boundary, got "
                             f"{len(self.values)} values.")
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"PiecewiseConstantDecay: the boundaries must rise, got {self.boundaries}.")

    def __call__(self, step):
        rate = np.asarray(self.values[-1], floatx())
        for boundary, value in zip(self.boundaries[::-1], self.values[-2::-1], strict=True):
            # A step beside a boundary of 2.5 is an integer beside 2: Keras casts to the type of the step.
            rate = ops.where(ops.less_equal(step, int(boundary)), float(value), rate)
        return rate


class PolynomialDecay(LearningRateSchedule):
    """From `initial_learning_rate` to `end_learning_rate` in `decay_steps` steps::

        (initial_learning_rate - end_learning_rate) * (1 - step / decay_steps) ** power + end_learning_rate

    After that the rate stays, or with `cycle` begins anew, with decay_steps times the number of cycles.

    Parameters
    ----------
    initial_learning_rate: float
    decay_steps: number above 0
    end_learning_rate: float
        Default 0.0001.
    power: float
        Default 1, a straight line.
    cycle: bool
        Default False.
    name: str
    """

    def __init__(self, initial_learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0, cycle=False,
                 name="PolynomialDecay"):
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._number("decay_steps", decay_steps, 0)
        self.end_learning_rate = self._number("end_learning_rate", end_learning_rate)
        self.power, self.cycle, self.name = self._number("power", power), bool(cycle), name

    def __call__(self, step):
        p = self._fraction(step, self.decay_steps)
        if self.cycle:
            # step / (decay_steps * ceil(step / decay_steps)), the first cycle beginning at step 0
            p = p / ops.maximum(-ops.floor(-p), 1.0)
        else:
            p = ops.minimum(p, 1.0)
        fall = 1.0 - p if self.power == 1 else ops.power(1.0 - p, float(self.power))
        return (self.initial_learning_rate - self.end_learning_rate) * fall + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Half a period of a cosine, from the initial rate down to `alpha` times it, after a straight rise if
    wanted (Loshchilov and Hutter, *SGDR: stochastic gradient descent with warm restarts*, 2017)::

        rate * ((1 - alpha) * (1 + cos(pi * min(step / decay_steps, 1))) / 2 + alpha)

    With `warmup_target` the rate rises in `warmup_steps` steps from `initial_learning_rate` to
    `warmup_target`, from which the decay then starts.

    Parameters
    ----------
    initial_learning_rate: float
    decay_steps: number above 0
        Steps of the decay, those of the warmup not counted.
    alpha: float
        Default 0.
    name: str
    warmup_target: float, optional
    warmup_steps: int
        Default 0.
    """

    def __init__(self, initial_learning_rate, decay_steps, alpha=0.0, name="CosineDecay", warmup_target=None,
                 warmup_steps=0):
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._number("decay_steps", decay_steps, 0)
        self.alpha, self.name = self._number("alpha", alpha), name
        self.warmup_target = None if warmup_target is None else self._number("warmup_target", warmup_target)
        self.warmup_steps = self._number("warmup_steps", warmup_steps)
        if self.warmup_steps < 0:
            raise ValueError(f"CosineDecay: warmup_steps={warmup_steps} must be at least 0.")

    def __call__(self, step):
        step, start = ops.cast(step, floatx()), self.initial_learning_rate
        warm = self.warmup_target is not None
        if warm:
            rise = start + (self.warmup_target - start) * (step / float(self.warmup_steps or 1))
            start = self.warmup_target
        p = (step - float(self.warmup_steps) if warm else step) / float(self.decay_steps)
        p = ops.clip(p, 0.0, 1.0)
        decayed = start * ((1.0 - self.alpha) * (0.5 * (1.0 + cos_pi(p))) + self.alpha)
        return ops.where(ops.less(step, float(self.warmup_steps)), rise, decayed) if warm else decayed


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decays one after the other, each `t_mul` times as long and `m_mul` times as high as the one
    before (Loshchilov and Hutter, *SGDR*, 2017).

    Parameters
    ----------
    initial_learning_rate: float
    first_decay_steps: number above 0
        Steps of the first decay.
    t_mul: float
        At least 1; default 2.
    m_mul: float
        Default 1.
    alpha: float
        The lowest rate, as a fraction of `initial_learning_rate`; default 0.
    name: str
    """

    def __init__(self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0,
                 name="SGDRDecay"):
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = self._number("first_decay_steps", first_decay_steps, 0)
        self.t_mul, self.m_mul = self._number("t_mul", t_mul, 0), self._number("m_mul", m_mul)
        if self.t_mul < 1:
            raise ValueError(f"CosineDecayRestarts: t_mul={t_mul} must be at least 1.")
        self.alpha, self.name = self._number("alpha", alpha), name

    def __call__(self, step):
        p = self._fraction(step, self.first_decay_steps)
        if self.t_mul == 1:
            period = ops.floor(p)
            p = p - period
        else:
            t = float(self.t_mul)
            # The geometric series 1 + t + t**2 + ... solved for the number of whole periods. Its logarithm is
            # rounded: one period is added or taken off where the fraction would leave [0, 1].
            period = ops.floor(ops.log(1.0 + p * (t - 1.0)) / math.log(t))
            begin = (ops.power(t, period) - 1.0) / (t - 1.0)
            period = period + ops.where(ops.less(p, begin), -1.0, 0.0)
            begin = (ops.power(t, period) - 1.0) / (t - 1.0)
            length = ops.power(t, period)
            period = period + ops.where(ops.greater_equal(p - begin, length), 1.0, 0.0)
            length = ops.power(t, period)
            p = (p - (length - 1.0) / (t - 1.0)) / length
        height = 0.5 * (1.0 + cos_pi(ops.clip(p, 0.0, 1.0)))
        if self.m_mul != 1:
            height = height * ops.power(float(self.m_mul), period)
        return self.initial_learning_rate * ((1.0 - self.alpha) * height + self.alpha)


_TABLE = {c.__name__: c for c in (CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay,
                                  PiecewiseConstantDecay, PolynomialDecay)}


def serialize(learning_rate_schedule) -> dict:
    """The schedule as a dictionary of its class name and configuration."""
    return {"class_name": get_registered_name(type(learning_rate_schedule)),
            "config": learning_rate_schedule.get_config()}


def deserialize(config, custom_objects=None) -> LearningRateSchedule:
    """The schedule that `serialize` described. custom_objects: dict, name -> class of one's own schedules."""
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError(f"a schedule's configuration is a dictionary with 'class_name' and 'config', got "
                         f"{config!r}.")
    own = {c.__name__: c for c in _subclasses(LearningRateSchedule)}
    table = {**own, **_TABLE, **(custom_objects or {})}
    return find("learning rate schedule", config["class_name"], table).from_config(config.get("config") or {})


def _subclasses(cls):
    return [c for sub in cls.__subclasses__() for c in (sub, *_subclasses(sub))]
