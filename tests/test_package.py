"""The distribution: its version, its extras, and what is in its files."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import pyconv

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TEXT = {".py", ".pyx", ".pxd", ".h", ".cu", ".md", ".toml", ".in", ".txt", ".cfg", ".yml", ""}


def source_files():
    """What a clone holds; in an unpacked sdist, which has no history, everything but what was built."""
    git = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                         check=False)
    if git.returncode == 0:
        files = [ROOT / name for name in git.stdout.splitlines()]
    else:
        files = [p for p in ROOT.rglob("*") if not {"build", "dist"} & set(p.relative_to(ROOT).parts)
                 and "egg-info" not in str(p)]
    return [p for p in files if p.is_file() and p.suffix in TEXT]


FILES = source_files()


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", pyconv.__version__)
    assert PROJECT["version"] == pyconv.__version__


def test_installed_version():
    try:
        version = importlib.metadata.version("pyconv-nn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pyconv-nn is not installed here, only built in place")
    assert version == pyconv.__version__


def test_cuda_sources_of_a_wheel_lack_nothing_but_comments(tmp_path):
    subprocess.run([sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)], cwd=ROOT, check=True,
                   capture_output=True)
    sources = sorted((ROOT / "pyconv/backends/cuda/kernels").glob("*.cu"))
    assert len(sources) > 10
    for source in sources:
        before = source.read_text("utf-8").splitlines()
        after = (tmp_path / source.relative_to(ROOT)).read_text("utf-8").splitlines()
        assert len(before) == len(after) and not any("//" in line for line in after)
        for whole, kept in zip(before, after, strict=True):
            assert whole == kept or re.fullmatch(r"\s*//[^\\]*", whole.removeprefix(kept)), whole
            assert kept.count('"') % 2 == 0, whole          # no comment began within a string


def test_the_core_needs_numpy_alone():
    assert [re.match(r"[\w-]+", text)[0] for text in PROJECT["dependencies"]] == ["numpy"]
    assert PROJECT["requires-python"] == ">=3.11"


def test_extras():
    assert {"examples", "test", "benchmark", "docs", "cuda12", "cuda13"} <= set(PROJECT["optional-dependencies"])
    for name in ("cuda12", "cuda13"):
        (requirement,) = PROJECT["optional-dependencies"][name]
        assert requirement.startswith(f"cupy-{name}x")


def test_no_path_of_a_machine_in_the_files():
    # Written in pieces, so that this file does not find itself.
    private = re.compile("|".join(["/" + "work/", "/" + r"home/\w", "/" + "root/", "/" + r"Users/\w", "/" + "opt/"]))
    found = [f"{path.relative_to(ROOT)}:{i}: {line.strip()[:100]}" for path in FILES
             for i, line in enumerate(path.read_text("utf-8").splitlines(), 1) if private.search(line)]
    assert not found, "\n".join(found)


def test_lines_are_short():
    found = [f"{path.relative_to(ROOT)}:{i}: {len(line)} characters" for path in FILES if path.suffix != ".md"
             for i, line in enumerate(path.read_text("utf-8").splitlines(), 1) if len(line) > 120]
    assert not found, "\n".join(found)


def test_no_pickle():
    """Pickles run code when they are read."""
    found = [str(path.relative_to(ROOT)) for path in FILES
             if path.suffix in (".py", ".pyx") and "pyconv" in path.relative_to(ROOT).parts[0]
             and re.search(r"^\s*(import|from)\s+(pickle|cPickle|dill|cloudpickle|joblib|marshal|shelve)\b",
                           path.read_text("utf-8"), re.MULTILINE)]
    assert not found
