"""pyconv itself."""

from __future__ import annotations

import numpy as np

import pyconv
from pyconv import backends, config, layers, losses, ops
from pyconv.graph import Graph, gradients, simplify, trace
from pyconv.models.data import ArrayData

from ..layers import CONVOLUTIONS, MAPS
from ..networks import draw_images, network_of
from . import CHECKED, functional


def build(network, rescale=True):
    return functional.build(pyconv, network, rescale, integer_padding=True)


class Peer:
    def __init__(self, threads):
        self.set_threads(threads)

    def set_threads(self, threads):
        config.set_num_threads(threads)

    def versions(self):
        return {"pyconv": f"{pyconv.__version__} ({backends.current_name()}, "
                          f"{getattr(backends.current(), 'variant', '')})"}

    def prepare(self, task, quick):
        if task["kind"] == "layer":
            return {"kernels": layer(task)}, {}, np.zeros((1, 1))
        network = network_of(task)
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
        model, batch = build(network), task.get("batch")
        options = {"batch_size": batch, "verbose": 0} if batch else {}

        def predict(warm):
            model.predict(x[:batch or 1000] if warm else x, **options)
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


def anchor(x):
    """The same values in the layout that layers have among themselves; its work and conversions are not counted."""
    return ops.flip(x, 2)


def in_a_network(function):
    """The function with one more input, which is pooled: images are then in the layout of convolutions, as in a network
    that has some."""
    def run(*tensors):
        return function(*tensors[:-1]), ops.max_pool(tensors[-1], 1, data_format="channels_first")
    return run


def layer(task):
    """A function that runs the layer once, on one thread, and returns the seconds of its instructions."""
    rng, what, beside = np.random.default_rng(0), task["what"], ("flip",)
    if "convolution" in task:
        c = CONVOLUTIONS[task["convolution"]]
        shapes = {"x": (c.batch, c.channels, c.size, c.size), "g": (c.batch, c.filters, c.outputs, c.outputs)}
        window = (c.kernel, c.kernel, c.channels, c.filters)
        attrs = {"strides": (c.stride,) * 2, "dilation": (1, 1), "padding": ((c.padding,) * 2,) * 2, "groups": 1,
                 "channels_last": False}
        operands = {"forward": ("x", "w"), "input gradient": ("g", "w"), "kernel gradient": ("x", "g")}[what]
        op = {"forward": "conv", "input gradient": "conv_input_gradient",
              "kernel gradient": "conv_kernel_gradient"}[what]
        if what != "forward":
            attrs["shape"] = shapes["x"] if what == "input gradient" else window
        w = pyconv.Variable(rng.normal(size=window).astype("float32"))
        given = [shapes[name] for name in operands if name != "w"]

        def run(*tensors):
            tensors = iter(tensors)
            y = ops.base.apply(op, *[w.read() if name == "w" else anchor(next(tensors)) for name in operands], **attrs)
            return anchor(y)
    else:
        first = {"data_format": "channels_first"}
        made = {"max pooling 2×2": lambda: layers.MaxPooling2D(2, **first),
                "max pooling 3×3 stride 2": lambda: layers.MaxPooling2D(3, 2, "same", **first),
                "average pooling 2×2": lambda: layers.AveragePooling2D(2, **first),
                "average pooling 3×3 stride 2": lambda: layers.AveragePooling2D(3, 2, "same", **first),
                "ReLU": layers.ReLU, "SiLU": lambda: layers.Activation("silu"),
                "GELU": lambda: layers.Activation(lambda x: ops.gelu(x, approximate=False)),
                "batch norm": lambda: layers.BatchNormalization(axis=1),
                "layer norm": lambda: layers.LayerNormalization(axis=(1, 2, 3)),
                "instance norm": lambda: layers.InstanceNormalization(axis=1),
                "group norm, 8 groups": lambda: layers.GroupNormalization(8, axis=1)}[task["other"]]()
        made.build((None, *MAPS[1:]))
        given = [MAPS] if what == "forward" else [MAPS, tuple(made.compute_output_shape(MAPS))]

        def run(x, g=None):
            x = anchor(x)
            y = made(x, training=True) if "batch" in task["other"] else made(x)
            if g is None:
                return anchor(y)
            weights = [w.read() for w in made.trainable_variables]
            found = gradients(y, [x, *weights], anchor(g))
            return [anchor(found[0]), *found[1:]]
        if "pooling" not in task["other"]:
            run, given, beside = in_a_network(run), [*given, (MAPS[0], 1, 1)], ("flip", "max_pool")
    graph, _ = trace(run, [(shape, "float32") for shape in given], training=True)
    graph = Graph(graph.inputs, graph.outputs, [])          # without moving averages
    program = backends.current().compile(simplify(graph))
    arrays = [rng.normal(size=shape).astype("float32") for shape in given]

    def measure():
        return sum(r.nanoseconds for r in program.profile(arrays) if r.node.op not in beside) / 1e9
    measure.facts = {"products": sum(r.products for r in program.profile(arrays))}
    return measure
