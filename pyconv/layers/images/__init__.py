"""Layers that prepare images: sizes, and random changes in training (data augmentation)."""

from . import color, geometry, mixing, policy, sizes
from .base import ImageLayer as ImageLayer
from .color import *
from .geometry import *
from .mixing import *
from .policy import *
from .sizes import *

__all__ = sorted(name for module in (color, geometry, mixing, policy, sizes) for name in module.__all__)
