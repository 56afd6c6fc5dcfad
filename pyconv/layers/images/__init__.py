"""Layers that prepare images: sizes, and random changes in training (data augmentation)."""

from . import color, geometry, mixing, sizes
from .base import ImageLayer as ImageLayer
from .color import *
from .geometry import *
from .mixing import *
from .sizes import *

__all__ = sorted(name for module in (color, geometry, mixing, sizes) for name in module.__all__)
