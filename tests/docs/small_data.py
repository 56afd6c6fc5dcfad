"""Small data sets in the files' real formats, for tests that run documentation and examples as users do."""

import gzip
import hashlib

import numpy as np

from pyconv.datasets import _idx, fsdd, mnist


def fake_mnist(folder, monkeypatch, train=480, test=160):
    """Puts a small set of images, one bright bar for each class, into folder/mnist, and lets `mnist` expect it."""
    rng = np.random.default_rng(0)
    (folder / "mnist").mkdir(parents=True)
    files = {}
    for kind, name, count in (("train", "train", train), ("test", "t10k", test)):
        labels = rng.integers(0, 10, count).astype("uint8")
        images = rng.integers(0, 40, (count, 28, 28), "uint8")
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 4:2 * label + 7, 4:24] = 230
        for part, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            content = header + array.tobytes()
            path = folder / "mnist" / f"{name}-{part}-ubyte.gz"
            path.write_bytes(gzip.compress(content, 1))
            files[f"{kind}_{part[:6]}"] = _idx.IdxFile(path.stem, array.shape, hashlib.sha256(content).hexdigest())
    monkeypatch.setenv("PYCONV_DATA_DIR", str(folder))
    monkeypatch.setattr(mnist, "DATASET", mnist.DATASET._replace(**files))


def fake_fsdd(folder, monkeypatch):
    """Puts 3,000 short tones, a pitch for each digit, into folder/fsdd."""
    (folder / "fsdd").mkdir(parents=True)
    rng, length = np.random.default_rng(0), 400
    take, speaker, digit = (a.ravel() for a in np.meshgrid(np.arange(50), np.arange(6), np.arange(10), indexing="ij"))
    time = np.arange(length) / fsdd.SAMPLE_RATE
    samples = np.sin(2 * np.pi * (300 + 300 * digit[:, None]) * time) * 8000 + rng.normal(0, 500, (len(digit), length))
    np.savez(folder / "fsdd" / "fsdd.npz", samples=samples.astype("int16").ravel(), digit=digit.astype("uint8"),
             offsets=np.arange(len(digit) + 1) * length, take=take, speaker=np.array(list("abcdef"))[speaker])
    monkeypatch.setenv("PYCONV_DATA_DIR", str(folder))
