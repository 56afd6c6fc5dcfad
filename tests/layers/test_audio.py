"""Spectrograms: against NumPy's transform of each frame, against Keras, and tones that show in their band."""

import json
import os

import numpy as np
import pytest

import pyconv
from pyconv import layers

RNG = np.random.default_rng(6)


def frames_of(x, length, step):
    return np.stack([x[:, i:i + length] for i in range(0, x.shape[1] - length + 1, step)], 1)


@pytest.mark.parametrize("length, step, bins", [(8, 4, 8), (7, 3, 8), (5, 5, 8), (6, 1, 16)])
def test_transform_of_each_frame(length, step, bins):
    x = RNG.normal(size=(2, 29, 1))
    layer = layers.STFTSpectrogram("stft", length, step, bins, window="hann", periodic=True, scaling=None,
                                   dtype="float64")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    expected = np.fft.rfft(frames_of(x[..., 0], length, step) * window, bins)
    np.testing.assert_allclose(layer(x), np.concatenate([expected.real, expected.imag], -1), atol=1e-12)
    angle = layers.STFTSpectrogram("angle", length, step, bins, periodic=True, dtype="float64")
    np.testing.assert_allclose(angle(x)[..., 1:-1], np.angle(expected)[..., 1:-1], atol=1e-9)


@pytest.mark.parametrize("arguments, samples", [
    ({}, 3000), ({"sequence_stride": 100, "fft_length": 256}, 1001), ({"fft_length": 255, "sequence_stride": 64}, 900),
    ({"fft_length": 128, "sequence_length": 100, "sequence_stride": 31}, 700)])
def test_mel_bands_of_the_power_of_each_frame(arguments, samples):
    layer = layers.MelSpectrogram(**arguments, num_mel_bins=20, power_to_db=False, dtype="float64")
    x = RNG.normal(size=(2, samples))
    fft, length, step = layer.fft_length, layer.sequence_length, layer.sequence_stride
    window = np.zeros(fft)
    window[(fft - length) // 2:][:length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    wide = np.pad(x, [(0, 0), (fft // 2, fft // 2)], "reflect")
    power = np.abs(np.fft.rfft(frames_of(wide, fft, step) * window, fft)) ** 2
    hertz = np.arange(fft // 2 + 1) * 8000 / (fft // 2)
    mel = 2595 * np.log10(1 + hertz / 700)
    edges = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 8000 / 700), 22)
    bands = np.array([np.interp(mel, edges[i:i + 3], [0, 1, 0]) for i in range(20)])
    bands[:, 0] = 0
    y = layer(x)
    np.testing.assert_allclose(y, np.einsum("ntf,bf->nbt", power, bands), rtol=1e-3, atol=1e-6 * y.max())
    assert layer.compute_output_shape((None, samples)) == (None, *y.shape[1:])
    np.testing.assert_allclose(layer(x[0]), y[0], rtol=1e-9)


@pytest.mark.peers
@pytest.mark.parametrize("arguments", [
    {}, {"window": None, "top_db": 30.0, "ref_power": 2.0}, {"mag_exp": 1.0, "power_to_db": False, "max_freq": 3000},
    {"fft_length": 512, "sequence_length": 400, "sequence_stride": 160, "num_mel_bins": 40, "window": "hamming"}])
def test_mel_spectrogram_is_kerass(arguments):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    x = RNG.normal(size=(2, 5000)).astype("float32")
    ours = layers.MelSpectrogram(**arguments)
    theirs = keras.layers.MelSpectrogram.from_config(json.loads(json.dumps(ours.get_config())))
    expected = keras.ops.convert_to_numpy(theirs(x))
    # Some bands hold no bin at all, and then 1e-10 by definition.
    np.testing.assert_allclose(ours(x), expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())
    assert layers.MelSpectrogram.from_config(theirs.get_config()).get_config() == ours.get_config() \
        | {"name": theirs.name}


@pytest.mark.peers
@pytest.mark.parametrize("mode", layers.STFTSpectrogram.MODES)
def test_spectrogram_is_kerass(mode):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    x = RNG.normal(size=(2, 700, 2)).astype("float32")
    ours = layers.STFTSpectrogram(mode, 100, 30, 128)
    theirs = keras.layers.STFTSpectrogram.from_config(json.loads(json.dumps(ours.get_config())))
    y, expected = ours(x), keras.ops.convert_to_numpy(theirs(x))
    for a, b in zip(ours.get_weights(), theirs.weights, strict=True):
        np.testing.assert_allclose(a, keras.ops.convert_to_numpy(b.value), atol=1e-5)
    if mode == "angle":        # of numbers around zero it is any
        y, expected = (np.stack([np.cos(a), np.sin(a)])[..., 3:60] for a in (y, expected))
        assert np.median(np.abs(y - expected)) < 1e-4
    else:
        np.testing.assert_allclose(y, expected, rtol=1e-3, atol=2e-5)


def test_tones_are_told_apart():
    """A small network on mel spectrograms learns which of two tones sounds; the layer is part of its program."""
    time = np.arange(2048) / 8000
    pitch = np.where(np.arange(128) % 2, 440.0, 1500.0)
    x = (np.sin(2 * np.pi * pitch[:, None] * time + RNG.uniform(0, 6, (128, 1))) + 0.3 * RNG.normal(size=(128, 2048)))
    mel = layers.MelSpectrogram(256, 128, sampling_rate=8000, num_mel_bins=16)
    x = x.astype("float32")
    strongest = mel(x).mean(2).argmax(1)
    assert set(strongest[::2]).isdisjoint(strongest[1::2])
    model = pyconv.Sequential([pyconv.Input((2048,)), mel, layers.Rescaling(0.05), layers.Permute((2, 1)),
                               layers.Conv1D(8, 3, activation="relu"), layers.GlobalAveragePooling1D(),
                               layers.Dense(2)])
    model.compile(pyconv.optimizers.Adam(0.02), pyconv.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"])
    history = model.fit(x, np.arange(128) % 2, epochs=25, batch_size=32, verbose=0).history
    assert history["accuracy"][-1] > 0.95


@pytest.mark.parametrize("call, message", [
    (lambda: layers.STFTSpectrogram(frame_length=8, frame_step=9), "at most frame_length=8"),
    (lambda: layers.STFTSpectrogram(frame_length=8, fft_length=4), "at least frame_length=8"),
    (lambda: layers.STFTSpectrogram("magnitud"), "Did you mean 'magnitude'"),
    (lambda: layers.STFTSpectrogram(window="hanning"), "Did you mean 'hann'"),
    (lambda: layers.STFTSpectrogram(window=np.ones(3)), "256 numbers"),
    (lambda: layers.STFTSpectrogram()(np.ones((1, 100, 1), "float32")), "shorter than a frame"),
    (lambda: layers.MelSpectrogram()(np.ones((1, 100), "float32")), "too short to be reflected"),
    (lambda: layers.MelSpectrogram(min_freq=9000.0), "must be below max_freq"),
    (lambda: layers.MelSpectrogram(64, sequence_length=65), "at most fft_length=64"),
])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
