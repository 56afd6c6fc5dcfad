"""Single images: files, objects of Pillow, and arrays."""

from __future__ import annotations

import os

import numpy as np

from ..config import floatx, image_data_format
from .configurable import describe
from .foreign import to_hosts

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img"]

MODES = {"grayscale": ("L", 1), "rgb": ("RGB", 3), "rgba": ("RGBA", 4)}
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def pillow(function):
    """The module PIL.Image; ImportError that tells how to get it, for a function that needs it."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(f"{function} needs Pillow, which is not installed: pip install pillow.") from None
    return Image


def _format(function, data_format):
    data_format = image_data_format() if data_format is None else data_format
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"{function}: data_format={describe(data_format)} must be 'channels_last' or "
                         "'channels_first'.")
    return data_format


def array_to_img(x, data_format=None, scale=True, dtype=None):
    """An array as an image of Pillow.

    Parameters
    ----------
    x: array_like (height, width, channels), or channels first
        1 channel becomes gray, 3 colours, 4 colours with transparency.
    data_format: str, optional
        Default `pyconv.config.image_data_format()`.
    scale: bool
        Whether the smallest value becomes 0 and the largest 255; default True. Otherwise values are taken as they
        are, fractions cut off.
    dtype: str, optional
        Float type of the computation; default `pyconv.config.floatx()`.

    Raises
    ------
    ValueError
        For arrays of another rank or number of channels.
    ImportError
        If Pillow is not installed.
    """
    Image = pillow("array_to_img")
    x = np.array(to_hosts(x), dtype or floatx())
    if x.ndim != 3:
        raise ValueError(f"array_to_img takes one image, (height, width, channels), got shape {x.shape}.")
    if _format("array_to_img", data_format) == "channels_first":
        x = x.transpose(1, 2, 0)
    if x.shape[2] not in (1, 3, 4):
        raise ValueError(f"array_to_img: an image has 1, 3 or 4 channels, got {x.shape[2]} (shape {x.shape}).")
    if scale and x.size:
        x = x - x.min()
        x = x / (x.max() or 1) * 255
    if x.shape[2] == 1:
        return Image.fromarray(x[..., 0].astype("int32" if x.size and x.max() > 255 else "uint8"))
    return Image.fromarray(x.astype("uint8"))


def img_to_array(img, data_format=None, dtype=None) -> np.ndarray:
    """An image of Pillow (or an array of 2 or 3 axes) as an array (height, width, channels), or channels first.

    dtype: default `pyconv.config.floatx()`. ValueError for other ranks.
    """
    data_format = _format("img_to_array", data_format)
    x = np.asarray(to_hosts(img), dtype or floatx())
    if x.ndim not in (2, 3):
        raise ValueError(f"img_to_array takes an image with 2 or 3 axes, got shape {x.shape}.")
    x = x[..., None] if x.ndim == 2 else x
    return np.ascontiguousarray(x.transpose(2, 0, 1)) if data_format == "channels_first" else x


def load_img(path, color_mode="rgb", target_size=None, interpolation="nearest", keep_aspect_ratio=False):
    """An image file as an image of Pillow.

    Parameters
    ----------
    path: str, path, or open binary file
    color_mode: "rgb", "rgba" or "grayscale"
    target_size: (height, width), optional
        Default: as it is.
    interpolation: str
        "nearest" (default), "bilinear", "bicubic", "lanczos", "box" or "hamming".
    keep_aspect_ratio: bool
        Whether the middle of the image is cut to the ratio of `target_size` first; default False.

    Raises
    ------
    ValueError
        For other modes and filters, and files that are no images.
    ImportError
        If Pillow is not installed.
    """
    Image = pillow("load_img")
    for name, value, known in (("color_mode", color_mode, tuple(MODES)), ("interpolation", interpolation, FILTERS)):
        if value not in known:
            raise ValueError(f"load_img: {name}={describe(value)} must be one of {', '.join(map(repr, known))}.")
    mode = MODES[color_mode][0]
    try:
        with Image.open(path) as file:
            # gray of 16 or 32 bits keeps its depth
            image = file.copy() if mode == "L" and file.mode in ("L", "I;16", "I") else file.convert(mode)
    except (OSError, SyntaxError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"load_img: {describe(path)} cannot be read as an image: {error}.") from error
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    height, width = target_size
    box = None
    if keep_aspect_ratio:
        own_height = min(image.height, image.width * height // width)
        own_width = min(image.width, image.height * width // height)
        top, left = (image.height - own_height) // 2, (image.width - own_width) // 2
        box = (left, top, left + own_width, top + own_height)
    return image.resize((width, height), Image.Resampling[interpolation.upper()], box=box)


def save_img(path, x, data_format=None, file_format=None, scale=True, **kwargs):
    """Save an array as an image file; see `array_to_img`.

    file_format: str, optional
        "png", "jpeg", ...; default by the ending of `path`. kwargs: of Pillow's ``Image.save``.

    A JPEG has no transparency: a fourth channel is left out.
    """
    image = array_to_img(x, data_format, scale)
    kind = (file_format or os.path.splitext(os.fspath(path))[1].lstrip(".")).lower()
    if image.mode == "RGBA" and kind in ("jpg", "jpeg"):
        image = image.convert("RGB")
    image.save(path, format={"jpg": "jpeg"}.get(kind, kind) if file_format else None, **kwargs)
