"""Layers around another layer."""

from __future__ import annotations

from .. import ops
from ..initializers import TruncatedNormal
from ..utils.configurable import describe
from . import checks
from .input_spec import InputSpec, is_shape, show
from .layer import Layer

__all__ = ["Wrapper", "TimeDistributed", "SpectralNormalization"]


class Wrapper(Layer):
    """Base of layers that call another one, `layer`, whose weights are theirs too.

    layer: the `Layer`. By itself a wrapper does what the layer does.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(layer, Layer):
            raise TypeError(f"{self._title()}: layer must be a layer, got {describe(layer)}.")
        self.layer = layer

    def build(self, input_shape):
        self._build_inner(input_shape)

    def _build_inner(self, shape):
        if not self.layer.built:
            self.layer.build(shape)
            self.layer.built = True

    def call(self, inputs):
        return self.layer(inputs)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


class TimeDistributed(Wrapper):
    """Applies a layer to each step of a sequence by itself: each of inputs[:, 0], inputs[:, 1] and so on.

    Input: (batch, steps, ...). Output: (batch, steps, ...), what the layer gives for (batch, ...).

    Parameters
    ----------
    layer: Layer
        It sees all steps of all samples as one batch.
    name, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For a `layer` that is none, and inputs with fewer than 2 axes.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape):
        if not is_shape(input_shape) or len(input_shape) < 2:
            raise ValueError(f"{self._title()} needs an input (batch, steps, ...), got shape {show(input_shape)}.")
        self._build_inner((None, *input_shape[2:]))

    def call(self, inputs):
        batch, steps, *rest = inputs.shape
        outputs = self.layer(ops.reshape(inputs, (batch * steps, *rest)))
        return ops.reshape(outputs, (batch, steps, *outputs.shape[1:]))

    def compute_output_shape(self, input_shape):
        inner = self.layer.compute_output_shape((None, *input_shape[2:]))
        return (*input_shape[:2], *inner[1:])


class SpectralNormalization(Wrapper):
    """Divides the kernel of a layer by its largest singular value, at each training step.

    The kernel counts as a matrix (all other axes, filters); its largest singular value is found with power iterations
    that go on from step to step. As in Keras the kernel itself is changed, in training only, and its gradient is that
    of the divided one. A kernel of zeros stays. Weights: the layer's, and vector_u, (1, filters), not trainable.
    Source: Miyato et al., *Spectral normalization for generative adversarial networks*, 2018.

    Parameters
    ----------
    layer: Layer
        With a weight `kernel` or `embeddings`.
    power_iterations: int
        In each step; default 1.
    name, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For other arguments, and a layer without such a weight.
    """

    _precise = True

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(layer, **kwargs)
        self.power_iterations = checks.integer(self, "power_iterations", power_iterations)

    def build(self, input_shape):
        self._build_inner(input_shape)
        kernel = self._kernel()
        self.vector_u = self.add_weight((1, kernel.shape[-1]), TruncatedNormal(stddev=0.02), trainable=False,
                                        name="vector_u", dtype=kernel.dtype)

    def _kernel(self):
        for name in ("kernel", "embeddings"):
            if getattr(self.layer, name, None) is not None:
                return getattr(self.layer, name)
        raise ValueError(f"{self._title()}: the layer {self.layer.name!r} ({type(self.layer).__name__}) has no weight "
                         f"'kernel' or 'embeddings'.")

    def call(self, inputs, training=False):
        if training:
            kernel = self._kernel()
            matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
            # The vectors count as constants: where they have settled, that is the exact gradient.
            fixed, u = ops.stop_gradient(matrix), self.vector_u.value
            for _ in range(self.power_iterations):
                v = _unit(ops.matmul(u, ops.transpose(fixed)))
                u = _unit(ops.matmul(v, fixed))
            sigma = ops.sum(ops.matmul(v, matrix) * u)
            some = ops.max(ops.absolute(fixed)) > 0
            kernel.assign(kernel.value / ops.where(some, sigma, 1.0))
            self.vector_u.assign(ops.where(some, u, self.vector_u.value))
        return self.layer(inputs)


def _unit(x):
    return x * ops.rsqrt(ops.maximum(ops.sum(x * x), 1e-12))
