"""docs/keras.md says which of Keras's names pyconv has: it is what docs/tables.py writes today."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_page_is_up_to_date(tables):
    keras = pytest.importorskip("keras")
    if keras.__version__ != tables.KERAS:
        pytest.skip(f"the page is about Keras {tables.KERAS}, this is {keras.__version__}")
    assert (ROOT / "docs" / "keras.md").read_text() == tables.page(), "run: python docs/tables.py"


def test_what_is_there_and_what_is_not(tables):
    assert all(map(tables.has, ("layers.Conv2D", "datasets.mnist", "optimizers.schedules.CosineDecay")))
    assert not any(map(tables.has, ("layers.Conv9D", "nothing.Conv2D")))
    assert tables.reason("layers.LSTMCell") == tables.SEQUENCES != tables.reason("layers.Conv9D")
    assert "classes" in tables.arguments(__import__("pyconv").applications.lenet5)
