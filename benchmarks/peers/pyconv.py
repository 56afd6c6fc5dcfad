"""pyconv itself."""

from __future__ import annotations

import pyconv
from pyconv import backends, config, losses
from pyconv.models.data import ArrayData

from ..networks import NETWORKS, draw_images
from . import CHECKED, functional


def build(network, rescale=True):
    return functional.build(pyconv, network, rescale, integer_padding=True)


class Peer:
    def __init__(self, threads):
        config.set_num_threads(threads)

    def versions(self):
        return {"pyconv": f"{pyconv.__version__} ({backends.current_name()}, "
                          f"{getattr(backends.current(), 'variant', '')})"}

    def prepare(self, task, quick):
        network = NETWORKS[task["network"]]
        return getattr(self, task["kind"])(network, task)

    def train(self, network, task):
        batch = task["batch"]
        x, y = draw_images(network, batch * task["steps"])
        model = build(network)
        outputs = model.predict(x[:CHECKED])
        model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])

        def fit(warm):
            n = 2 * batch if warm else len(x)
            model.fit(x[:n], y[:n], batch_size=batch, verbose=0)
        fit(True)
        data = ArrayData(x, y, None, batch)
        run = data.runner(model._functions(x).train)

        def step(warm):
            for i, rows in enumerate(data.epoch()):
                if warm and i == 2:
                    break
                run(rows)
        step(True)
        return {"fit": fit, "step": step}, {}, outputs

    def predict(self, network, task):
        x, _ = draw_images(network, task["count"])
        model = build(network)

        def predict(warm):
            model.predict(x[:1000] if warm else x)
        predict(True)
        predict(False)          # the last batch's program is compiled too
        return {"predict": predict}, {}, model.predict(x[:CHECKED])

    def one(self, network, task):
        x, _ = draw_images(network, CHECKED)
        model, plain = build(network), build(network, rescale=False)
        byte, real = x[:1].copy(), x[:1].astype("float32") / 255
        candidates = {"predict, uint8": lambda: model.predict(byte), "predict, float32": lambda: plain.predict(real)}
        for function in candidates.values():
            function()
        # What predict adds to the program that it calls, and to the kernels that the program calls.
        program, _ = model._functions(byte).predict.program((byte,))
        arrays, run, threads = (byte,), program.program.run, config.num_threads()
        candidates["program"] = lambda: program(arrays)
        candidates["kernels"] = lambda: run(arrays, None, threads)
        return candidates, {}, model.predict(x)
