"""PyTorch: eager, channels last, fused Adam, torch.compile."""

from __future__ import annotations

import torch
from torch import nn

from ..layers import CONVOLUTIONS, MAPS
from ..networks import after, channels_first_weights, draw_images, network_of, scaled
from . import CHECKED, attempt, warm_up_of


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return nn.functional.relu(self.body(x) + self.shortcut(x))


def modules(layers, shape):
    """The layers as a Sequential, for samples of `shape` (*spatial, channels)."""
    parts, rank = [], len(shape) - 1
    for layer in layers:
        kind, o = layer
        if kind in ("conv", "depthwise"):
            groups = shape[-1] if kind == "depthwise" else 1
            parts.append(getattr(nn, f"Conv{rank}d")(shape[-1], o.get("filters", shape[-1]), o["size"], o["stride"],
                                                     o["padding"], groups=groups, bias=o.get("bias", False)))
        elif kind == "batch_norm":
            parts.append(getattr(nn, f"BatchNorm{rank}d")(shape[-1], eps=1e-5, momentum=0.1))
        elif kind == "pool":
            parts.append(getattr(nn, f"MaxPool{rank}d")(o["size"]))
        elif kind == "global_average":
            parts += [getattr(nn, f"AdaptiveAvgPool{rank}d")(1), nn.Flatten()]
        elif kind == "flatten":
            parts.append(nn.Flatten())
        elif kind == "dropout":
            parts.append(nn.Dropout(o["rate"]))
        elif kind == "dense":
            parts.append(nn.Linear(shape[0], o["units"]))
        else:
            parts.append(Residual(modules(o["body"], shape), modules(o["shortcut"], shape)))
        if o.get("activation"):
            parts.append(nn.ReLU())
        shape = after(layer, shape)
    return nn.Sequential(*parts)


def build(network):
    model = modules(network.layers, network.shape)
    weights = iter(channels_first_weights(network))
    with torch.no_grad():
        for module in model.modules():          # in the order in which they were made
            for name in ("weight", "bias", "running_mean", "running_var"):
                if getattr(module, name, None) is not None:
                    getattr(module, name).copy_(torch.from_numpy(next(weights)))
    return model


def channels_last(model, x):
    form = torch.channels_last_3d if x.ndim == 5 else torch.channels_last
    return model.to(memory_format=form), x.contiguous(memory_format=form)


class Peer:
    def __init__(self, threads):
        self.set_threads(threads)

    def set_threads(self, threads):
        torch.set_num_threads(threads)

    def versions(self):
        return {"PyTorch": torch.__version__}

    def prepare(self, task, quick):
        if task["kind"] == "layer":
            return self.layer(task)
        network = network_of(task)
        count = task["batch"] * task["steps"] if task["kind"] == "train" else task["count"]
        count = CHECKED if task["kind"] == "one" else count
        images, labels = draw_images(network, count)
        x, y = torch.from_numpy(scaled(images, True)), torch.from_numpy(labels)
        candidates, failed = {}, {}
        for name, options in getattr(self, f"ways_to_{task['kind']}")(task, quick, len(network.shape) - 1):
            attempt(candidates, failed, name, lambda o=options: getattr(self, task["kind"])(network, task, x, y, **o),
                    warm_up_of(task))
        with torch.inference_mode():
            outputs = build(network).eval()(x[:CHECKED]).numpy()
        return candidates, failed, outputs

    # ---- training

    def ways_to_train(self, task, quick, rank):
        yield "eager, fused Adam", {"fused": True}
        if rank > 1:
            yield "channels last, fused Adam", {"fused": True, "last": True}
        if not quick:
            yield "eager, Adam", {}
        if task.get("compile"):
            yield "compile, fused Adam", {"fused": True, "compile": True}

    def train(self, network, task, x, y, fused=False, last=False, compile=False):
        model, batch, steps = build(network), task["batch"], task["steps"]
        if last:
            model, x = channels_last(model, x)
        optimizer = torch.optim.Adam(model.parameters(), fused=fused)
        cross_entropy = nn.CrossEntropyLoss()

        def loss_of(a, b):
            return cross_entropy(model(a), b)
        if compile:                     # chooses layouts by itself
            loss_of = torch.compile(loss_of)

        def run(warm):
            for i in range(2 if warm else steps):
                part = slice(i * batch, (i + 1) * batch)
                optimizer.zero_grad(set_to_none=True)
                loss_of(x[part], y[part]).backward()
                optimizer.step()
        return run

    # ---- prediction

    def ways_to_predict(self, task, quick, rank):
        for size in [task["batch"]] if "batch" in task else (256, 1000) if quick else (32, 128, 256, 1000):
            yield f"eager, batches of {size}", {"size": size}
            if rank > 1:
                yield f"channels last, batches of {size}", {"size": size, "last": True}
        if task.get("compile"):
            yield "compile, batches of 250", {"size": 250, "compile": True}

    def predict(self, network, task, x, y, size, last=False, compile=False):
        model = build(network).eval()
        if last:
            model, x = channels_last(model, x)
        mode = torch.inference_mode
        if compile:
            model, mode = torch.compile(model), torch.no_grad

        def run(warm):
            with mode():
                return [model(x[i:i + size]) for i in range(0, size if warm else len(x), size)]
        return run

    def ways_to_one(self, task, quick, rank):
        yield "eager", {}
        if rank > 1:
            yield "channels last", {"last": True}
        if task.get("compile"):
            yield "compile", {"compile": True}

    def one(self, network, task, x, y, last=False, compile=False):
        run = self.predict(network, task, x[:1].clone(), y, 1, last, compile)
        return lambda: run(True)

    # ---- single layers

    def layer(self, task):
        candidates, failed = {}, {}
        make = self.convolution if "convolution" in task else self.other
        for name, form in (("channels first", torch.contiguous_format), ("channels last", torch.channels_last)):
            attempt(candidates, failed, name, lambda form=form: make(task, form), warm_up_of(task))
        return candidates, failed, torch.zeros(1, 1)

    def convolution(self, task, form):
        c = CONVOLUTIONS[task["convolution"]]
        torch.manual_seed(0)
        x = torch.randn(c.batch, c.channels, c.size, c.size).to(memory_format=form)
        w = torch.randn(c.filters, c.channels, c.kernel, c.kernel).to(memory_format=form)
        g = torch.randn(c.batch, c.filters, c.outputs, c.outputs).to(memory_format=form)
        stride, padding = [c.stride] * 2, [c.padding] * 2
        if task["what"] == "forward":
            return in_inference(lambda: torch.conv2d(x, w, None, stride, padding))
        mask = [task["what"] == "input gradient", task["what"] == "kernel gradient", False]
        return in_inference(lambda: torch.ops.aten.convolution_backward(
            g, x, w, None, stride, padding, [1, 1], False, [0, 0], 1, mask))

    def other(self, task, form):
        name, f = task["other"], nn.functional
        channels = MAPS[1]
        x = torch.randn(MAPS).to(memory_format=form)
        gamma, beta = torch.ones(channels), torch.zeros(channels)
        if name == "layer norm":
            gamma, beta = torch.ones(MAPS[1:]), torch.zeros(MAPS[1:])
        call = {"max pooling 2×2": lambda: f.max_pool2d(x, 2), "average pooling 2×2": lambda: f.avg_pool2d(x, 2),
                "max pooling 3×3 stride 2": lambda: f.max_pool2d(x, 3, 2, 1),
                "average pooling 3×3 stride 2": lambda: f.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
                "ReLU": lambda: f.relu(x), "GELU": lambda: f.gelu(x), "SiLU": lambda: f.silu(x),
                "batch norm": lambda: f.batch_norm(x, torch.zeros(channels), torch.ones(channels), gamma, beta, True),
                "layer norm": lambda: f.layer_norm(x, MAPS[1:], gamma, beta),
                "instance norm": lambda: f.instance_norm(x, weight=gamma, bias=beta),
                "group norm, 8 groups": lambda: f.group_norm(x, 8, gamma, beta)}[name]
        if task["what"] == "forward":
            return in_inference(call)
        wanted = [x, gamma, beta] if "norm" in name else [x]
        for tensor in wanted:
            tensor.requires_grad_()
        g = torch.randn(call().shape).to(memory_format=form)
        return lambda: torch.autograd.grad(call(), wanted, g)


def in_inference(call):
    def run():
        with torch.inference_mode():
            call()
    return run
