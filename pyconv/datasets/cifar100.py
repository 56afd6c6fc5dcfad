"""CIFAR-100: 60,000 photographs of 32 by 32 pixels in a hundred classes (Krizhevsky, 2009)."""

from pyconv.datasets import _cifar

__all__ = ["load_data"]

DATASET = _cifar.CifarDataset(
    name="cifar100", title="CIFAR-100", address="https://www.cs.toronto.edu/~kriz/", archive="cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8", train=("train.bin",), test=("test.bin",), classes=(20, 100),
    counts=(50_000, 10_000))


def load_data(label_mode="fine", *, cache_dir=None, timeout=30.0):
    """Loads CIFAR-100: colour images of a hundred kinds of things, 50,000 to train and 10,000 to test with.

    The archive ``cifar-100-binary.tar.gz`` (161 MB) is found as `pyconv.datasets.cifar10.load_data` finds its own.

    Args:
        label_mode: `"fine"` (default): labels from 0 to 99; `"coarse"`: from 0 to 19, the groups of five kinds.
        cache_dir, timeout: see `pyconv.datasets.cifar10.load_data`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, NumPy arrays of uint8, of shapes `(50000, 32, 32, 3)`, `(50000, 1)`,
        `(10000, 32, 32, 3)` and `(10000, 1)`.

    Raises:
        ValueError: `label_mode` is another word; and what `pyconv.datasets.cifar10.load_data` raises.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f"label_mode={label_mode!r} must be 'fine' or 'coarse'.")
    return _cifar.load(DATASET, int(label_mode == "fine"), cache_dir=cache_dir, timeout=timeout)
