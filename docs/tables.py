"""Writes docs/keras.md: each public name of Keras, and whether pyconv has it. Needs Keras, in the version below.

    python docs/tables.py            # after something was added to pyconv
    python docs/tables.py --check    # fails if the page is not what would be written

What pyconv has is found out by asking it, so a name is never listed that is not there. Why it lacks the others
stands in REASONS, the first pattern that fits; the page is not written while a name has none.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import inspect
import os
import sys
import types

os.environ.setdefault("KERAS_BACKEND", "jax")

KERAS = "3.15.1"        # other versions have other names
HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "keras.md")

# namespace -> heading
NAMESPACES = {
    "": "The package itself", "layers": "Layers", "activations": "Activations", "initializers": "Initializers",
    "regularizers": "Regularizers", "constraints": "Constraints", "losses": "Losses", "metrics": "Metrics",
    "optimizers": "Optimizers", "optimizers.schedules": "Learning-rate schedules", "callbacks": "Callbacks",
    "models": "Models", "saving": "Saving", "utils": "Utilities", "applications": "Applications",
    "datasets": "Data sets", "random": "Random numbers", "config": "Settings", "dtype_policies": "Types of layers",
    "mixed_precision": "Types of layers, by older names", "tree": "Nests",
    "ops": "Array functions",
}
# Names under which Keras keeps the same things a second time, and its own inner parts.
PASSED_OVER = ("src", "*.legacy", "legacy", "ops.image", "ops.linalg", "ops.nn", "ops.numpy", "utils.bounding_boxes",
               "optimizers.schedules", "applications.convnext", "applications.densenet", "applications.efficientnet",
               "applications.efficientnet_v2", "applications.imagenet_utils", "applications.inception_resnet_v2",
               "applications.inception_v3", "applications.mobilenet_v2", "applications.mobilenet_v3",
               "applications.nasnet", "applications.resnet_v2", "applications.xception", "applications.resnet50",
               "applications.mobilenet", "applications.resnet", "applications.vgg16", "applications.vgg19")
# Keras's name -> pyconv's, where these differ.
RENAMED = {"applications.VGG16": "applications.vgg16", "applications.VGG19": "applications.vgg19",
           "applications.ResNet50": "applications.resnet50", "applications.MobileNet": "applications.mobilenet"}
# Made from other arguments than Keras's.
ANOTHER_FORM = ("Variable", "Function")

NO_TEXT = "tables are not pyconv's subject; for texts there is `TextVectorization`"
NO_COMPLEX = "there are no complex numbers"
SEQUENCES = "sequence models other than convolutional ones are not pyconv's subject"
RECORDED = "a graph is recorded once and has no loops or branches that depend on data"
OTHER_FRAMEWORK = "belongs to another framework"
LATER = "not there yet"

# (patterns, reason), the first that fits
REASONS = [
    ("Quantizer quantizers layers.*Quantiz* dtype_policies.*Quantized* dtype_policies.Int4* dtype_policies.AWQ* "
     "dtype_policies.GPTQ*", "weights are not quantized"),
    ("distribution distillation export wrappers legacy Operation RematScope remat StatelessScope SymbolicScope "
     "name_scope device config.*nnx* config.*flash* visualization",
     "part of Keras's way to work on top of other frameworks"),
    ("layers.FlaxLayer layers.JaxLayer layers.TFSMLayer layers.TorchModuleWrapper callbacks.OrbaxCheckpoint "
     "saving.KerasFileEditor", OTHER_FRAMEWORK),
    ("layers.*RNN* layers.*LSTM* layers.*GRU* layers.Bidirectional", SEQUENCES),
    ("layers.*Lookup layers.Hash* layers.CategoryEncoding layers.Discretization "
     "utils.FeatureSpace utils.text_dataset_from_directory datasets.imdb datasets.reuters datasets.*housing", NO_TEXT),
    ("layers.*BoundingBoxes utils.bounding_boxes", "bounding boxes are not pyconv's subject"),
    ("layers.ReversibleEmbedding", SEQUENCES),
    ("initializers.stft initializers.STFT* ops.*stft ops.*fft* ops.complex* ops.conj* ops.imag "
     "ops.real ops.view_as_* ops.angle ops.isreal", NO_COMPLEX),
    ("losses.ctc losses.CTC ops.ctc_*", LATER),
    ("ops.cond ops.while_loop ops.fori_loop ops.scan ops.associative_scan ops.map ops.switch ops.vectorize* "
     "ops.custom_gradient ops.jvp", RECORDED),
    ("callbacks.RemoteMonitor", "nothing is sent to other computers; `LambdaCallback` can"),
    ("applications.*", "weights trained on ImageNet, for which these are used, are not offered; "
     "`applications` has networks to train"),
    ("optimizers.MultiOptimizer optimizers.OptimizerMap", "a model has one optimizer"),
    ("config.*unsafe_deserialization", "files hold no code, so there is no other mode"),
    ("config.*traceback_filtering", "tracebacks are short as they are"),
    ("utils.Config utils.get_source_inputs utils.is_keras_tensor KerasTensor tree.* config.is_traceback*",
     "inner parts of Keras"),
    ("backend preprocessing", "older names of what `config`, `ops` and `utils` have"),
    ("*interactive_logging*", "`verbose` says what is printed"),
    ("config.*max_epochs config.*max_steps_per_epoch", "arguments of `fit` say how long it takes"),
    ("random.beta random.binomial random.gamma",
     "drawn by rejection, with a number of tries that depends on the data"),
    ("ops.cholesky* ops.det ops.eig* ops.inv ops.lu_factor ops.lstsq ops.qr ops.solve* ops.svd ops.pinv ops.logdet "
     "ops.slogdet ops.matrix_rank ops.norm", "no linear algebra beyond products; NumPy has it"),
    ("ops.is_tensor ops.convert_to_* ops.saturate_cast ops.dtype ops.copy ops.unstack ops.empty*",
     "an array is a NumPy array already"),
    ("ops.*", LATER + "; for arrays outside of a model NumPy has most of them"),
    ("*", LATER),
]


def has(path) -> bool:
    """Whether pyconv has this name."""
    *folders, name = path.split(".")
    try:
        value = importlib.import_module(".".join(["pyconv", *folders]))
        return hasattr(value, name)
    except ImportError:
        return False


def arguments(target) -> list | None:
    """The names of the arguments of a class or function, those that it passes on to its bases too."""
    from pyconv.utils.configurable import parameters
    try:
        if isinstance(target, type) and target.__module__.startswith("pyconv"):
            return list(parameters(target))
        found = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind == p.VAR_KEYWORD for p in found) and target.__module__.startswith("pyconv"):
        return None                      # it passes on what it is given
    return [p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def lacks(path, own) -> str:
    """The arguments of Keras's class or function that pyconv's has not, as text."""
    def value(library, place):
        *folders, name = place.split(".")
        return getattr(importlib.import_module(".".join([library, *folders])), name)
    theirs, ours = value("keras", path), value("pyconv", own)
    if isinstance(theirs, types.ModuleType) or not callable(theirs) or path in ANOTHER_FORM:
        return ""
    mine, wanted = arguments(ours), arguments(theirs)
    if mine is None or wanted is None:
        return ""
    return ", ".join(f"`{name}`" for name in wanted if name not in mine and name not in ("self", "cls"))


def reason(path) -> str:
    for patterns, text in REASONS:
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns.split()):
            return text
    raise SystemExit(f"docs/tables.py: pyconv lacks {path}, and REASONS says nothing of it.")


def names(namespace) -> list:
    """Keras's public names in a namespace, those without a capital first letter last."""
    module = importlib.import_module("keras" + (f".{namespace}" if namespace else ""))
    found = []
    for name in dir(module):
        path = f"{namespace}.{name}".lstrip(".")
        if name.startswith("_") or any(fnmatch.fnmatchcase(path, p) for p in PASSED_OVER):
            continue
        if not namespace and name in NAMESPACES or (isinstance(getattr(module, name), types.ModuleType)
                                                    and f"{namespace}.{name}" in NAMESPACES):
            continue
        found.append(name)
    return sorted(found, key=lambda n: (n[0].islower(), n.lower()))


def section(namespace, heading) -> tuple:
    """(lines, names that pyconv has, names of Keras)."""
    all_names, present, absent, parts = names(namespace), [], {}, {}
    for name in all_names:
        path = f"{namespace}.{name}".lstrip(".")
        own = RENAMED.get(path, path)
        if has(own):
            text = f"`{name}`" + (f" as `{own.rsplit('.', 1)[-1]}`" if own != path else "")
            present.append(text)
            parts.setdefault(lacks(path, own), []).append(text)
        else:
            absent.setdefault(reason(path), []).append(f"`{name}`")
    place = f"`{namespace}`, " if namespace else ""
    lines = [f"## {heading}", "", f"{place}{len(present)} of {len(all_names)} names.", "", "| names | in pyconv |",
             "| --- | --- |"]
    for missing in sorted(parts):
        lines.append(f"| {', '.join(parts[missing])} | yes{f', without {missing}' if missing else ''} |")
    lines += [f"| {', '.join(group)} | no: {why} |" for why, group in absent.items()]
    return [*lines, ""], len(present), len(all_names)


def page() -> str:
    import keras
    if keras.__version__ != KERAS:
        raise SystemExit(f"docs/tables.py: the page is about Keras {KERAS}; this is {keras.__version__}.")
    lines, present, total = [], 0, 0
    for namespace, heading in NAMESPACES.items():
        part, own, theirs = section(namespace, heading)
        lines += part
        present, total = present + own, total + theirs
    head = ["# Keras's names in pyconv", "",
            f"The public names of Keras {KERAS}, {total} of them, and whether pyconv has them: {present} it has. "
            "Where arguments are missing, they are named; those that are there have Keras's names. What pyconv has "
            "beyond Keras is not listed here.", "",
            "This page is written by `python docs/tables.py`, which asks both libraries; a test compares.", ""]
    return "\n".join(head + lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is not up to date")
    sys.path.insert(0, os.path.dirname(HERE))
    text = page()
    if parser.parse_args().check:
        with open(PAGE, encoding="utf-8") as file:
            if file.read() != text:
                raise SystemExit("docs/keras.md is not up to date: python docs/tables.py")
    else:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
