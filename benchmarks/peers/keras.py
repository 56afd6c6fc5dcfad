"""Keras 3 on PyTorch, used as its users do: fit, predict, and calling the model for one image."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras  # noqa: E402
import torch  # noqa: E402

from ..networks import draw_images, network_of, scaled  # noqa: E402
from . import CHECKED, functional  # noqa: E402


def build(network, rescale=False):
    return functional.build(keras, network, rescale)


class Peer:
    def __init__(self, threads):
        torch.set_num_threads(threads)

    def versions(self):
        return {"Keras": f"{keras.__version__} (torch {torch.__version__})"}

    def prepare(self, task, quick):
        network, kind = network_of(task), task["kind"]
        count = task["batch"] * task["steps"] if kind == "train" else task["count"] if kind == "predict" else CHECKED
        images, y = draw_images(network, count)
        x = scaled(images, False)
        model = build(network)
        outputs = keras.ops.convert_to_numpy(model(x[:CHECKED]))
        if kind == "train":
            batch = task["batch"]
            model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])

            def fit(warm):
                n = 2 * batch if warm else len(x)
                model.fit(x[:n], y[:n], batch_size=batch, verbose=0)
            candidates = {"fit": fit}
        elif kind == "predict":
            candidates = {f"predict, batches of {size}": lambda warm, size=size: model.predict(
                x[:size] if warm else x, batch_size=size, verbose=0) for size in (256, 1000)}
        else:
            one = x[:1].copy()
            candidates = {"predict": lambda: model.predict(one, verbose=0), "call": lambda: call(model, one)}
        for function in candidates.values():
            function(True) if kind != "one" else function()
        return candidates, {}, outputs


def call(model, x):
    with torch.inference_mode():
        return keras.ops.convert_to_numpy(model(x, training=False))
