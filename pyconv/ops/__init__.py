"""The array functions: on arrays they compute at once, on symbolic tensors they are recorded."""

from ..graph import Operators
from . import (convolution, einsum, elementwise, images, indexing, linear, nn, pooling, random, reductions,
               shape)
from . import image as image

_MODULES = (convolution, einsum, elementwise, images, indexing, linear, nn, pooling, random, reductions, shape)

Operators.functions.update(
    add=elementwise.add, sub=elementwise.subtract, mul=elementwise.multiply, truediv=elementwise.divide,
    pow=elementwise.power, matmul=linear.matmul, lt=elementwise.less, le=elementwise.less_equal,
    gt=elementwise.greater, ge=elementwise.greater_equal, getitem=shape.getitem, neg=elementwise.negative,
    abs=elementwise.absolute, invert=elementwise.logical_not, **{"and": elementwise.logical_and,
                                                                 "or": elementwise.logical_or})

# From here on `shape` and `einsum` are the functions: a star import hides the module of the same name.
from .convolution import *
from .einsum import *
from .elementwise import *
from .images import *
from .indexing import *
from .linear import *
from .nn import *
from .pooling import *
from .random import *
from .reductions import *
from .shape import *

__all__ = sorted({name for module in _MODULES for name in module.__all__} - {"resolve_padding", "per_axis"})
