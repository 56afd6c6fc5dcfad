"""The progress bar, with and without a terminal."""

import io
import sys
from types import SimpleNamespace

import pytest

from pyconv.utils import Progbar
from pyconv.utils.progbar import clock, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("pyconv.utils.progbar.sys",
                        SimpleNamespace(stdout=stream))    # pytest sets its own anew
    monkeypatch.setenv("COLUMNS", "100")
    return stream


def test_on_a_terminal_the_line_is_written_over(terminal):
    bar = Progbar(3, width=6, interval=0)
    for step in range(1, 4):
        bar.update(step, [("loss", float(step))])
    parts = terminal.getvalue().split("\r")
    assert len(parts) == 4 and parts[0] == "" and terminal.getvalue().count("\n") == 1
    assert parts[1].startswith("1/3 ━━──── 0s left") and parts[3].startswith("3/3 ━━━━━━ 0s ")
    assert "loss: 1.5000" in parts[2] and parts[3].endswith("\n")


def test_updates_are_rare(terminal):
    bar = Progbar(1000, interval=60)
    for step in range(1, 1001):
        bar.update(step)
    assert terminal.getvalue().count("\r") == 2


def test_a_shorter_line_covers_the_longer(terminal):
    bar = Progbar(3, interval=0, stateful_metrics=["a"])
    bar.update(1, [("a", 100000.0)])
    bar.update(2, [("a", 1.0)])
    first, second = terminal.getvalue().split("\r")[1:]
    assert len(second) >= len(first)


def test_a_long_line_is_cut_to_the_terminal(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    Progbar(3, interval=0).update(1, [("a_metric_with_a_long_name", 1.0)])
    assert len(terminal.getvalue()) <= 40


@pytest.mark.parametrize(("arguments", "expected"), [
    ({}, "2.0000"), ({"stateful_metrics": ["a"]}, "4.0000"), ({"stateless_metrics": ["a"]}, "2.0000"),
    ({"stateless_metrics": []}, "4.0000")])
def test_means_over_the_steps(terminal, arguments, expected):
    bar = Progbar(5, interval=0, **arguments)
    bar.update(3, [("a", 4.0 / 3)])
    bar.add(1, [("a", 4.0)])
    assert f"a: {expected}" in terminal.getvalue().split("\r")[-1]


def test_values_at_the_end_are_shown_as_they_are(capsys):
    bar = Progbar(2, verbose=2)
    bar.update(1, [("a", 1.0)])
    bar.update(2, [("a", 5.0), ("b", 2e-5)], finalize=True)
    out = capsys.readouterr().out
    assert out.startswith("2/2 0s ") and out.endswith(" - a: 5.0000 - b: 2.0000e-05\n")


def test_unknown_target(terminal):
    bar = Progbar(None, interval=0, unit_name="sample")
    bar.update(7)
    assert terminal.getvalue().startswith("\r7/Unknown 0s ") and "/sample" in terminal.getvalue()


def test_a_stream_that_knows_no_line_characters(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Progbar(2, width=4).update(2)
    assert raw.getvalue().startswith(b"2/2 ==== ")


def test_no_console(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    Progbar(2).update(2)


def test_times():
    assert [clock(s) for s in (7.9, 67, 7267)] == ["7s", "1:07", "2:01:07"]
    assert [duration(s) for s in (2, 0.0134, 8e-5)] == ["2s", "13ms", "80us"]


def test_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match="not both"):
        Progbar(2, stateful_metrics=[], stateless_metrics=[])
