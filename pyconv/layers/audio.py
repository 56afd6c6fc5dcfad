"""Sound as images of time and frequency: spectrograms, computed within the program as products with sines and cosines.

A signal is cut into frames, each `stride` samples after the one before. All frames are brought into rows without
picking single samples: the signal is reshaped into pieces of `stride` samples, and a frame is some pieces in a row;
samples of its last piece that it does not reach are met by zeros of the kernel.
"""

from __future__ import annotations

import math

import numpy as np

from .. import config, ops
from ..ops.convolution import resolve_padding
from ..utils.configurable import describe
from . import checks
from .input_spec import InputSpec, is_shape, show
from .layer import Layer

__all__ = ["STFTSpectrogram", "MelSpectrogram"]

# name -> coefficients of the cosines of 0, 1, 2 ... times the angle
_WINDOWS = {"hann": (0.5, -0.5), "hamming": (0.54, -0.46), "blackman": (0.42, -0.5, 0.08), "boxcar": (1.0,)}


def window_values(layer, window, length, periodic) -> np.ndarray:
    """A window of `length` from its name or its values; periodic: as if it went on with its first value."""
    if window is None:
        return np.ones(length)
    if isinstance(window, str):
        angle = 2 * np.pi * np.arange(length) / max(1, length if periodic else length - 1)
        name = checks.choice(layer, "window", window, tuple(_WINDOWS))
        return np.ones(1) if length == 1 else sum(c * np.cos(i * angle) for i, c in enumerate(_WINDOWS[name]))
    try:
        values = np.asarray(window, "float64")
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (length,) or not np.isfinite(values).all():
        raise ValueError(f"{layer._title()}: window must be one of {', '.join(map(repr, _WINDOWS))}, or {length} "
                         f"numbers, got {describe(window)}.")
    return values


def waves(first, count, bins, length) -> tuple:
    """Cosines and sines of ``2 * pi * t * f / length`` for t from `first` (rows, `count`) and f from 0 (columns)."""
    turn = np.arange(length) * (2 * np.pi / length)
    place = np.outer(np.arange(first, first + count), np.arange(bins)) % length
    return np.cos(turn)[place], np.sin(turn)[place]


def framed_product(x, kernel, stride):
    """Each frame of signals times a matrix: x (batch, samples), kernel (length, n); gives (batch, frames, n)."""
    batch, samples = x.shape
    length, n = kernel.shape
    frames, pieces = (samples - length) // stride + 1, -(-length // stride)
    needed = (frames - 1 + pieces) * stride
    x = ops.pad(x, [(0, 0), (0, needed - samples)]) if needed > samples else x[:, :needed]
    rows = ops.reshape(x, (batch, frames - 1 + pieces, stride))
    rows = ops.concatenate([rows[:, i:i + frames] for i in range(pieces)], -1) if pieces > 1 else rows
    kernel = ops.pad(kernel, [(0, pieces * stride - length), (0, 0)])
    return ops.reshape(ops.matmul(ops.reshape(rows, (batch * frames, pieces * stride)), kernel), (batch, frames, n))


class STFTSpectrogram(Layer):
    """The short-time Fourier transform of signals, with kernels that can be trained.

    Input: (batch, samples, channels), or (batch, channels, samples) with channels_first. Output: (batch, frames,
    channels * bins), or (batch, channels * bins, frames); with `expand_dims` images (batch, frames, bins, channels), or
    (batch, channels, frames, bins). bins is fft_length // 2 + 1, twice that for "stft". Weights: real_kernel and
    imag_kernel, (frame_length, 1, bins), as far as the mode needs them.

    Parameters
    ----------
    mode: str
        "log" (default; the logarithm of the magnitude), "magnitude", "psd" (power, that of the inner bins twice),
        "real", "imag", "angle" or "stft" (real parts, then imaginary ones).
    frame_length: int
        Samples of a frame; default 256.
    frame_step: int, optional
        From frame to frame; default half of `frame_length`.
    fft_length: int, optional
        At least `frame_length`; default the next power of two.
    window: str or array, optional
        "hann" (default), "hamming", "blackman", "boxcar", or `frame_length` numbers; None for none.
    periodic: bool
        Whether the window is that of a period instead of symmetric; default False.
    scaling: str, optional
        "density" (default), "spectrum" or None: what the window is divided by.
    padding: "valid" (default) or "same"
    expand_dims: bool
        Default False.
    data_format: str
        Default `pyconv.config.image_data_format()`.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and signals shorter than a frame.
    """

    MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")

    _precise = True

    def __init__(self, mode="log", frame_length=256, frame_step=None, fft_length=None, window="hann", periodic=False,
                 scaling="density", padding="valid", expand_dims=False, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.mode = checks.choice(self, "mode", mode, self.MODES)
        self.frame_length = checks.integer(self, "frame_length", frame_length, 2)
        self.frame_step = None if frame_step is None else checks.integer(self, "frame_step", frame_step)
        self._step = self.frame_step or self.frame_length // 2
        if self._step > self.frame_length:
            raise ValueError(f"{self._title()}: frame_step={frame_step} must be at most frame_length={frame_length}.")
        self.fft_length = None if fft_length is None else checks.integer(self, "fft_length", fft_length)
        self._bins = (self.fft_length or 2 ** math.ceil(math.log2(self.frame_length))) // 2 + 1
        if self.fft_length is not None and self.fft_length < self.frame_length:
            raise ValueError(f"{self._title()}: fft_length={fft_length} must be at least frame_length={frame_length}.")
        self.periodic = checks.boolean(self, "periodic", periodic)
        self.window = window
        self._window = window_values(self, window, self.frame_length, self.periodic)
        self.scaling = None if scaling is None else checks.choice(self, "scaling", scaling, ("density", "spectrum"))
        self.padding = checks.choice(self, "padding", padding, ("valid", "same"))
        self.expand_dims = checks.boolean(self, "expand_dims", expand_dims)
        self.data_format = checks.data_format(self, data_format)
        self.input_spec = InputSpec(ndim=3)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)
        w = self._window
        if self.window is not None and self.scaling is not None:
            w = w / (np.sqrt(np.sum(w ** 2)) if self.scaling == "density" else np.sum(np.abs(w)))
        # Keras counts bins as those of an even length.
        cosines, sines = waves(0, self.frame_length, self._bins, 2 * (self._bins - 1))
        shape = (self.frame_length, 1, self._bins)

        def kernel(name, wave):
            return self.add_weight(shape, lambda _, dtype=None: (wave * w[:, None]).reshape(shape).astype(dtype),
                                   name=name)
        self.real_kernel = None if self.mode == "imag" else kernel("real_kernel", cosines)
        self.imag_kernel = None if self.mode == "real" else kernel("imag_kernel", -sines)

    def call(self, inputs):
        last = self.data_format == "channels_last"
        x = ops.transpose(inputs, (0, 2, 1)) if last else inputs
        batch, channels, samples = x.shape
        (pad,) = resolve_padding(self.padding, (samples,), (self.frame_length,), (self._step,), (1,))
        x = ops.pad(ops.reshape(x, (batch * channels, samples)), [(0, 0), pad])
        kernels = [ops.reshape(k, (self.frame_length, self._bins)) for k in (self.real_kernel, self.imag_kernel)
                   if k is not None]
        y = framed_product(x, ops.concatenate(kernels, -1), self._step)
        y = self._finish(y)
        frames, bins = y.shape[1:]
        y = ops.reshape(y, (batch, channels, frames, bins))
        if self.expand_dims:
            return ops.transpose(y, (0, 2, 3, 1)) if last else y
        if last:
            return ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (batch, frames, channels * bins))
        return ops.reshape(ops.transpose(y, (0, 1, 3, 2)), (batch, channels * bins, frames))

    def _finish(self, y):
        if self.mode in ("real", "imag", "stft"):
            return y
        real, imag = y[..., :self._bins], y[..., self._bins:]
        if self.mode == "angle":
            return ops.arctan2(imag, real)
        power = ops.square(real) + ops.square(imag)
        if self.mode == "psd":
            return power + ops.pad(power[..., 1:-1], [(0, 0), (0, 0), (1, 1)])
        magnitude = ops.sqrt(ops.maximum(power, config.epsilon()))
        return magnitude if self.mode == "magnitude" else ops.log(ops.maximum(magnitude, config.epsilon()))

    def compute_output_shape(self, input_shape):
        if not is_shape(input_shape) or len(input_shape) != 3:
            raise ValueError(f"{self._title()} needs an input with 3 axes, got shape {show(input_shape)}.")
        last = self.data_format == "channels_last"
        batch, samples, channels = (input_shape[0], *(input_shape[1:] if last else input_shape[:0:-1]))
        if channels is None:
            raise ValueError(f"{self._title()} needs a known number of channels, got an input of shape "
                             f"{show(input_shape)}.")
        frames, bins = samples, self._bins * (2 if self.mode == "stft" else 1)
        if samples is not None:
            frames = -(-samples // self._step) if self.padding == "same" \
                else (samples - self.frame_length) // self._step + 1
            if frames < 1:
                raise ValueError(f"{self._title()}: a signal of {samples} samples is shorter than a frame of "
                                 f"{self.frame_length}.")
        if self.expand_dims:
            return (batch, frames, bins, channels) if last else (batch, channels, frames, bins)
        return (batch, frames, channels * bins) if last else (batch, channels * bins, frames)


class MelSpectrogram(Layer):
    """Mel spectrograms: the power of bands of frequencies that are equally wide to the ear, frame by frame.

    Input: (batch, samples), or one signal (samples,). Output: (batch, num_mel_bins, frames), or (num_mel_bins, frames).
    Frames lie around every `sequence_stride`-th sample, the signal being reflected at its ends. The bands are triangles
    on the scale ``1127 * log(1 + f / 700)`` (HTK's). There are no weights.

    Parameters
    ----------
    fft_length: int
        Default 2048.
    sequence_stride: int
        Samples from frame to frame; default 512.
    sequence_length: int, optional
        Samples of a frame, at most `fft_length`, which is the default.
    window: str or array, optional
        "hann" (default), "hamming", "blackman", "boxcar", `sequence_length` numbers, or None.
    sampling_rate: int
        Samples in a second; default 16000.
    num_mel_bins: int
        Default 128.
    min_freq, max_freq: float
        Hertz; defaults 20 and half of `sampling_rate`.
    power_to_db: bool
        Whether the result is in decibels, ``10 * log10(power / ref_power)``; default True.
    top_db: float
        Decibels count as at least the largest of the whole batch minus this; default 80. As in Keras, so that with
        decibels a sample's numbers depend on those that it is computed with.
    mag_exp: float
        Power of the magnitude; default 2.
    min_power, ref_power: float
        Powers count as at least min_power, default 1e-10; ref_power is that of 0 decibels, default 1.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and signals too short to be reflected.
    """

    _precise = True

    def __init__(self, fft_length=2048, sequence_stride=512, sequence_length=None, window="hann", sampling_rate=16000,
                 num_mel_bins=128, min_freq=20.0, max_freq=None, power_to_db=True, top_db=80.0, mag_exp=2.0,
                 min_power=1e-10, ref_power=1.0, **kwargs):
        super().__init__(**kwargs)
        self.fft_length = checks.integer(self, "fft_length", fft_length, 2)
        self.sequence_stride = checks.integer(self, "sequence_stride", sequence_stride)
        self.sequence_length = self.fft_length if sequence_length is None \
            else checks.integer(self, "sequence_length", sequence_length)
        if self.sequence_length > self.fft_length:
            raise ValueError(f"{self._title()}: sequence_length={sequence_length} must be at most "
                             f"fft_length={fft_length}.")
        self.window = window
        self._window = window_values(self, window, self.sequence_length, True)
        self.sampling_rate = checks.integer(self, "sampling_rate", sampling_rate)
        self.num_mel_bins = checks.integer(self, "num_mel_bins", num_mel_bins)
        self.min_freq = checks.number(self, "min_freq", min_freq, 0)
        self.max_freq = checks.number(self, "max_freq", int(sampling_rate / 2) if max_freq is None else max_freq, 0)
        if self.min_freq >= self.max_freq:
            raise ValueError(f"{self._title()}: min_freq={describe(min_freq)} must be below max_freq={self.max_freq}.")
        self.power_to_db = checks.boolean(self, "power_to_db", power_to_db)
        self.top_db, self.mag_exp = checks.number(self, "top_db", top_db), checks.number(self, "mag_exp", mag_exp)
        self.min_power = checks.number(self, "min_power", min_power, 0)
        self.ref_power = checks.number(self, "ref_power", ref_power)
        self.input_spec = InputSpec(min_ndim=1, max_ndim=2)

    def _mel(self, frequency):
        return 1127.0 * np.log1p(np.asarray(frequency) / 700.0)

    def _bands(self) -> np.ndarray:
        """How much of each bin (rows) goes into each band (columns)."""
        bins = self._mel(np.linspace(0, self.sampling_rate / 2, self.fft_length // 2 + 1))[1:, None]
        edges = np.linspace(self._mel(self.min_freq), self._mel(self.max_freq), self.num_mel_bins + 2)
        low, centre, high = edges[:-2], edges[1:-1], edges[2:]
        weights = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
        return np.concatenate([np.zeros((1, self.num_mel_bins)), weights])      # nothing of the mean

    def _waves(self) -> np.ndarray:
        """The window times cosines, then sines, of all bins: (sequence_length, 2 * bins)."""
        first = (self.fft_length - self.sequence_length) // 2
        both = waves(first, self.sequence_length, self.fft_length // 2 + 1, self.fft_length)
        return np.concatenate(both, 1) * self._window[:, None]

    def build(self, input_shape):
        self._matrices = self._waves().astype(self.variable_dtype), self._bands().astype(self.variable_dtype)

    def call(self, inputs):
        x = ops.cast(inputs, self.variable_dtype)
        single = len(x.shape) == 1
        x = ops.reshape(x, (1, -1)) if single else x
        half, first = self.fft_length // 2, (self.fft_length - self.sequence_length) // 2
        if x.shape[1] <= half:
            raise ValueError(f"a signal of {x.shape[1]} samples is too short to be reflected; with fft_length="
                             f"{self.fft_length} it needs more than {half}.")
        x = ops.pad(x, [(0, 0), (half, half)], "reflect")
        end = x.shape[1] - (self.fft_length - self.sequence_length - first)
        parts = framed_product(x[:, first:end], self._matrices[0], self.sequence_stride)
        bins = self.fft_length // 2 + 1
        power = ops.square(parts[..., :bins]) + ops.square(parts[..., bins:])
        if self.mag_exp != 2:           # without an infinite slope at silence
            sound = power > 0
            power = ops.where(sound, ops.power(ops.where(sound, power, 1.0), self.mag_exp / 2), 0.0)
        mel = ops.matmul(power, self._matrices[1])
        if self.power_to_db:
            mel = 10.0 * ops.log10(ops.maximum(mel, self.min_power))
            mel = mel - 10.0 * math.log10(max(abs(self.ref_power), self.min_power))
            mel = ops.maximum(mel, ops.max(mel) - self.top_db) if x.shape[0] else mel
        mel = ops.transpose(mel, (0, 2, 1))
        return mel[0] if single else mel

    def compute_output_shape(self, input_shape):
        samples = input_shape[-1]
        # of fft_length // 2 samples on either side
        odd = self.fft_length % 2
        frames = None if samples is None else (samples - odd) // self.sequence_stride + 1
        return (*input_shape[:-1], self.num_mel_bins, frames)
