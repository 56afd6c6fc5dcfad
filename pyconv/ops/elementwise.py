"""Elementwise ops: one number in, one number out, with NumPy's broadcasting where there are several inputs."""

from __future__ import annotations

import math

from ..graph import Op, Spec, Tensor, canonical, is_float
from .base import apply, as_tensor, in_type, match, operation, spec_of
from .reductions import sum_to_shape

__all__ = ["negative", "exp", "expm1", "log", "log1p", "sqrt", "square", "absolute", "sign", "floor", "tanh",
           "sigmoid", "erf", "relu", "logical_not", "isfinite", "add", "subtract", "multiply", "divide", "maximum",
           "minimum", "power", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
           "logical_and", "logical_or", "where", "cast", "check_finite", "clip", "softplus", "rsqrt", "abs",
           "sin", "cos", "arctan2", "round"]


def broadcast_shapes(name, *shapes) -> tuple:
    """NumPy's broadcasting rule; ValueError names the op and the shapes."""
    widest = max(shapes, key=len)
    if all([s == widest or s == () for s in shapes]):
        return tuple(widest)
    rank = len(widest)
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    out = []
    for sizes in zip(*padded, strict=True):
        wide = {n for n in sizes if n != 1}
        if len(wide) > 1:
            raise ValueError(f"{name}: shapes {' and '.join(map(str, shapes))} do not broadcast: along each axis, "
                             f"counted from the last, the sizes must be equal or 1.")
        out.append(wide.pop() if wide else 1)
    return tuple(out)


class _Elementwise(Op):
    floats_only = False
    no_bool = False          # as in NumPy, bool has no minus, no sign and no square
    result = None            # fixed element type of the result
    arity = 1

    def infer(self, *specs):
        dtypes = {s.dtype for s in specs}
        if len(dtypes) > 1:
            raise TypeError(f"{self.name}: the inputs have element types {', '.join(sorted(dtypes))}; cast them to "
                            f"one.")
        dtype = specs[0].dtype
        if self.floats_only and not is_float(dtype):
            raise TypeError(f"{self.name} needs float32 or float64, got {dtype}; cast it with pyconv.ops.cast.")
        if self.no_bool and dtype == "bool":
            raise TypeError(f"{self.name} needs numbers, got bool; cast it with pyconv.ops.cast.")
        return Spec(broadcast_shapes(self.name, *[s.shape for s in specs]), self.result or dtype)

    domain = (-3.0, 3.0)     # where the tests draw arguments

    def draw(self, draw, kit):
        return kit.broadcastable(draw, self.arity, *self.domain, floats_only=self.floats_only,
                                 dtypes=kit.NUMBERS if self.no_bool else kit.ALL_DTYPES), {}


class _Unary(_Elementwise):
    floats_only = True

    def gradient(self, node, grad):
        return (self.chain(node.inputs[0], node.output, grad),)

    def chain(self, x, y, g):
        """The gradient for x, given y = f(x) and the gradient g for y."""
        raise NotImplementedError


class Negative(_Unary):
    name, floats_only, no_bool = "negative", False, True

    def chain(self, x, y, g):
        return -g


class Exp(_Unary):
    name = "exp"

    def chain(self, x, y, g):
        return g * y


class Expm1(_Unary):
    name = "expm1"

    def chain(self, x, y, g):
        return g * (y + 1)


class Log(_Unary):
    name, domain = "log", (0.1, 5.0)

    def chain(self, x, y, g):
        return g / x


class Log1p(_Unary):
    name, domain = "log1p", (-0.8, 4.0)

    def chain(self, x, y, g):
        return g / (x + 1)


class Sqrt(_Unary):
    name, domain = "sqrt", (0.1, 5.0)

    def chain(self, x, y, g):
        return g * 0.5 / y


class Square(_Unary):
    name, floats_only, no_bool = "square", False, True

    def chain(self, x, y, g):
        return g * 2 * x


class Absolute(_Unary):
    name, floats_only = "absolute", False

    def chain(self, x, y, g):
        return g * apply("sign", x)


class Sign(_Unary):
    name, floats_only, no_bool, differentiable = "sign", False, True, False


class Floor(_Unary):
    name, differentiable = "floor", False


class Round(_Unary):
    """To the nearest whole number; halves go to the even one."""

    name, differentiable = "round", False


class RoundFloat16(_Unary):
    """To the nearest number of float16, ties to even, in the type of x; above the largest to infinity.

    `graph.widen` writes it into the programs of backends that store no halves.
    """

    name, differentiable, domain = "round_float16", False, (-60000.0, 60000.0)


class RoundBfloat16(_Unary):
    """To the nearest number of bfloat16, ties to even, in the type of x; see `RoundFloat16`."""

    name, differentiable = "round_bfloat16", False


class Sin(_Unary):
    name, domain = "sin", (-7.0, 7.0)

    def chain(self, x, y, g):
        return g * apply("cos", x)


class Cos(_Unary):
    name, domain = "cos", (-7.0, 7.0)

    def chain(self, x, y, g):
        return -(g * apply("sin", x))


class Tanh(_Unary):
    name = "tanh"

    def chain(self, x, y, g):
        return g * (1 - y * y)


class Sigmoid(_Unary):
    name = "sigmoid"

    def chain(self, x, y, g):
        return g * y * (1 - y)


class Erf(_Unary):
    name = "erf"

    def chain(self, x, y, g):
        return g * (2 / math.sqrt(math.pi)) * apply("exp", -(x * x))


class Relu(_Unary):
    name, floats_only = "relu", False

    def chain(self, x, y, g):
        return apply("where", apply("greater", y, as_tensor(_zero(y))), g, as_tensor(_zero(g)))


class LogicalNot(_Unary):
    name, floats_only, differentiable, result = "logical_not", False, False, "bool"


class IsFinite(_Unary):
    name, differentiable, result = "isfinite", False, "bool"


class CheckFinite(Op):
    """The identity, but a run in which an element is NaN or infinite stops before any variable is changed."""

    name = "check_finite"

    def infer(self, x, *, message):
        return x

    def gradient(self, node, grad):
        return (grad,)

    def draw(self, draw, kit):
        return kit.broadcastable(draw, 1, -3.0, 3.0, floats_only=True), {"message": "not finite"}


class _Binary(_Elementwise):
    arity = 2

    def gradient(self, node, grad):
        a, b = node.inputs
        ga, gb = self.chain(a, b, node.output, grad)
        return (ga if ga is None else sum_to_shape(ga, a.shape), gb if gb is None else sum_to_shape(gb, b.shape))

    def chain(self, a, b, y, g):
        """The gradients for a and b, with the shape of y."""
        raise NotImplementedError


class Add(_Binary):
    name = "add"

    def chain(self, a, b, y, g):
        return g, g


class Subtract(_Binary):
    name, no_bool = "subtract", True

    def chain(self, a, b, y, g):
        return g, -g


class Multiply(_Binary):
    name = "multiply"

    def chain(self, a, b, y, g):
        return g * b, g * a


class Divide(_Binary):
    name, floats_only, domain = "divide", True, (0.5, 3.0)

    def chain(self, a, b, y, g):
        return g / b, -(g * y / b)


class _Extremum(_Binary):
    """At a tie the gradient goes to the first argument."""

    def chain(self, a, b, y, g):
        first, zero = apply("equal", a, y), as_tensor(_zero(g))
        return apply("where", first, g, zero), apply("where", first, zero, g)


class Maximum(_Extremum):
    name = "maximum"


class Minimum(_Extremum):
    name = "minimum"


class Power(_Binary):
    name, floats_only, domain = "power", True, (0.3, 2.5)

    def chain(self, a, b, y, g):
        # The derivative for the exponent is only asked of a positive base; a constant exponent has none.
        # x ** 0 is 1 everywhere, so its derivative is 0, also where x ** -1 is infinite.
        zero = as_tensor(_zero(g))
        ga = apply("where", apply("equal", b, zero), zero, g * b * apply("power", a, b - 1))
        return ga, None if b.node.op == "constant" else g * y * apply("log", a)


class Arctan2(_Binary):
    """The angle of the point (x, y) = (b, a), from -pi to pi."""

    name, floats_only, domain = "arctan2", True, (0.3, 3.0)

    def chain(self, a, b, y, g):
        scaled = g / (a * a + b * b)
        return scaled * b, -(scaled * a)


class _Comparison(_Binary):
    differentiable, result = False, "bool"

    def draw(self, draw, kit):
        return kit.broadcastable(draw, 2, -2, 2, integral=True), {}


class Equal(_Comparison):
    name = "equal"


class NotEqual(_Comparison):
    name = "not_equal"


class Less(_Comparison):
    name = "less"


class LessEqual(_Comparison):
    name = "less_equal"


class Greater(_Comparison):
    name = "greater"


class GreaterEqual(_Comparison):
    name = "greater_equal"


class LogicalAnd(_Comparison):
    name = "logical_and"


class LogicalOr(_Comparison):
    name = "logical_or"


class Where(Op):
    """``condition ? a : b``; `condition` is bool, the others share one type."""

    name = "where"

    def infer(self, condition, a, b):
        if condition.dtype != "bool":
            raise TypeError(f"where: the condition must be bool, got {condition.dtype}")
        if a.dtype != b.dtype:
            raise TypeError(f"where: the choices have element types {a.dtype} and {b.dtype}; cast them to one.")
        return Spec(broadcast_shapes("where", condition.shape, a.shape, b.shape), a.dtype)

    def gradient(self, node, grad):
        condition, a, b = node.inputs
        zero = as_tensor(_zero(grad))
        return (None, sum_to_shape(apply("where", condition, grad, zero), a.shape),
                sum_to_shape(apply("where", condition, zero, grad), b.shape))

    def draw(self, draw, kit):
        condition, a, b = kit.broadcastable(draw, 3, -3.0, 3.0)
        return [condition > 0, a, b], {}


class Cast(Op):
    """Change of element type. Floats are truncated towards zero on the way to integers, as in NumPy."""

    name = "cast"

    def infer(self, x, *, dtype):
        return Spec(x.shape, canonical(dtype))

    def gradient(self, node, grad):
        x = node.inputs[0]
        return (apply("cast", grad, dtype=x.dtype) if is_float(x.dtype) and is_float(grad.dtype) else None,)

    def draw(self, draw, kit):
        return kit.broadcastable(draw, 1, 0, 100, dtypes=kit.ALL_DTYPES), {"dtype": draw(kit.dtypes())}


def _zero(like):
    import numpy as np
    return in_type(np.zeros(()), spec_of(like).dtype)


def _unary(name, doc, floats=True):
    @operation
    def function(x):
        if floats and isinstance(x, (bool, int)) or floats and not is_float(spec_of(x).dtype):
            from ..config import floatx
            x = cast(x, floatx())
        return apply(name, x)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc + "\n\nx: tensor or array of any shape; integers are converted to the default float type." \
        if floats else doc
    return function


negative = _unary("negative", "``-x``.", floats=False)
exp = _unary("exp", "The exponential function.")
expm1 = _unary("expm1", "``exp(x) - 1``, precise near 0.")
log = _unary("log", "The natural logarithm.")
log1p = _unary("log1p", "``log(1 + x)``, precise near 0.")
sqrt = _unary("sqrt", "The square root.")
square = _unary("square", "``x * x``.", floats=False)
absolute = abs = _unary("absolute", "The absolute value.", floats=False)
sign = _unary("sign", "-1, 0 or 1.", floats=False)
floor = _unary("floor", "The largest integer that is not above x.")
sin = _unary("sin", "The sine; x in radians.")
cos = _unary("cos", "The cosine; x in radians.")
tanh = _unary("tanh", "The hyperbolic tangent.")
sigmoid = _unary("sigmoid", "``1 / (1 + exp(-x))``, without overflow.")
erf = _unary("erf", "The error function.")
relu = _unary("relu", "``max(x, 0)``; the gradient at 0 is 0.", floats=False)
logical_not = _unary("logical_not", "True where x is zero or False.", floats=False)
isfinite = _unary("isfinite", "True where x is neither NaN nor infinite.")


def _binary(name, doc, floats=False):
    @operation
    def function(x1, x2):
        x1, x2 = match(x1, x2)
        if floats and not is_float(spec_of(x1).dtype):
            from ..config import floatx
            x1, x2 = cast(x1, floatx()), cast(x2, floatx())
        return apply(name, x1, x2)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc + "\n\nx1, x2: tensors, arrays or numbers that broadcast against each other."
    return function


add = _binary("add", "``x1 + x2``.")
subtract = _binary("subtract", "``x1 - x2``.")
multiply = _binary("multiply", "``x1 * x2``.")
divide = _binary("divide", "``x1 / x2``.", floats=True)
maximum = _binary("maximum", "The larger of two; at a tie the gradient goes to x1.")
minimum = _binary("minimum", "The smaller of two; at a tie the gradient goes to x1.")
power = _binary("power", "``x1 ** x2``.", floats=True)
arctan2 = _binary("arctan2", "The angle of the point (x2, x1) in radians, from -pi to pi.", floats=True)
equal = _binary("equal", "``x1 == x2``.")
not_equal = _binary("not_equal", "``x1 != x2``.")
less = _binary("less", "``x1 < x2``.")
less_equal = _binary("less_equal", "``x1 <= x2``.")
greater = _binary("greater", "``x1 > x2``.")
greater_equal = _binary("greater_equal", "``x1 >= x2``.")
logical_and = _binary("logical_and", "True where both are true (not zero).")
logical_or = _binary("logical_or", "True where either is true (not zero).")


@operation
def where(condition, x1, x2):
    """`x1` where `condition` is true, `x2` elsewhere; the three broadcast against each other."""
    x1, x2 = match(x1, x2)
    return apply("where", cast(condition, "bool"), x1, x2)


@operation
def cast(x, dtype):
    """`x` with another element type."""
    dtype = canonical(dtype)
    if spec_of(x).dtype == dtype and isinstance(x, Tensor):
        return x
    return apply("cast", x, dtype=dtype)


@operation
def check_finite(x, message="a value is NaN or infinite"):
    """`x` itself; a run that meets NaN or infinity raises ValueError(message) and changes no variable."""
    return apply("check_finite", x, message=message)


@operation
def clip(x, x_min, x_max):
    """`x` limited to the range from `x_min` to `x_max`."""
    return minimum(maximum(x, x_min), x_max)


@operation
def softplus(x):
    """``log(1 + exp(x))``, without overflow."""
    return maximum(x, 0.0) + log1p(exp(-absolute(x)))


@operation
def rsqrt(x):
    """``1 / sqrt(x)``."""
    return 1.0 / sqrt(x)


@operation
def round(x, decimals=0):
    """`x` to so many decimals, halves to the even neighbour; whole numbers stay what they are. It has no gradient."""
    if not is_float(spec_of(x).dtype):
        return x
    return apply("round", x) if not decimals else apply("round", x * 10.0 ** decimals) / 10.0 ** decimals
