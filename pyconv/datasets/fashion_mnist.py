"""Fashion-MNIST: 70,000 pictures of clothes in MNIST's format (Xiao, Rasul and Vollgraf, 2017)."""

from pyconv.datasets import _idx

__all__ = ["load_data"]

# SHA-256 of the .gz files as published. They belong to the MD5s in the publisher's own table:
# train-images 8d4fb7e6c68d591d4c3dfef9ec88bf0d, train-labels 25c81989df183df01b3e8a0aad5dffbe,
# t10k-images bef4ecab320f06d8554ea6380940ec79, t10k-labels bb300cfdad3c16e7a12a480ee83cd310.
DATASET = _idx.IdxDataset(
    name="fashion_mnist",
    title="Fashion-MNIST",
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    hash_of="gzip",
    classes=10,
    train_images=_idx.IdxFile(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    train_labels=_idx.IdxFile(
        "train-labels-idx1-ubyte",
        (60000,),
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    test_images=_idx.IdxFile(
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    test_labels=_idx.IdxFile(
        "t10k-labels-idx1-ubyte",
        (10000,),
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)


def load_data(*, cache_dir=None, timeout=30.0):
    """Loads Fashion-MNIST: grey images of 28 by 28 pixels of ten kinds of clothes, 60,000 + 10,000 of them.

    The classes: 0 T-shirt or top, 1 trousers, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker,
    8 bag, 9 ankle boot.

    Files are looked for as `pyconv.datasets.mnist.load_data` tells, in the sub-folder `fashion_mnist`. What
    differs is the check: the hashes known for this data set are those of the compressed files as published,
    so a `.gz` file must have the SHA-256 of the published one, and its content must be an IDX file of exactly
    the right type, shape and length, with labels from 0 to 9. A decompressed file in `PYCONV_DATA_DIR` has no
    known hash: it is accepted in the sub-folder `fashion_mnist` only, and checked for all but the hash.

    Args:
        cache_dir: folder of the cache; by default `pyconv.utils.files.cache_directory()`.
        timeout: seconds that a mirror may keep silent before the next one is tried.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, NumPy arrays:
        `x_train`: uint8, shape `(60000, 28, 28)`: images, rows, columns; 0 is background.
        `y_train`: uint8, shape `(60000,)`: the classes, 0 to 9.
        `x_test`, `y_test`: the same, with 10,000 in the place of 60,000.

    Raises:
        FileNotFoundError: `PYCONV_DATA_DIR` is set to something that is no folder.
        ValueError: a file in `PYCONV_DATA_DIR` is not Fashion-MNIST's; the message names it and what was
            found.
        pyconv.utils.files.DownloadError: an OSError: no mirror gave a file, or the cache cannot be written;
            the message lists every mirror with its reason, and what can be done.

    Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", arXiv:1708.07747, 2017.

    Licence of the data: MIT; copyright 2017 Zalando SE.
    """
    return _idx.load(DATASET, cache_dir=cache_dir, timeout=timeout)
