"""Each block of Python in the documentation runs: those of a page in order, in one namespace, in an empty folder.

MNIST is a small made-up set in the real files' format. Blocks of other languages are not run, nor those below a comment
``<!-- not run: why -->``, which are counted.
"""

import pathlib
import re

import pytest
from small_data import fake_mnist

import pyconv

ROOT = pathlib.Path(__file__).parent.parent.parent
README = ROOT / "README.md"                     # its blocks run in tests/test_readme.py
PAGES = [*sorted(ROOT.glob("docs/**/*.md")), README]
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"^<!-- not run: [^\n]+ -->\n\Z", re.MULTILINE)
WITH_CODE = [page for page in PAGES if page != README and BLOCK.search(page.read_text("utf-8"))]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, tmp_path, monkeypatch):
    fake_mnist(tmp_path / "data", monkeypatch)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    pyconv.utils.set_random_seed(0)
    text, scope = page.read_text("utf-8"), {"__name__": "documentation"}
    for found in BLOCK.finditer(text):
        if NOT_RUN.search(text[:found.start()]):
            continue
        lines = text[:found.start(1)].count("\n")
        exec(compile("\n" * lines + found[1], str(page), "exec"), scope)     # errors tell the page's line


def test_pages_have_code():
    """The search above finds what it should: an unclosed block or another fence would hide code from it."""
    assert len(WITH_CODE) >= 9
    for page in PAGES:
        text = page.read_text("utf-8")
        assert len(re.findall(r"^```", text, re.MULTILINE)) % 2 == 0, page
        assert len(re.findall(r"^\s*(```|~~~) ?py", text, re.MULTILINE)) == len(BLOCK.findall(text)), page


def test_few_blocks_are_passed_over():
    count = {page.name: page.read_text("utf-8").count("<!-- not run: ") for page in PAGES}
    assert {name: n for name, n in count.items() if n} == {"cuda.md": 2}


def test_links_to_files_exist():
    """MkDocs checks the links between pages; links of the README and pictures are checked here, without it."""
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            if "reference/" not in link:                    # made when the site is built
                assert (page.parent / link).exists(), f"{page}: {link}"
