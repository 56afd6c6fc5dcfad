"""Batch, layer, instance and group normalization in the same network, with large and with tiny batches.

    python examples/normalizations.py [--epochs 5] [--seed 0] [--quick] [--figure normalizations.svg]

One small convolutional network is trained on 6,000 images of MNIST five times for each batch size, 128 and 2: with each
of the four normalizations after the convolutions, and without any. The learning rate is in proportion to the batch
size. Batch normalization takes mean and variance over the batch, of two images in one case; the others look at one
image at a time, and do not care about the rest of the batch.

Errors on the test images after 5 epochs (seed 0), in 75 s on two cores with AVX-512: with batches of
128 batch 2.6 %, layer 3.6 %, instance 2.6 %, group 3.2 %, none 3.6 %; with batches of 2 each 2.3 to 2.5 %, none 3.5 %.

MNIST is taken from the folder in PYCONV_DATA_DIR, from the cache, or downloaded (11 MB). --figure needs matplotlib.
"""

import argparse
import sys
import time

import pyconv
from pyconv import layers
from pyconv.utils.files import DownloadError

KINDS = {"batch": lambda: layers.BatchNormalization(momentum=0.9),
         "layer": lambda: layers.LayerNormalization(axis=(1, 2, 3)),
         "instance": layers.InstanceNormalization,
         "group": lambda: layers.GroupNormalization(groups=4),
         "none": layers.Identity}
BATCH_SIZES = (128, 2)


def network(kind):
    """Three convolutions, each followed by a normalization, and a dense layer."""
    model = pyconv.Sequential([pyconv.Input((28, 28, 1)), layers.Rescaling(1 / 255)], name=kind)
    for filters in (8, 16, 32):
        model.add(layers.Conv2D(filters, 3, padding="same"))
        model.add(KINDS[kind]())
        model.add(layers.Activation("relu"))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(10))
    return model


def train(kind, batch_size, train_data, test_data, epochs, seed):
    """The error on the test images after each epoch."""
    pyconv.utils.set_random_seed(seed)
    model = network(kind)
    model.compile(pyconv.optimizers.SGD(0.03 * batch_size / 128, momentum=0.9),
                  pyconv.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    errors = []
    for _ in range(epochs):
        model.fit(*train_data, batch_size=batch_size, verbose=0)
        errors.append(1 - model.evaluate(*test_data, batch_size=256, verbose=0)[1])
    return errors


def draw(path, curves, epochs):
    """A panel for each batch size, a curve for each normalization."""
    try:
        import matplotlib
    except ImportError:
        sys.exit("--figure needs matplotlib: pip install matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    matplotlib.rcParams["svg.hashsalt"] = "pyconv"              # the same file each time
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
    for panel, size in zip(panels, BATCH_SIZES, strict=True):
        for kind, marker in zip(KINDS, "osD^x", strict=True):
            errors = [100 * error for error in curves[kind, size]]
            panel.plot(range(1, epochs + 1), errors, marker=marker, markersize=5, label=kind)
        panel.set(title=f"batches of {size}", xlabel="epoch", yscale="log")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("error on test images (%)")
    panels[0].set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    panels[0].minorticks_off()
    panels[1].legend()
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)


def main():
    parser = argparse.ArgumentParser(description="Compare normalizations on MNIST.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=argparse.SUPPRESS, help="default: 5, or 1 with --quick")
    parser.add_argument("--seed", type=int, default=0, help="decides weights and order: equal seeds, equal bits")
    parser.add_argument("--quick", action="store_true", help="one epoch with 256 images, to try it out")
    parser.add_argument("--figure", metavar="FILE", help="draw the curves into an SVG or PNG file")
    parser.add_argument("--assert-accuracy", type=float, metavar="FRACTION", default=argparse.SUPPRESS,
                        help="fail if a network with normalization is below this with batches of 128")
    args = parser.parse_args()

    try:
        (x_train, y_train), (x_test, y_test) = pyconv.datasets.mnist.load_data(timeout=5)
    except DownloadError as error:
        sys.exit(f"MNIST is neither here nor can it be downloaded:\n{error}")
    count, epochs = (256, 1) if args.quick else (6000, 5)
    epochs = getattr(args, "epochs", epochs)
    data, test = (x_train[:count], y_train[:count]), (x_test[:5 * count], y_test[:5 * count])
    print(f"MNIST: {count:,} images to train with, {len(test[0]):,} to test with")

    curves = {}
    print("normalization" + "".join(f"{f'batches of {size}':>24}" for size in BATCH_SIZES))
    for kind in KINDS:
        line = f"{kind:13}"
        for size in BATCH_SIZES:
            start = time.perf_counter()
            curves[kind, size] = train(kind, size, data, test, epochs, args.seed)
            line += f"{f'{curves[kind, size][-1]:.2%} ({time.perf_counter() - start:.1f} s)':>24}"
        print(line, flush=True)
    print("Errors on the test images, and seconds of training and testing")
    if args.figure:
        draw(args.figure, curves, epochs)
        print(f"Saved {args.figure}")
    lowest = 1 - max(curves[kind, 128][-1] for kind in KINDS if kind != "none")
    print(f"Lowest test accuracy with a normalization and batches of 128: {lowest:.2%}")
    if lowest < getattr(args, "assert_accuracy", 0):
        sys.exit(f"The accuracy is below {args.assert_accuracy:.2%}.")


if __name__ == "__main__":
    main()
