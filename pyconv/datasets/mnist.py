"""MNIST: 70,000 handwritten digits (LeCun, Bottou, Bengio and Haffner, 1998)."""

from pyconv.datasets import _idx

__all__ = ["load_data"]

# SHA-256 of the decompressed files: mirrors may wrap the same bytes in different gzip files.
DATASET = _idx.IdxDataset(
    name="mnist",
    title="MNIST",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    hash_of="content",
    classes=10,
    train_images=_idx.IdxFile(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    train_labels=_idx.IdxFile(
        "train-labels-idx1-ubyte",
        (60000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    test_images=_idx.IdxFile(
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    test_labels=_idx.IdxFile(
        "t10k-labels-idx1-ubyte",
        (10000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def load_data(*, cache_dir=None, timeout=30.0):
    """Loads MNIST: grey images of 28 by 28 pixels of the ten digits, 60,000 to train and 10,000 to test with.

    Each of the four files is looked for in this order:

    1. In the folder that the environment variable `PYCONV_DATA_DIR` names, if it is set: in its sub-folder
       `mnist`, else directly in it, as `train-images-idx3-ubyte.gz` or decompressed, without `.gz`. Nothing
       is ever written there, and a file there that is not MNIST's is an error: it is neither replaced nor
       passed over.
    2. In the cache, `cache_dir/datasets/mnist`. A file there that is not MNIST's is downloaded again, with a
       warning.
    3. At public mirrors, one after the other, into the cache.

    A file is MNIST's if its decompressed bytes have the SHA-256 of the original, verified at every call.

    Args:
        cache_dir: folder of the cache; by default `pyconv.utils.files.cache_directory()`.
        timeout: seconds that a mirror may keep silent before the next one is tried.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, NumPy arrays:
        `x_train`: uint8, shape `(60000, 28, 28)`: images, rows, columns; 0 is background, 255 is ink.
        `y_train`: uint8, shape `(60000,)`: the digits, 0 to 9.
        `x_test`, `y_test`: the same, with 10,000 in the place of 60,000.

    Raises:
        FileNotFoundError: `PYCONV_DATA_DIR` is set to something that is no folder.
        ValueError: a file in `PYCONV_DATA_DIR` is not MNIST's; the message names it and what was found.
        pyconv.utils.files.DownloadError: an OSError: no mirror gave a file, or the cache cannot be written;
            the message lists every mirror with its reason, and what can be done.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86(11), 1998. Made from NIST's Special Databases 1 and 3.

    Licence of the data: Creative Commons Attribution-Share Alike 3.0, Yann LeCun and Corinna Cortes.
    """
    return _idx.load(DATASET, cache_dir=cache_dir, timeout=timeout)
