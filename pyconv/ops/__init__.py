"""The array functions: on arrays they compute at once, on symbolic tensors they are recorded."""

from ..graph import Operators
from . import (activations, arranging, convolution, creation, einsum, elementwise, images, indexing, linear,
               mathematics, nn, pooling, random, reductions, shape, sorting)
from . import image as image

_MODULES = (activations, arranging, convolution, creation, einsum, elementwise, images, indexing, linear, mathematics,
            nn, pooling, random, reductions, shape, sorting)

Operators.functions.update(
    add=elementwise.add, sub=elementwise.subtract, mul=elementwise.multiply, truediv=elementwise.divide,
    pow=elementwise.power, matmul=linear.matmul, lt=elementwise.less, le=elementwise.less_equal,
    gt=elementwise.greater, ge=elementwise.greater_equal, getitem=shape.getitem, neg=elementwise.negative,
    abs=elementwise.absolute, invert=elementwise.logical_not, **{"and": elementwise.logical_and,
                                                                 "or": elementwise.logical_or})

# From here on `shape` and `einsum` are the functions: a star import hides the module of the same name.
from .activations import *
from .arranging import *
from .convolution import *
from .creation import *
from .einsum import *
from .elementwise import *
from .images import *
from .indexing import *
from .linear import *
from .mathematics import *
from .nn import *
from .pooling import *
from .random import *
from .reductions import *
from .shape import *
from .sorting import *

__all__ = sorted({name for module in _MODULES for name in module.__all__} - {"resolve_padding", "per_axis"})
