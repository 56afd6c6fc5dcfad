"""Images read at computed places between their pixels: what rotations, zooms and warps are made of."""

from __future__ import annotations

from ..graph import Op, Spec, is_float
from .base import apply, match, operation, precisely, spec_of
from .convolution import is_channels_last

__all__ = ["sample_images"]

FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
SAMPLING = ("nearest", "bilinear")


def _checked(name, shape, y, x, channels_last):
    """The shape (batch, rows, columns, channels) of the result in the order of the data format, for grids y and x."""
    if len(shape) != 4:
        raise ValueError(f"{name}: images need 4 axes, got shape {tuple(shape)}.")
    sizes = shape[1:3] if channels_last else shape[2:]
    if 0 in sizes:
        raise ValueError(f"{name}: images of shape {tuple(shape)} have no pixels to read.")
    if y != x or len(y.shape) != 3 or y.shape[0] != shape[0]:
        raise ValueError(f"{name}: y and x must both have shape ({shape[0]}, rows, columns), got {y.shape} and "
                         f"{x.shape}.")
    if not is_float(y.dtype):
        raise TypeError(f"{name}: y and x must be floats, got {y.dtype}.")
    return (*y.shape, shape[3]) if channels_last else (shape[0], shape[1], *y.shape[1:])


class SampleImages(Op):
    """Images at the places (y[b, i, j], x[b, i, j]), counted in pixels from the centre of the first one.

    "nearest" takes the pixel at floor(y + 1/2), floor(x + 1/2). "bilinear" weighs the four pixels around a place.
    Pixels outside of the image are found by `fill_mode` for each of them alone, with n pixels along an axis: the
    number `fill_value` ("constant"), the next pixel inside ("nearest"), n taken away or added ("wrap"), or the image
    mirrored at the outer edge of its last pixels ("reflect") or at their centres ("mirror"). Places beyond +-2**30
    count as +-2**30, and NaN as -2**30.
    """

    name = "sample_images"

    def infer(self, images, y, x, *, interpolation, fill_mode, fill_value, channels_last):
        if not is_float(images.dtype) or images.dtype != y.dtype:
            raise TypeError(f"sample_images: images and places must have one float type, got {images.dtype} and "
                            f"{y.dtype}.")
        return Spec(_checked(self.name, images.shape, y, x, channels_last), images.dtype)

    def gradient(self, node, grad):
        images, y, x = node.inputs
        options = {k: v for k, v in node.attrs.items() if k != "fill_value"}
        to_images = apply("sample_images_gradient", grad, y, x, shape=images.shape, **options)
        if node.attrs["interpolation"] == "nearest":
            return to_images, None, None
        return (to_images, *apply("sample_places_gradient", images, y, x, grad, **node.attrs))

    def draw(self, draw, kit):
        images, y, x, _, attrs = kit.sampling(draw)
        return [images, y, x], attrs


class SampleImagesGradient(Op):
    """The gradient of `sample_images` for images of shape `shape`: what each pixel got of each place, added up.

    The places are added in their order, so the bits do not depend on the number of threads.
    """

    name = "sample_images_gradient"

    def infer(self, grad, y, x, *, shape, interpolation, fill_mode, channels_last):
        expected = _checked(self.name, shape, y, x, channels_last)
        if grad.shape != expected:
            raise ValueError(f"{self.name}: the gradient has shape {grad.shape}; expected {expected}.")
        return Spec(tuple(shape), grad.dtype)

    def gradient(self, node, grad):
        # The product of any `images` with this op's result is that of their samples with this op's input.
        upper, y, x = node.inputs
        options = {k: v for k, v in node.attrs.items() if k != "shape"}
        options["fill_value"] = 0.0
        to_upper = apply("sample_images", grad, y, x, **options)
        if options["interpolation"] == "nearest":
            return to_upper, None, None
        return (to_upper, *apply("sample_places_gradient", grad, y, x, upper, **options))

    def draw(self, draw, kit):
        images, y, x, grad, attrs = kit.sampling(draw)
        attrs.pop("fill_value")
        return [grad, y, x], {**attrs, "shape": images.shape}


class SamplePlacesGradient(Op):
    """The gradients of bilinear `sample_images` for y and x. On a pixel's centre: towards the next pixel."""

    name = "sample_places_gradient"

    def infer(self, images, y, x, grad, *, interpolation, fill_mode, fill_value, channels_last):
        expected = _checked(self.name, images.shape, y, x, channels_last)
        if grad.shape != expected:
            raise ValueError(f"{self.name}: the gradient has shape {grad.shape}; expected {expected}.")
        if interpolation != "bilinear":
            raise ValueError(f"{self.name}: interpolation={interpolation!r} has no gradient for places.")
        return y, x

    def draw(self, draw, kit):
        images, y, x, grad, attrs = kit.sampling(draw, ("bilinear",))
        return [images, y, x, grad], attrs


@operation
@precisely
def sample_images(images, y, x, interpolation="bilinear", fill_mode="constant", fill_value=0.0, data_format=None):
    """Images read at places between their pixels.

    Parameters
    ----------
    images: (batch, height, width, channels), or (batch, channels, height, width) with data_format="channels_first"
    y, x: (batch, rows, columns)
        Where to read, in pixels; the centre of the first pixel is at 0. The result has `rows` and `columns` in the
        place of height and width.
    interpolation: str
        "bilinear" or "nearest".
    fill_mode: str
        What lies outside, for a row a b c d: "constant" (`fill_value`), "nearest" (a a | a b c d | d d), "wrap"
        (c d | a b c d | a b), "mirror" (c b | a b c d | c b) or "reflect" (b a | a b c d | d c).

    There are gradients for the images and (with "bilinear") for the places. Source of the latter: Jaderberg et al.,
    *Spatial transformer networks*, 2015.
    """
    images, y, x = match(images, y, x)
    if not is_float(spec_of(images).dtype):
        raise TypeError(f"sample_images needs float32 or float64, got {spec_of(images).dtype}.")
    choose("sample_images", "interpolation", interpolation, SAMPLING)
    choose("sample_images", "fill_mode", fill_mode, FILL_MODES)
    return apply("sample_images", images, y, x, interpolation=interpolation, fill_mode=fill_mode,
                 fill_value=float(fill_value), channels_last=is_channels_last(data_format))


def choose(name, argument, value, allowed):
    """Raise ValueError unless a function's argument is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name}: {argument}={value!r} is not known; expected one of {', '.join(map(repr, allowed))}.")
