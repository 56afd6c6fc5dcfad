"""The threads that help to run programs, under ThreadSanitizer: `threads.h` alone, with work that counts."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import pyconv

HERE = Path(__file__).parent
HEADERS = Path(pyconv.__file__).parent / "backends" / "cpu"
COMPILER = os.environ.get("CC", "cc").split()[0]


@pytest.mark.skipif(shutil.which(COMPILER) is None or not (HEADERS / "threads.h").exists(), reason="needs a C compiler")
def test_each_task_is_done_once(tmp_path):
    """Late helpers do nothing of a round that is over, whoever is a member by then; nothing is a data race."""
    program = tmp_path / "threads"
    made = subprocess.run([COMPILER, "-D_OPENMP=1", "-O1", "-g", "-fsanitize=thread", f"-I{HEADERS}",
                           str(HERE / "threads.c"), "-o", str(program), "-lpthread"], capture_output=True, text=True,
                          check=False)
    if made.returncode:
        pytest.skip(f"no ThreadSanitizer: {made.stderr[-200:]}")
    for _ in range(3):
        done = subprocess.run([str(program), "2000"], capture_output=True, text=True, timeout=300, check=False)
        if "unexpected memory mapping" in done.stderr:
            pytest.skip("ThreadSanitizer does not run here")
        assert (done.returncode, done.stdout) == (0, "each once\n"), done.stdout + done.stderr
