"""Layers: functions on tensors with weights of their own."""

from ..utils.configurable import serialize as serialize
from ..utils.naming import find as _find
from . import (activation, attention, audio, convolution, convolution_transpose, core, depthwise, images,
               merging, normalization, pooling, preprocessing, regularization, reshaping, text, upsampling, wrappers)
from .activation import *
from .attention import *
from .audio import *
from .convolution import *
from .convolution_transpose import *
from .core import *
from .depthwise import *
from .images import *
from .layer import CLASSES as _CLASSES
from .layer import InputSpec as InputSpec
from .layer import Layer as Layer
from .merging import *
from .normalization import *
from .pooling import *
from .preprocessing import *
from .regularization import *
from .reshaping import *
from .text import *
from .upsampling import *
from .wrappers import *

_FAMILIES = (activation, attention, audio, convolution, convolution_transpose, core, depthwise, images, merging,
             normalization, pooling, preprocessing, regularization, reshaping, text, upsampling, wrappers)

__all__ = sorted([name for family in _FAMILIES for name in family.__all__]
                 + ["InputSpec", "Layer", "deserialize", "serialize"])


def deserialize(config, custom_objects=None):
    """The layer (or model) that `serialize` described: ``{"class_name": ..., "config": ...}``.

    Classes are found among `custom_objects` (name -> class), those of this package, and all subclasses of
    `Layer` that have been defined. ValueError for unknown ones; the message tells the nearest name.
    """
    if not isinstance(config, dict) or "class_name" not in config:
        raise TypeError("a layer's configuration must be a dictionary with a 'class_name' and a 'config', "
                        f"got {type(config).__name__}.")
    from .. import models                               # registers Model and Sequential
    known = {**_CLASSES, **{n: globals()[n] for n in __all__ if isinstance(globals()[n], type)},
             "Functional": models.Model, **(custom_objects or {})}
    table = {name: cls for name, cls in known.items() if not name.startswith("_")}
    name = str(config["class_name"])
    return _find("layer", name if name in table else name.split(">")[-1], table).from_config(config["config"])
