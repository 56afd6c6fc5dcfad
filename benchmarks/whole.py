"""A whole training process on MNIST: ``python -m benchmarks.whole LIBRARY GOAL THREADS SEED``.

GOAL "memory": LeNet-5 1998, one epoch in batches of 128; prints {"bytes": peak of resident memory}.
GOAL "accuracy": trains, and looks at the test images after every 100 steps, until 98% of them are right; prints
{"steps": number, "accuracy": fraction} at that moment.

Nothing is shared between the libraries but the network and the rules: uint8 images in memory, converted a batch at a
time, Adam with its defaults, the library's own initial weights. Without MNIST "memory" takes noise of its shape.
"""

from __future__ import annotations

import json
import sys

from .networks import NETWORKS, draw_images

BATCH, EVERY, ENOUGH, LIMIT = 128, 100, 0.98, 6000


def load(need_digits):
    """((x_train, y_train), (x_test, y_test)), images (n, 28, 28) of uint8; read without any library but NumPy."""
    import gzip
    import os

    import numpy as np
    folder = os.environ.get("PYCONV_DATA_DIR")
    if not folder:
        if need_digits:
            raise SystemExit("set PYCONV_DATA_DIR to a folder that has mnist/train-images-idx3-ubyte.gz and its like")
        (a, b), (c, d) = draw_images(NETWORKS["lenet5"], 60000), draw_images(NETWORKS["lenet5"], 10000)
        return (a[..., 0], b), (c[..., 0], d)

    def read(name, start):
        with gzip.open(os.path.join(folder, "mnist", name + "-ubyte.gz")) as f:
            return np.frombuffer(f.read(), "uint8", offset=start)
    return tuple((read(f"{part}-images-idx3", 16).reshape(-1, 28, 28), read(f"{part}-labels-idx1", 8))
                 for part in ("train", "t10k"))


def reached(steps, accuracy) -> bool:
    if accuracy >= ENOUGH:
        print(json.dumps({"steps": steps, "accuracy": accuracy}), flush=True)
    return accuracy >= ENOUGH


def train_pyconv(goal, data, threads, seed):
    import pyconv
    from pyconv.applications import lenet5
    pyconv.config.set_num_threads(threads)
    pyconv.utils.set_random_seed(seed)
    model = lenet5()
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    fit_until(model, goal, data, pyconv.callbacks.Callback)


def train_keras(goal, data, threads, seed):
    import os
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import torch

    from .peers.keras import build
    torch.set_num_threads(threads)
    keras.utils.set_random_seed(seed)
    model = build(NETWORKS["lenet5"], rescale=True)
    fresh = keras.Sequential.from_config(model.get_config())      # with Keras's own initial weights
    fresh.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    fit_until(fresh, goal, [(x[..., None], y) for x, y in data], keras.callbacks.Callback)


def fit_until(model, goal, data, base):
    """Keras's way: an "epoch" of 100 steps, and the test images after each."""
    (x, y), test = data
    if goal == "memory":
        model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
        return

    class Enough(base):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = reached((epoch + 1) * EVERY, logs["val_accuracy"])
    model.fit(x, y, batch_size=BATCH, epochs=LIMIT // EVERY, steps_per_epoch=EVERY, verbose=0, validation_data=test,
              validation_batch_size=1000, callbacks=[Enough()])


def train_torch(goal, data, threads, seed):
    import torch
    from torch import nn

    from .peers.torch import build
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model = build(NETWORKS["lenet5"])
    for part in model:
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    optimizer, cross_entropy = torch.optim.Adam(model.parameters(), fused=True), nn.CrossEntropyLoss()
    (x, y), (x_test, y_test) = [(torch.tensor(a)[:, None], torch.tensor(b).long()) for a, b in data]
    steps = 0
    while steps < LIMIT:
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(model(x[rows].float() / 255), y[rows]).backward()
            optimizer.step()
            steps += 1
            if goal == "accuracy" and steps % EVERY == 0:
                with torch.inference_mode():
                    right = sum((model(a.float() / 255).argmax(1) == b).sum().item()
                                for a, b in zip(x_test.split(1000), y_test.split(1000), strict=True))
                if reached(steps, right / len(x_test)):
                    return
        if goal == "memory":
            return


def peak_bytes() -> int:
    """The peak of this process's resident memory.

    Linux's own figure for a process starts anew when the program does; getrusage's includes what the parent had.
    """
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main():
    library, goal, threads, seed = sys.argv[1:]
    trainers = {"pyconv": train_pyconv, "torch": train_torch, "keras": train_keras}
    trainers[library](goal, load(goal == "accuracy"), int(threads), int(seed))
    if goal == "memory":
        print(json.dumps({"bytes": peak_bytes()}), flush=True)


if __name__ == "__main__":
    main()
