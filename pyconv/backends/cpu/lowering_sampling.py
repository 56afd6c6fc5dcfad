"""How images read between their pixels become work."""

from __future__ import annotations

import math

from .lowering_conv import lowers

PLACES = 4096          # that a task reads, about


@lowers("sample_images", "sample_images_gradient", "sample_places_gradient")
def sample(planner, node):
    attrs, (first, y, *_) = node.attrs, node.inputs
    images, channels_last = attrs.get("shape", first.shape), attrs["channels_last"]
    height, width = images[1:3] if channels_last else images[2:]
    channels = images[3] if channels_last else images[1]
    rows, columns = y.shape[1:]
    reads = [planner.rep(t, None) for t in node.inputs]
    targets = [planner.define(t) for t in node.outputs]
    # Only one task may add to a sample's pixels; the other ops can share its rows.
    chunk = rows if node.op == "sample_images_gradient" else max(1, min(rows, PLACES // max(1, columns)))

    def make():
        return planner.kernels.sampling.sample(
            node.op, first.dtype, [b.whole() for b in reads], [b.whole() for b in targets], batch=images[0],
            height=height, width=width, channels=channels, rows=rows, columns=columns, chunk=chunk,
            bilinear=attrs["interpolation"] == "bilinear", fill_mode=attrs["fill_mode"],
            fill_value=attrs.get("fill_value", 0.0), channels_last=channels_last)
    planner.add(make, reads, targets, cost=math.prod(y.shape) * (6 + 3 * channels))
