"""CIFAR-10: 60,000 photographs of 32 by 32 pixels in ten classes (Krizhevsky, 2009)."""

from pyconv.datasets import _cifar

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

DATASET = _cifar.CifarDataset(
    name="cifar10", title="CIFAR-10", address="https://www.cs.toronto.edu/~kriz/", archive="cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530", train=tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
    test=("test_batch.bin",), classes=(10,), counts=(10_000, 10_000))


def load_data(*, cache_dir=None, timeout=30.0):
    """Loads CIFAR-10: colour images of ten kinds of animals and vehicles, 50,000 to train and 10,000 to test with.

    The archive ``cifar-10-binary.tar.gz`` (162 MB) is looked for in the folder that the environment variable
    `PYCONV_DATA_DIR` names, in its sub-folder `cifar10` or directly in it; then in the cache,
    ``cache_dir/datasets/cifar10``; else it is downloaded there. Its MD5, which its maker publishes, is verified at
    every call.

    Args:
        cache_dir: folder of the cache; by default `pyconv.utils.files.cache_directory()`.
        timeout: seconds that the server may keep silent.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, NumPy arrays:
        `x_train`: uint8, shape `(50000, 32, 32, 3)`: images, rows, columns, red, green and blue.
        `y_train`: uint8, shape `(50000, 1)`: the classes, 0 to 9, named in `CLASS_NAMES`.
        `x_test`, `y_test`: the same, with 10,000 in the place of 50,000.

    Raises:
        FileNotFoundError: `PYCONV_DATA_DIR` is set to something that is no folder.
        ValueError: the archive in `PYCONV_DATA_DIR` is another one, or damaged.
        pyconv.utils.files.DownloadError: an OSError: it could not be downloaded, or the cache not be written.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    return _cifar.load(DATASET, cache_dir=cache_dir, timeout=timeout)
