"""PyTorch: eager, channels last, fused Adam, torch.compile."""

from __future__ import annotations

import torch
from torch import nn

from ..networks import NETWORKS, channels_first_weights, draw_images, scaled, walk
from . import CHECKED, attempt, warm_up_of


def build(network):
    parts = []
    for layer, shape in walk(network):
        if layer[0] == "conv":
            parts.append(nn.Conv2d(shape[-1], layer[1], layer[2], padding=layer[3]))
        elif layer[0] == "pool":
            parts.append(nn.MaxPool2d(layer[1]))
        elif layer[0] == "flatten":
            parts.append(nn.Flatten())
        else:
            parts.append(nn.Linear(shape[0], layer[1]))
        if layer[0] in ("conv", "dense") and layer[-1] == "relu":
            parts.append(nn.ReLU())
    model = nn.Sequential(*parts)
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), channels_first_weights(network), strict=True):
            parameter.copy_(torch.from_numpy(weight))
    return model


class Peer:
    def __init__(self, threads):
        torch.set_num_threads(threads)

    def versions(self):
        return {"PyTorch": torch.__version__}

    def prepare(self, task, quick):
        network = NETWORKS[task["network"]]
        count = {"train": task.get("batch", 0) * task.get("steps", 0), "predict": task.get("count"),
                 "one": CHECKED}[task["kind"]]
        images, labels = draw_images(network, count)
        x, y = torch.from_numpy(scaled(images, True)), torch.from_numpy(labels)
        candidates, failed = {}, {}
        for name, options in getattr(self, f"ways_to_{task['kind']}")(quick):
            attempt(candidates, failed, name, lambda o=options: getattr(self, task["kind"])(network, task, x, y, **o),
                    warm_up_of(task))
        with torch.inference_mode():
            outputs = build(network)(x[:CHECKED]).numpy()
        return candidates, failed, outputs

    # ---- training

    def ways_to_train(self, quick):
        yield "eager, fused Adam", {"fused": True}
        yield "channels last, fused Adam", {"fused": True, "last": True}
        if not quick:
            yield "eager, Adam", {}
            yield "compile, fused Adam", {"fused": True, "compile": True}

    def train(self, network, task, x, y, fused=False, last=False, compile=False):
        model, batch, steps = build(network), task["batch"], task["steps"]
        if last:
            model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
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

    def ways_to_predict(self, quick):
        for size in (256, 1000) if quick else (128, 256, 1000):
            yield f"eager, batches of {size}", {"size": size}
            yield f"channels last, batches of {size}", {"size": size, "last": True}
        if not quick:
            yield "compile, batches of 250", {"size": 250, "compile": True}

    def predict(self, network, task, x, y, size, last=False, compile=False):
        model = build(network).eval()
        if last:
            model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
        mode = torch.inference_mode
        if compile:
            model, mode = torch.compile(model), torch.no_grad

        def run(warm):
            with mode():
                return [model(x[i:i + size]) for i in range(0, size if warm else len(x), size)]
        return run

    def ways_to_one(self, quick):
        yield "eager", {}
        yield "channels last", {"last": True}
        if not quick:
            yield "compile", {"compile": True}

    def one(self, network, task, x, y, last=False, compile=False):
        run = self.predict(network, task, x[:1].clone(), y, 1, last, compile)
        return lambda: run(True)
