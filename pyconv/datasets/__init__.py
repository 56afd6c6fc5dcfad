"""Ready-made data sets, one module each with a `load_data` function: `mnist`, `fashion_mnist`, `cifar10`,
`cifar100`, `fsdd` (spoken digits).

A module is imported when it is first asked for, and a file is fetched when `load_data` first needs it.
Files are looked for in the folder that the environment variable `PYCONV_DATA_DIR` names, then in the user's
cache, and are downloaded into that cache if they are in neither; `mnist.load_data` tells the details.
"""

__all__ = ["cifar10", "cifar100", "fashion_mnist", "fsdd", "mnist"]


def __getattr__(name):
    if name in __all__:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
