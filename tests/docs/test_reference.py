"""The pages of the reference: every public name is on one of them."""

import importlib.util
import inspect
import pathlib
import re

import pytest

import pyconv

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(scope="module")
def hooks():
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_there(hooks):
    places = {}
    text = {page: hooks.reference(page, *entry, places) for page, entry in hooks.PAGES.items()}
    for page, (module_name, _) in hooks.PAGES.items():
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.ismodule(value) or not callable(value) or not value.__module__.startswith("pyconv."):
                continue
            assert re.search(rf"\b{name}\b", text[page]), f"{module_name}.{name}"
    assert text["layers"].count("::: ") > 60 and "::: pyconv.layers.convolution.Conv2D" in text["layers"]


def test_every_package_has_a_page(hooks):
    described = {name for name, _ in hooks.PAGES.values()}
    # Not for users, or a state without functions to call, or the same things by other names.
    inside = {"backends", "graph", "random", "mixed_precision"}
    assert {f"pyconv.{name}" for name in pyconv._MODULES if name not in inside} <= described


def test_the_navigation_has_every_page(hooks):
    text = (DOCS.parent / "mkdocs.yml").read_text("utf-8")
    listed = set(re.findall(r"[\w/]+\.md", text))
    assert {f"reference/{page}.md" for page in hooks.PAGES} <= listed
    assert {str(page.relative_to(DOCS)) for page in DOCS.glob("**/*.md")} <= listed


def test_docstrings_are_adapted_to_the_parser():
    griffe = pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location("docstrings", DOCS / "docstrings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = ("Does it.\n\nParameters\n----------\na, b: int, optional\n    Counts.\nc: see `Layer`.\n\n"
            "A remark\nof two lines.\n\nRaises\n------\nValueError\n    If: not.\n")
    text = module.SECTION.sub(lambda found: module.rewritten(found[0]), text)
    sections = griffe.parse_numpy(griffe.Docstring(text), warnings=False)
    assert [s.kind.value for s in sections] == ["text", "parameters", "raises"]
    assert "A remark\nof two lines." in sections[0].value
    assert [(p.name, p.annotation) for p in sections[1].value] == [("a", "int"), ("b", "int"), ("c", "see `Layer`.")]
    assert sections[2].value[0].description == "If: not."
