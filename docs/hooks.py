"""For MkDocs: writes a page of the reference for each public package, from what `__all__` of the package lists.

The pages are made when the site is built, so that a new layer or op is there without further work; mkdocstrings fills
them in from the docstrings. A name is listed under the module that defines it, in the order of `__all__`; other names
of the same thing (AvgPool2D for AveragePooling2D) are told in the heading's text.
"""

import ast
import functools
import importlib
import inspect

from mkdocs.structure.files import File

# page -> (module, whether the methods of its classes are shown)
PAGES = {
    "models": ("pyconv.models", True),
    "layers": ("pyconv.layers", False),
    "ops": ("pyconv.ops", False),
    "losses": ("pyconv.losses", False),
    "metrics": ("pyconv.metrics", False),
    "optimizers": ("pyconv.optimizers", False),
    "schedules": ("pyconv.optimizers.schedules", False),
    "callbacks": ("pyconv.callbacks", False),
    "initializers": ("pyconv.initializers", False),
    "regularizers": ("pyconv.regularizers", False),
    "constraints": ("pyconv.constraints", False),
    "activations": ("pyconv.activations", False),
    "applications": ("pyconv.applications", False),
    "datasets": ("pyconv.datasets", False),
    "data": ("pyconv.data", False),
    "saving": ("pyconv.saving", False),
    "testing": ("pyconv.testing", False),
    "utils": ("pyconv.utils", False),
    "config": ("pyconv.config", False),
    "dtype_policies": ("pyconv.dtype_policies", False),
}
# classes to derive from or to work with: their methods matter
WITH_METHODS = {"Layer", "Model", "Sequential", "Loss", "Metric", "Optimizer", "Callback", "PyDataset"}


@functools.cache
def defined(home):
    """What the module's source defines by itself; mkdocstrings reads the source and knows no functions made by code."""
    tree = ast.parse(inspect.getsource(importlib.import_module(home)))
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def by_hand(name, value, identifier):
    """Heading, signature and docstring of a function that is made by code."""
    signature = ["```python", f"{name}{inspect.signature(value)}", "```"]
    return [f'<a id="{identifier}"></a>', "", f"### {name}", "", *signature, "", inspect.getdoc(value) or "", ""]


def reference(page, module_name, methods, places):
    """The Markdown of one page; `places` keeps what is described where, so that it is described once."""
    module = importlib.import_module(module_name)
    lines = [f"# {module_name}", "", inspect.getdoc(module) or "", ""]
    by_home, names_of = {}, {}
    for name in getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]:
        value = getattr(module, name)
        if inspect.ismodule(value) and value.__name__.startswith("pyconv."):
            by_home.setdefault(value.__name__, []).append((name, value, None))
        elif (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("pyconv."):
            home, own = value.__module__, value.__qualname__
            names_of.setdefault((home, own), []).append(name)
            if len(names_of[home, own]) == 1:
                by_home.setdefault(home, []).append((own, value, own))
    for home, entries in by_home.items():
        title = (inspect.getdoc(importlib.import_module(home)) or home).splitlines()[0].rstrip(".")
        lines += [f"## {title}", ""]
        for name, value, own in entries:
            identifier = home if own is None else f"{home}.{own}"
            names = [name, *(other for other in names_of.get((home, own), []) if other != name)]
            place = places.setdefault(identifier, page)
            if place != page:
                lines += [f"{', '.join(f'`{n}`' for n in names)}: see [{place}]({place}.md#{identifier}).", ""]
                continue
            shown = "null" if methods or name in WITH_METHODS or own is None else "false"
            if own is None or own in defined(home):
                lines += [f"::: {identifier}", "    options:", f"      members: {shown}",
                          f"      inherited_members: {'true' if name in WITH_METHODS else 'false'}", ""]
            else:
                lines += by_hand(name, value, identifier)
            if names[1:]:
                lines += [f"Also called {', '.join(f'`{other}`' for other in names[1:])}.", ""]
    return "\n".join(lines)


def on_files(files, config):
    places = {}
    for page, (module_name, methods) in PAGES.items():
        content = reference(page, module_name, methods, places)
        files.append(File.generated(config, f"reference/{page}.md", content=content))
    return files
