"""LeNet-5 learns to read handwritten digits.

    python examples/lenet_mnist.py [--epochs 5] [--form lecture] [--seed 0] ...

The data is MNIST: from the folder in PYCONV_DATA_DIR, from the cache, or downloaded (11 MB). Where there is neither
data nor network, the 1,797 small digits that come with scikit-learn take its place, and the first line says so.
"""

import argparse
import io
import os
import sys
import time
from contextlib import redirect_stderr

import numpy as np

import pyconv
from pyconv.utils.files import DownloadError


class Patient(io.TextIOBase):
    """Standard error that stays silent until a download gets going: the first line must tell which data is used."""

    def __init__(self, stream):
        self.stream, self.held, self.going = stream, "", False

    def isatty(self):
        return self.stream.isatty()

    def write(self, text):
        self.held += text
        self.going = self.going or text.startswith("\r")        # the bar moves
        if self.going:
            self.release()
        return len(text)

    def release(self):
        self.stream.write(self.held)
        self.stream.flush()
        self.held = ""


def load_data():
    """(name of the data, (x_train, y_train), (x_test, y_test)); images are uint8, (samples, 28, 28)."""
    messages = Patient(sys.stderr)
    try:
        with redirect_stderr(messages):
            train, test = pyconv.datasets.mnist.load_data(timeout=5)
    except DownloadError as error:
        reason = str(error)
    else:
        messages.release()
        return "MNIST", train, test
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        sys.exit("MNIST is neither here nor can it be downloaded, and scikit-learn's digits are missing too:\n"
                 f"{reason}\nOr: pip install scikit-learn")
    print("MNIST is neither here nor can it be downloaded: this run uses scikit-learn's 1,797 small digits instead.")
    digits = load_digits()
    # 8x8 pixels of 0 to 16: each becomes 3x3 pixels of 0 to 255, in a margin as wide as MNIST's 28x28 need it.
    x = np.kron(digits.images * (255 / 16), np.ones((1, 3, 3))).round().astype("uint8")
    x = np.pad(x, ((0, 0), (2, 2), (2, 2)))
    y = digits.target.astype("uint8")
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1500], order[1500:]
    return "digits", (x[train], y[train]), (x[test], y[test])


def picture(image):
    """A 28x28 image as lines of text, two pixels high each."""
    rows = image.reshape(14, 2, 28).mean(1)
    return ["".join(" .:-=+*#%@"[int(value) * 10 // 256] for value in row) for row in rows]


def show(model, x, y, count=4):
    """Print the first images with their labels and what the model says."""
    logits = model.predict(x[:count], verbose=0)
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    for lines in zip(*map(picture, x[:count]), strict=True):
        print("  ".join(lines).rstrip())
    says = [f"label {label}, says {p.argmax()} ({p.max():.1%})" for label, p in zip(y, probabilities, strict=False)]
    print("  ".join(text.ljust(28) for text in says).rstrip())


def main():
    parser = argparse.ArgumentParser(description="Train LeNet-5 on MNIST.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, help="default: 5, or 30 on scikit-learn's digits",
                        default=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, default=128, help="images per training step")
    parser.add_argument("--form", choices=("1998", "lecture"), default="1998",
                        help="6-16-120-84-10 as in the paper, or 20-50-500-10 as in lectures")
    parser.add_argument("--seed", type=int, default=0, help="decides weights and order: equal seeds, equal bits")
    parser.add_argument("--backend", metavar="NAME", default=argparse.SUPPRESS,
                        help="where to compute: cpu, cuda, cuda:1, reference; default: PYCONV_BACKEND, else cpu")
    parser.add_argument("--assert-accuracy", type=float, metavar="FRACTION", default=argparse.SUPPRESS,
                        help="fail if the accuracy on the test images is below this")
    args = parser.parse_args()

    try:
        pyconv.set_backend(getattr(args, "backend", None) or os.environ.get("PYCONV_BACKEND") or "cpu")
    except (ValueError, ImportError, RuntimeError) as error:        # one that is not known, or cannot be used here
        sys.exit(str(error))
    pyconv.utils.set_random_seed(args.seed)
    name, (x_train, y_train), (x_test, y_test) = load_data()
    epochs = getattr(args, "epochs", 5 if name == "MNIST" else 30)
    print(f"{name}: {len(x_train):,} images to train with, {len(x_test):,} to test with")

    model = pyconv.applications.lenet5(args.form)
    # A rate that falls to zero: without it the last steps still throw the accuracy about by some tenths of a percent.
    rate = pyconv.optimizers.schedules.CosineDecay(0.002, epochs * -(-len(x_train) // args.batch_size))
    model.compile(pyconv.optimizers.Adam(rate), pyconv.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"])
    model.summary()
    start = time.perf_counter()
    model.fit(x_train, y_train, batch_size=args.batch_size, epochs=epochs, validation_data=(x_test, y_test))
    print(f"Trained for {epochs} epochs in {time.perf_counter() - start:.1f} s")

    loss, accuracy = model.evaluate(x_test, y_test, batch_size=256, verbose=0)
    show(model, x_test, y_test)
    print(f"Test accuracy: {accuracy:.2%} (loss {loss:.4f})")
    if accuracy < getattr(args, "assert_accuracy", 0):
        sys.exit(f"The accuracy is below {args.assert_accuracy:.2%}.")


if __name__ == "__main__":
    main()
