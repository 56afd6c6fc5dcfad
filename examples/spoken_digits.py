"""A 1D convolutional network hears which digit is spoken.

    PYCONV_DATA_DIR=folder python examples/spoken_digits.py [--epochs 15] [--seed 0] [--quick]

The data is the Free Spoken Digit Dataset, 3,000 recordings of six speakers at 8 kHz, which the folder in
PYCONV_DATA_DIR has as fsdd/fsdd.npz (see `pyconv.datasets.fsdd`; pyconv does not download it). It is divided as its
makers say: takes 0 to 4 of each speaker and digit, 300 recordings, are the test set.

A recording becomes a log-mel spectrogram: 40 bands along the channels, one frame each 16 ms along the axis that the
convolutions slide over. In training each is moved in time and a band of it is silenced, by other amounts in each epoch.

Reaches 99.0 % on the test recordings (seed 0) in 4 s on two cores with AVX-512.
"""

import argparse
import math
import sys
import time

import numpy as np

import pyconv
from pyconv import layers

WINDOW, STEP, BANDS = 256, 128, 40          # samples, samples, mel bands


def mel_matrix(rate, bins, bands, low=80.0):
    """(bins, bands): triangles that are evenly spaced on the mel scale, 2595 log10(1 + f / 700)."""
    mel = np.linspace(*2595 * np.log10(1 + np.array([low, rate / 2]) / 700), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.linspace(0, rate / 2, bins)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def log_mel(x, rate):
    """Recordings (n, samples) to float32 (n, frames, BANDS), each with mean 0 and variance 1."""
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis=1)[:, ::STEP]
    matrix = mel_matrix(rate, WINDOW // 2 + 1, BANDS)
    power = [np.abs(np.fft.rfft(part * np.hanning(WINDOW))) ** 2 @ matrix for part in frames]   # one at a time: memory
    spectrogram = np.log(np.stack(power) + 1e-6)
    spectrogram -= spectrogram.mean((1, 2), keepdims=True)
    return (spectrogram / (spectrogram.std((1, 2), keepdims=True) + 1e-6)).astype("float32")


class Augmented(pyconv.utils.PyDataset):
    """Batches of recordings, each moved by up to `shift` frames, with up to `mask` bands set to the mean."""

    def __init__(self, x, y, batch_size, seed, shift=8, mask=8):
        super().__init__()
        self.x, self.y, self.batch_size, self.shift, self.mask = x, y, batch_size, shift, mask
        self.rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return math.ceil(len(self.x) / self.batch_size)

    def on_epoch_end(self):
        count = len(self.x)
        self.order = self.rng.permutation(count)
        self.moves = self.rng.integers(-self.shift, self.shift + 1, count)
        self.bands = self.rng.integers(0, (BANDS - self.mask, self.mask), (count, 2))      # first, and how many

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size:(index + 1) * self.batch_size]
        batch = np.empty_like(self.x[chosen])
        for row, i in enumerate(chosen):
            batch[row] = np.roll(self.x[i], self.moves[i], axis=0)
            first, width = self.bands[i]
            batch[row, :, first:first + width] = 0
        return batch, self.y[chosen]


def network(frames):
    """Three stages of convolution over time, then the loudest answer of each filter."""
    model = pyconv.Sequential([pyconv.Input((frames, BANDS))], name="ear")
    for filters in (48, 64, 96):
        model.add(layers.Conv1D(filters, 5, padding="same", use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.Activation("relu"))
        model.add(layers.MaxPooling1D(2))
    model.add(layers.GlobalMaxPooling1D())
    model.add(layers.Dropout(0.3))
    model.add(layers.Dense(10))
    return model


def main():
    parser = argparse.ArgumentParser(description="Train a 1D convolutional network on spoken digits.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=argparse.SUPPRESS, help="default: 15, or 4 with --quick")
    parser.add_argument("--batch-size", type=int, default=64, help="recordings per training step")
    parser.add_argument("--seed", type=int, default=0, help="decides weights, order, shifts: equal seeds, equal bits")
    parser.add_argument("--quick", action="store_true", help="4 epochs with every second recording, to try it out")
    parser.add_argument("--assert-accuracy", type=float, metavar="FRACTION", default=argparse.SUPPRESS,
                        help="fail if the accuracy on the test recordings is below this")
    args = parser.parse_args()

    pyconv.utils.set_random_seed(args.seed)
    try:
        (x_train, y_train), (x_test, y_test) = pyconv.datasets.fsdd.load_data(padding="center")
    except FileNotFoundError as error:
        sys.exit(str(error))
    if args.quick:
        x_train, y_train = x_train[::2], y_train[::2]
    epochs = getattr(args, "epochs", 4 if args.quick else 15)
    print(f"Spoken digits: {len(x_train):,} recordings to train with, {len(x_test):,} to test with")

    start = time.perf_counter()
    rate = pyconv.datasets.fsdd.SAMPLE_RATE
    x_train, x_test = log_mel(x_train[..., 0], rate), log_mel(x_test[..., 0], rate)
    print(f"Spectrograms of {x_train.shape[1]} frames with {BANDS} bands, made in {time.perf_counter() - start:.1f} s")

    model = network(x_train.shape[1])
    data = Augmented(x_train, y_train, args.batch_size, args.seed)
    schedule = pyconv.optimizers.schedules.CosineDecay(2e-3, epochs * len(data))
    model.compile(pyconv.optimizers.Adam(schedule), pyconv.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"])
    model.summary()
    start = time.perf_counter()
    model.fit(data, epochs=epochs, validation_data=(x_test, y_test), verbose=2)
    print(f"Trained for {epochs} epochs in {time.perf_counter() - start:.1f} s")

    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    says = model.predict(x_test, verbose=0).argmax(-1)
    for digit in range(10):
        mistakes = np.unique(says[(y_test == digit) & (says != digit)], return_counts=True)
        heard = ", ".join(f"{other} {count}x" for other, count in zip(*mistakes, strict=True))
        print(f"  {digit}: {(y_test == digit).sum()} recordings" + (f", heard as {heard}" if heard else ", all right"))
    print(f"Test accuracy: {accuracy:.2%}")
    if accuracy < getattr(args, "assert_accuracy", 0):
        sys.exit(f"The accuracy is below {args.assert_accuracy:.2%}.")


if __name__ == "__main__":
    main()
