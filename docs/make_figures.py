"""Draws the pictures of the documentation, with numbers that pyconv computes, into docs/figures/.

    python docs/make_figures.py [NAME ...] [--folder docs/figures]

Needs matplotlib. `lenet_filters` trains LeNet-5 for one epoch, with MNIST (see `pyconv.datasets.mnist`);
normalization_curves.svg comes from ``examples/normalizations.py --figure``. The others take a few seconds in all.
"""

import argparse
import pathlib

import matplotlib
import numpy as np

import pyconv
from pyconv import layers, ops

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

matplotlib.rcParams.update({"svg.hashsalt": "pyconv", "svg.fonttype": "path", "font.size": 9, "savefig.dpi": 110,
                            "image.cmap": "gray", "axes.titlesize": 9})
BLUE, ORANGE, GREEN, GREY = "#3b76af", "#ef8536", "#519e3e", "#d9d9d9"
FIGURES = {}


def figure(function):
    """Registers a function that draws one figure, under its own name; it returns the figure, or (figure, suffix)."""
    FIGURES[function.__name__] = function
    return function


# ---- what the pictures are of

def scene(size=64):
    """(size, size, 3) from 0 to 1: a red ring, a green triangle and a blue bar on a dim slope."""
    y, x = np.mgrid[:size, :size] / size
    image = np.stack([0.15 + 0.1 * x, 0.15 + 0.1 * y, 0.2 + 0 * x], -1)
    radius = np.hypot(x - 0.36, y - 0.36)
    image[(radius > 0.14) & (radius < 0.24)] = (0.9, 0.25, 0.2)
    image[(y > 0.55) & (y < 0.9) & (np.abs(x - 0.7) < (y - 0.55) * 0.6)] = (0.2, 0.8, 0.3)
    image[np.abs(x + y - 1.15) < 0.035] = (0.25, 0.4, 0.95)
    return image.astype("float32")


def seven():
    """(28, 28) uint8: a handwritten 7 of straight strokes, drawn and not taken from a data set."""
    y, x = np.mgrid[:28, :28].astype(float)

    def stroke(a, b):
        a, b = np.array(a, float), np.array(b, float)
        along = np.clip(((y - a[0]) * (b - a)[0] + (x - a[1]) * (b - a)[1]) / ((b - a) ** 2).sum(), 0, 1)
        return np.hypot(y - a[0] - along * (b - a)[0], x - a[1] - along * (b - a)[1])

    distance = np.minimum(stroke((7, 7), (6, 20)), stroke((6, 20), (22, 11)))
    return (255 * np.clip(2.1 - distance, 0, 1)).astype("uint8")


def influence(function, shape, place):
    """Which inputs one output of `function` depends on: those with a gradient. Boolean, of `shape`."""
    def one(x):
        return ops.sum(function(x) * mask)

    x = np.random.default_rng(0).uniform(0.5, 1.5, shape)
    mask = np.zeros(ops.shape(function(x)))
    mask[place] = 1
    return np.abs(pyconv.value_and_grad(one)(x)[1]) > 1e-12


# ---- how they are drawn

def grid(panel, values, colours=None, title=None, decimals=0, size=9):
    """A matrix as squares with numbers; colours: one of matplotlib's, or an array of them."""
    values = np.atleast_2d(values)
    rows, columns = values.shape
    colours = np.full(values.shape, "white") if colours is None else np.broadcast_to(colours, values.shape)
    for (i, j), value in np.ndenumerate(values):
        panel.add_patch(plt.Rectangle((j, i), 1, 1, facecolor=colours[i, j], edgecolor="#555555", lw=0.8))
        panel.text(j + 0.5, i + 0.5, f"{value + 0.0:.{decimals}f}", ha="center", va="center", size=size)
    panel.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05), aspect="equal", title=title)
    panel.axis("off")


def sign(panel, text):
    panel.axis("off")
    panel.text(0.5, 0.5, text, ha="center", va="center", size=16, transform=panel.transAxes)


def picture(panel, values, title, **kwargs):
    panel.imshow(values, interpolation="nearest", **kwargs)
    panel.set(title=title, xticks=[], yticks=[])


# ---- the figures

@figure
def convolution_numbers():
    """One window of a 5x5 input, a 3x3 kernel, and the sum that becomes one output."""
    x = np.array([[1, 0, 2, 1, 0], [0, 1, 3, 1, 0], [2, 1, 3, 0, 1], [0, 0, 2, 1, 0], [1, 0, 3, 0, 2]], "float32")
    w = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], "float32")
    y = ops.conv(x[None, :, :, None], w[:, :, None, None])[0, :, :, 0]
    fig, panels = plt.subplots(1, 5, figsize=(7.2, 2.4), width_ratios=(5, 0.8, 3, 0.8, 3), layout="constrained")
    window = np.full((5, 5), "white", object)
    window[1:4, 2:5] = "#cfe0f0"
    result = np.full((3, 3), "white", object)
    result[1, 2] = "#fbd9bd"
    grid(panels[0], x, window, "input, 5×5")
    sign(panels[1], "∗")
    grid(panels[2], w, "#cfe0f0", "kernel, 3×3")
    sign(panels[3], "=")
    grid(panels[4], y, result, "output, 3×3")
    return fig


@figure
def convolution_1d():
    """A noisy signal, and what kernels that average and that take differences make of it."""
    rng = np.random.default_rng(1)
    t = np.arange(160)
    signal = (np.where((t > 45) & (t < 110), 1.0, 0.0) + 0.3 * np.sin(t / 9) + rng.normal(0, 0.12, 160))
    x = signal.astype("float32")[None, :, None]
    kernels = {"average of 9": np.full(9, 1 / 9), "difference over 8": np.r_[-np.ones(4), 0, np.ones(4)] / 4}
    fig, panels = plt.subplots(3, 1, figsize=(7, 3.6), sharex=True, layout="constrained")
    panels[0].plot(signal, color="#555555", lw=1)
    panels[0].set_title("input: (1, 160, 1)", loc="left")
    for panel, (name, w), colour in zip(panels[1:], kernels.items(), (BLUE, ORANGE), strict=True):
        y = ops.conv(x, w.astype("float32")[:, None, None], padding="same")
        panel.plot(y[0, :, 0], color=colour)
        panel.set_title(name, loc="left")
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.01)
    return fig


@figure
def convolution_2d():
    """A picture through four kernels of 3x3."""
    image = scene(96).mean(-1)
    kernels = {"average": np.full((3, 3), 1 / 9), "left to right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
               "top to bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
               "centre against rim": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]}
    w = np.stack([np.asarray(k, "float32") for k in kernels.values()], -1)[:, :, None]
    y = ops.conv(image[None, :, :, None], w)[0]
    fig, panels = plt.subplots(1, 5, figsize=(8, 1.9), layout="constrained")
    picture(panels[0], image, "input")
    for i, (panel, name) in enumerate(zip(panels[1:], kernels, strict=True)):
        limit = None if name == "average" else np.abs(y[..., i]).max()
        picture(panel, y[..., i], name, vmin=limit and -limit, vmax=limit)
    return fig, "png"


@figure
def convolution_3d():
    """A noisy torus of voxels and the response of a smoothing 3D kernel, above a threshold each."""
    z, y, x = np.mgrid[:24, :24, :24] / 11.5 - 1
    torus = np.hypot(np.hypot(x, y) - 0.62, z) < 0.26
    noisy = torus ^ (np.random.default_rng(0).uniform(size=torus.shape) < 0.03)
    smooth = ops.conv(noisy.astype("float32")[None, ..., None], np.full((3, 3, 3, 1, 1), 1 / 27, "float32"),
                      padding="same")[0, ..., 0]
    fig = plt.figure(figsize=(6.4, 2.9))
    for i, (voxels, title) in enumerate(((noisy, "input: 24×24×24 voxels, 3 % flipped"),
                                         (smooth > 0.5, "mean of 3×3×3, above one half"))):
        panel = fig.add_axes((0.5 * i, 0, 0.5, 0.9), projection="3d")
        panel.voxels(np.moveaxis(voxels, 0, -1), facecolors=BLUE, edgecolor=(0, 0, 0, 0.15), linewidth=0.2)
        panel.set_title(title)
        panel.view_init(42, 30)
        panel.set_axis_off()
        panel.set(xlim=(0, 24), ylim=(0, 24), zlim=(0, 24))
        panel.set_box_aspect((1, 1, 1), zoom=1.3)
    return fig, "png"


@figure
def receptive_fields():
    """Which of 11 inputs one output depends on, for six convolutions in 1D: found from gradients."""
    cases = [("kernel 3", 3, 4, {}), ("kernel 3, padding \"same\"", 3, 0, {"padding": "same"}),
             ("kernel 3, strides 2", 3, 2, {"strides": 2}), ("kernel 3, dilation 2", 3, 3, {"dilation_rate": 2}),
             ("kernel 3, padding \"causal\"", 3, 5, {"padding": "causal"}), ("kernel 1", 1, 5, {})]
    fig, panels = plt.subplots(3, 2, figsize=(7.6, 3.9), layout="constrained")
    for panel, (title, size, place, arguments) in zip(panels.flat, cases, strict=True):
        layer = layers.Conv1D(1, size, kernel_initializer="ones", dtype="float64", **arguments)
        used = influence(layer, (1, 11, 1), (0, place, 0))[0, :, 0]
        count, step = layer.compute_output_shape((1, 11, 1))[1], arguments.get("strides", 1)
        outputs = step * np.arange(count)
        if "padding" not in arguments:
            outputs = outputs + (10 - outputs[-1]) / 2                      # in the middle
        for i in np.flatnonzero(used):
            panel.plot([i, outputs[place]], [0, 1], color=ORANGE, lw=1.2, zorder=1)
        panel.scatter(range(11), np.zeros(11), s=60, c=[ORANGE if u else GREY for u in used], zorder=2)
        panel.scatter(outputs, np.ones(count), s=60, c=[BLUE if i == place else GREY for i in range(count)], zorder=2)
        panel.set(title=f"{title}: 11 → {count}", ylim=(-0.35, 1.35))
        panel.axis("off")
    return fig


@figure
def one_by_one():
    """A colour picture through three 1x1 filters, and the same as a matrix product for each pixel."""
    image = scene(64)
    w = np.array([[0.30, 1.0, -0.5], [0.59, -0.5, -0.5], [0.11, -0.5, 1.0]], "float32")       # (3 channels, 3 filters)
    y = ops.conv(image[None], w[None, None])[0]
    assert np.allclose(y, image @ w, atol=1e-6)
    fig, panels = plt.subplots(1, 5, figsize=(8, 2), width_ratios=(1, 1, 1, 1, 1), layout="constrained")
    picture(panels[0], image, "input: 3 channels")
    panels[1].axis("off")
    table = "\n".join("  ".join(f"{v:+.2f}" for v in row) for row in w)
    panels[1].text(0.5, 0.5, f"kernel, 1×1×3×3:\n\n{table}", ha="center", va="center", family="monospace", size=8)
    for panel, result, name in zip(panels[2:], np.moveaxis(y, -1, 0), ("brightness", "red", "blue"), strict=True):
        picture(panel, np.maximum(result, 0), f"output: {name}", vmin=0)
    return fig, "png"


@figure
def pooling():
    """The maximum and the mean of each 2x2 window."""
    x = np.array([[1, 5, 2, 0], [3, 2, 1, 4], [7, 1, 0, 2], [0, 4, 6, 8]], "float32")
    kinds = {"maximum": layers.MaxPooling2D(2), "mean": layers.AveragePooling2D(2)}
    fig, panels = plt.subplots(1, 5, figsize=(6.8, 2.2), width_ratios=(4, 0.8, 2, 0.8, 2), layout="constrained")
    colours = np.array([["#cfe0f0", "#fbd9bd"], ["#d5ecd0", "#f3f0c9"]])
    grid(panels[0], x, colours.repeat(2, 0).repeat(2, 1), "input, 4×4")
    for panel, text in zip(panels[1::2], ("→", ""), strict=True):
        sign(panel, text)
    for panel, (name, layer) in zip(panels[2::2], kinds.items(), strict=True):
        grid(panel, layer(x[None, :, :, None])[0, :, :, 0], colours, name, 0 if name == "maximum" else 2)
    return fig


@figure
def normalization_axes():
    """Whose values the mean and variance of one value are taken over, for each normalization: found from gradients."""
    samples, height, width, channels = 4, 3, 3, 6
    kinds = {"batch": layers.BatchNormalization(dtype="float64"),
             "layer": layers.LayerNormalization(axis=(1, 2, 3), dtype="float64"),
             "instance": layers.InstanceNormalization(dtype="float64"),
             "group (3 groups)": layers.GroupNormalization(groups=3, dtype="float64")}
    fig = plt.figure(figsize=(8, 2.3))
    for i, (name, layer) in enumerate(kinds.items()):
        shape, place = (samples, height, width, channels), (samples - 1, 0, 0, channels - 1)
        together = influence(lambda x, layer=layer: layer(x, training=True), shape, place)
        panel = fig.add_axes((0.25 * i, 0.02, 0.25, 0.88), projection="3d")
        cubes = together.reshape(samples, height * width, channels).transpose(2, 0, 1)                  # C, N, HW
        panel.voxels(np.ones(cubes.shape, bool), facecolors=np.where(cubes, BLUE, "#f4f4f4"), edgecolor="#777777",
                     linewidth=0.5, shade=False)
        panel.set_title(name)
        panel.view_init(25, 40)
        panel.set_axis_off()
        panel.set_box_aspect((channels, samples, 5), zoom=1.1)
        for text, where in (("C", (channels / 2, samples + 1.3, 0)), ("N", (channels + 1.3, samples / 2, 0)),
                            ("H,W", (channels + 0.3, -1.1, 0.35 * height * width))):
            panel.text(*where, text, size=8, ha="center", va="top")
    return fig, "png"


@figure
def lenet_filters():
    """Filters that LeNet-5 learns in its first convolution in an epoch, and its feature maps for a drawn 7."""
    pyconv.utils.set_random_seed(0)
    (x, y), _ = pyconv.datasets.mnist.load_data()
    model = pyconv.applications.lenet5()
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=128, epochs=1, verbose=0)
    convolution = next(layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    stages = [layer for layer in model.layers if isinstance(layer, (layers.Conv2D, layers.MaxPooling2D))]
    watch = pyconv.Model(model.inputs[0], [layer.output for layer in stages[:2]])
    image = seven()
    maps, pooled = watch.predict(image[None, ..., None], verbose=0)
    kernels = convolution.get_weights()[0]
    fig, panels = plt.subplots(3, 7, figsize=(8, 3.7), layout="constrained")
    for panel in panels[:, 0]:
        panel.axis("off")
    picture(panels[1, 0], image, f"input\nsays {model.predict(image[None], verbose=0).argmax()}")
    panels[1, 0].axis("on")
    limit = np.abs(kernels).max()
    for i in range(6):
        picture(panels[0, i + 1], kernels[:, :, 0, i], "5×5 filters" if i == 0 else "", vmin=-limit, vmax=limit)
        picture(panels[1, i + 1], maps[0, :, :, i], "28×28, after ReLU" if i == 0 else "", vmin=0)
        picture(panels[2, i + 1], pooled[0, :, :, i], "14×14, after pooling" if i == 0 else "", vmin=0)
    return fig, "png"


def main():
    parser = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)}; default: all")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(__file__).parent / "figures")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.names or FIGURES:
        if name not in FIGURES:
            parser.error(f"there is no figure {name!r}; there are {', '.join(FIGURES)}")
        result = FIGURES[name]()
        fig, suffix = result if isinstance(result, tuple) else (result, "svg")
        path = args.folder / f"{name}.{suffix}"
        fig.savefig(path, metadata={"Date": None} if suffix == "svg" else None, bbox_inches="tight", facecolor="white")
        plt.close(fig)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
