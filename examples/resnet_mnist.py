"""A small residual network with batch normalization reads handwritten digits.

    python examples/resnet_mnist.py [--epochs 3] [--seed 0] [--quick]

A residual block computes x + f(x), with f two 3x3 convolutions (He et al., 2016): where f gives nothing, the block
passes its input on, so that many blocks can be stacked. Where the image is halved and the number of filters doubled, a
1x1 convolution with strides fits x to that. Batch normalization follows each convolution, which then needs no bias.

The data is MNIST: from the folder in PYCONV_DATA_DIR, from the cache, or downloaded (11 MB).

Reaches 99.2 % on the test images (seed 0) in 28 s on two cores with AVX-512.
"""

import argparse
import math
import sys
import time

import pyconv
from pyconv import layers
from pyconv.utils.files import DownloadError


def normalized(x, filters, size, strides=1):
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization(momentum=0.9)(x)


def block(x, filters, strides=1):
    """relu(x + f(x))."""
    shortcut = x if strides == 1 and x.shape[-1] == filters else normalized(x, filters, 1, strides)
    y = layers.Activation("relu")(normalized(x, filters, 3, strides))
    y = normalized(y, filters, 3)
    return layers.Activation("relu")(layers.Add()([shortcut, y]))


def network():
    """A stem that halves the image, three stages with 16, 32 and 64 filters, the mean over the image."""
    inputs = pyconv.Input((28, 28, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Activation("relu")(normalized(x, 16, 5, strides=2))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        x = block(x, filters, strides)
        x = block(x, filters)
    x = layers.GlobalAveragePooling2D()(x)
    return pyconv.Model(inputs, layers.Dense(10)(x), name="residual")


def main():
    parser = argparse.ArgumentParser(description="Train a small residual network on MNIST.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=argparse.SUPPRESS, help="default: 3, or 1 with --quick")
    parser.add_argument("--batch-size", type=int, default=128, help="images per training step")
    parser.add_argument("--seed", type=int, default=0, help="decides weights and order: equal seeds, equal bits")
    parser.add_argument("--quick", action="store_true", help="one epoch with a tenth of the data, to try it out")
    parser.add_argument("--assert-accuracy", type=float, metavar="FRACTION", default=argparse.SUPPRESS,
                        help="fail if the accuracy on the test images is below this")
    args = parser.parse_args()

    pyconv.utils.set_random_seed(args.seed)
    try:
        (x_train, y_train), (x_test, y_test) = pyconv.datasets.mnist.load_data(timeout=5)
    except DownloadError as error:
        sys.exit(f"MNIST is neither here nor can it be downloaded:\n{error}")
    if args.quick:
        x_train, y_train, x_test, y_test = x_train[::10], y_train[::10], x_test[::10], y_test[::10]
    epochs = getattr(args, "epochs", 1 if args.quick else 3)
    print(f"MNIST: {len(x_train):,} images to train with, {len(x_test):,} to test with")

    model = network()
    schedule = pyconv.optimizers.schedules.CosineDecay(3e-3, epochs * math.ceil(len(x_train) / args.batch_size))
    model.compile(pyconv.optimizers.AdamW(schedule, weight_decay=1e-3),
                  pyconv.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.summary()
    start = time.perf_counter()
    model.fit(x_train, y_train, batch_size=args.batch_size, epochs=epochs, validation_data=(x_test, y_test))
    print(f"Trained for {epochs} epochs in {time.perf_counter() - start:.1f} s")

    _, accuracy = model.evaluate(x_test, y_test, batch_size=256, verbose=0)
    print(f"Test accuracy: {accuracy:.2%}")
    if accuracy < getattr(args, "assert_accuracy", 0):
        sys.exit(f"The accuracy is below {args.assert_accuracy:.2%}.")


if __name__ == "__main__":
    main()
