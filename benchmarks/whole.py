"""A whole process that uses one library: ``python -m benchmarks.whole LIBRARY GOAL THREADS SEED NETWORK``.

GOAL "memory": trains, and prints {"bytes": peak of resident memory}; LeNet-5 1998 for an epoch of MNIST, in batches of
128 (without MNIST, noise of its shape), the other networks for eight of their batches of noise.
GOAL "first": prints {"first": seconds} of the first training step, from a compiled model and a batch in memory on.
GOAL "accuracy": trains LeNet-5 1998 on MNIST, and looks at the test images after every 100 steps, until 98% of them are
right; prints {"steps": number, "accuracy": fraction} at that moment.
GOAL "profile", pyconv alone: prints where the time of a step goes, see `benchmarks.shares`.

Nothing is shared between the libraries but the network and the rules: uint8 images in memory, converted a batch at a
time, Adam with its defaults; for the accuracy the library's own initial weights.
"""

from __future__ import annotations

import json
import sys
import time

from .networks import NETWORKS, draw_images

EVERY, ENOUGH, LIMIT, BATCHES = 100, 0.98, 6000, 8


def load(name, goal):
    """((x_train, y_train), (x_test, y_test)), images of uint8 with channels last; read by NumPy alone."""
    import gzip
    import os

    import numpy as np
    network, folder = NETWORKS[name], os.environ.get("PYCONV_DATA_DIR")
    if name != "lenet5" or goal not in ("memory", "accuracy"):
        count = network.batch * (BATCHES if goal == "memory" else 1)
        return draw_images(network, count), None
    if not folder:
        if goal == "accuracy":
            raise SystemExit("set PYCONV_DATA_DIR to a folder that has mnist/train-images-idx3-ubyte.gz and its like")
        return draw_images(network, 60000), draw_images(network, 10000)

    def read(name, start):
        with gzip.open(os.path.join(folder, "mnist", name + "-ubyte.gz")) as f:
            return np.frombuffer(f.read(), "uint8", offset=start)
    return tuple((read(f"{part}-images-idx3", 16).reshape(-1, 28, 28, 1), read(f"{part}-labels-idx1", 8))
                 for part in ("train", "t10k"))


def reached(steps, accuracy) -> bool:
    if accuracy >= ENOUGH:
        print(json.dumps({"steps": steps, "accuracy": accuracy}), flush=True)
    return accuracy >= ENOUGH


def train_pyconv(goal, data, threads, seed, name):
    import pyconv
    pyconv.config.set_num_threads(threads)
    pyconv.utils.set_random_seed(seed)
    if name == "lenet5" and goal != "first":
        from pyconv.applications import lenet5
        model = lenet5()
    else:
        from .peers.pyconv import build
        model = build(NETWORKS[name])
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    if goal == "profile":
        from .shares import families
        x, y = data[0]
        print(json.dumps({"training": families(model.profile(x, y, print_fn=None)),
                          "inference": families(model.profile(x, print_fn=None))}))
    else:
        fit_until(model, goal, data, pyconv.callbacks.Callback, NETWORKS[name].batch)


def train_keras(goal, data, threads, seed, name):
    import os
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import torch

    from .peers.keras import build
    torch.set_num_threads(threads)
    keras.utils.set_random_seed(seed)
    model = build(NETWORKS[name], rescale=True)
    if goal == "accuracy":
        model = keras.Sequential.from_config(model.get_config())        # with Keras's own initial weights
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    fit_until(model, goal, data, keras.callbacks.Callback, NETWORKS[name].batch)


def fit_until(model, goal, data, base, batch):
    """Keras's way; for the accuracy, an "epoch" of 100 steps and the test images after each."""
    (x, y), test = data
    if goal != "accuracy":
        start = time.perf_counter()
        model.fit(x, y, batch_size=batch, epochs=1, verbose=0)
        tell_first(goal, start)
        return

    class Enough(base):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = reached((epoch + 1) * EVERY, logs["val_accuracy"])
    model.fit(x, y, batch_size=batch, epochs=LIMIT // EVERY, steps_per_epoch=EVERY, verbose=0, validation_data=test,
              validation_batch_size=1000, callbacks=[Enough()])


def train_torch(goal, data, threads, seed, name):
    import numpy as np
    import torch
    from torch import nn

    from .peers.torch import build
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model, batch = build(NETWORKS[name]), NETWORKS[name].batch
    for part in model.modules():
        if goal == "accuracy" and hasattr(part, "reset_parameters"):
            part.reset_parameters()
    optimizer, cross_entropy = torch.optim.Adam(model.parameters(), fused=True), nn.CrossEntropyLoss()
    (x, y), *rest = [(torch.tensor(np.moveaxis(a, -1, 1)), torch.tensor(b).long()) for a, b in filter(None, data)]
    steps, start = 0, time.perf_counter()
    while steps < LIMIT:
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(model(x[rows].float() / 255), y[rows]).backward()
            optimizer.step()
            steps += 1
            if goal == "accuracy" and steps % EVERY == 0:
                x_test, y_test = rest[0]
                with torch.inference_mode():
                    right = sum((model(a.float() / 255).argmax(1) == b).sum().item()
                                for a, b in zip(x_test.split(1000), y_test.split(1000), strict=True))
                if reached(steps, right / len(x_test)):
                    return
        if goal != "accuracy":
            return tell_first(goal, start)


def tell_first(goal, start):
    if goal == "first":
        print(json.dumps({"first": time.perf_counter() - start}), flush=True)


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
    library, goal, threads, seed, name = sys.argv[1:]
    trainers = {"pyconv": train_pyconv, "torch": train_torch, "keras": train_keras}
    trainers[library](goal, load(name, goal), int(threads), int(seed), name)
    if goal == "memory":
        print(json.dumps({"bytes": peak_bytes()}), flush=True)


if __name__ == "__main__":
    main()
