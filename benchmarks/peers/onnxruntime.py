"""ONNX Runtime, on a graph written with onnx.helper: inference only."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ..networks import channels_first_weights, draw_images, network_of, scaled
from . import CHECKED, attempt, warm_up_of


def build(network):
    """The network as the bytes of an ONNX model: input "x" (n, channels, height, width), output "y" (n, classes)."""
    weights, nodes, constants = iter(channels_first_weights(network)), [], []
    name = "x"

    def node(kind, inputs, **attributes):
        nonlocal name
        inputs, name = [name, *inputs], f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))

    def constant(array):
        constants.append(numpy_helper.from_array(array, f"w{len(constants)}"))
        return constants[-1].name

    def run(layers, rank):
        nonlocal name
        for kind, o in layers:
            if kind in ("conv", "depthwise"):
                kernel = next(weights)
                inputs = [constant(kernel), *([constant(next(weights))] if o.get("bias") else [])]
                node("Conv", inputs, kernel_shape=kernel.shape[2:], strides=[o["stride"]] * rank,
                     pads=[o["padding"]] * 2 * rank, group=len(kernel) if kind == "depthwise" else 1)
            elif kind == "batch_norm":
                node("BatchNormalization", [constant(next(weights)) for _ in range(4)], epsilon=1e-5)
            elif kind == "pool":
                node("MaxPool", [], kernel_shape=[o["size"]] * rank, strides=[o["size"]] * rank)
            elif kind == "global_average":
                node("GlobalAveragePool", [])
                node("Flatten", [])
            elif kind == "flatten":
                node("Flatten", [])
            elif kind == "dense":
                node("Gemm", [constant(np.ascontiguousarray(next(weights).T)), constant(next(weights))])
            elif kind == "residual":
                start = name
                run(o["body"], rank)
                body, name = name, start
                run(o["shortcut"], rank)
                node("Add", [body])
                node("Relu", [])
            if o.get("activation"):
                node("Relu", [])

    run(network.layers, len(network.shape) - 1)
    *spatial, channels = network.shape
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, *spatial])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", network.layers[-1][1]["units"]])], constants)
    # Versions that older runtimes read as well; the operators have not changed since.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class Peer:
    def __init__(self, threads):
        self.threads = threads

    def versions(self):
        return {"ONNX Runtime": onnxruntime.__version__}

    def session(self, network, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(build(network), options, providers=["CPUExecutionProvider"])

    def prepare(self, task, quick):
        network = network_of(task)
        images, _ = draw_images(network, task["count"] if task["kind"] == "predict" else CHECKED)
        x, candidates, failed = scaled(images, True), {}, {}
        if task["kind"] == "one":
            ways = [(f"{n} thread{'s' * (n > 1)}", lambda n=n: self.one(network, x, n)) for n in {1, self.threads}]
        else:
            sizes = (256, 1000) if quick else (32, 128, 256, 1000, 10000)
            ways = [(f"batches of {size}", lambda size=size: self.predict(network, x, size)) for size in sizes]
        for name, make in ways:
            attempt(candidates, failed, name, make, warm_up_of(task))
        return candidates, failed, self.session(network, 1).run(None, {"x": x[:CHECKED]})[0]

    def predict(self, network, x, size):
        run = self.session(network, self.threads).run

        def predict(warm):
            return [run(None, {"x": x[i:i + size]}) for i in range(0, size if warm else len(x), size)]
        return predict

    def one(self, network, x, threads):
        session = self.session(network, threads)
        feed = {"x": x[:1].copy()}
        return lambda: session.run(None, feed)
