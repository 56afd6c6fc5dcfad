"""What a run writes: the documentation agrees with the file of figures, and tables say what the figures are."""

import json
import math
import pathlib

import pytest

from benchmarks import page, report, tables

ROOT = pathlib.Path(__file__).parent.parent.parent
KEPT = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "docs").glob("benchmarks*.json")}


# ---- the documentation

@pytest.mark.parametrize("name", KEPT)
def test_page_is_what_the_figures_say(name):
    """`python -m benchmarks --render docs/NAME` writes it."""
    assert (ROOT / f"docs/{name}.md").read_text("utf-8") == page.page(KEPT[name], name)


def test_readme_is_what_the_figures_say():
    """`python -m benchmarks --render docs/benchmarks --readme` writes them."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert page.with_figures(text, KEPT["benchmarks"]) == text


@pytest.mark.parametrize("name", KEPT)
def test_pictures_are_those_of_the_figures(name, tmp_path):
    """The texts of a picture are drawn as outlines, so their number is compared, and the file's name is on the page."""
    pytest.importorskip("matplotlib")
    from benchmarks import plot
    plot.write(KEPT[name], str(tmp_path / name))
    for drawn in tmp_path.iterdir():
        there = (ROOT / "docs" / drawn.name).read_text("utf-8")
        assert there.count("<path") == drawn.read_text("utf-8").count("<path"), drawn.name
        assert f"]({drawn.name})" in (ROOT / f"docs/{name}.md").read_text("utf-8")


def test_every_part_has_a_section():
    from benchmarks.parts import PARTS
    assert list(PARTS) == list(report.SECTIONS)


# ---- figures that can be told by hand

def result(title, *measurements, kind="train", **task):
    """A result of (library, candidate, best seconds, threads) measurements; medians are twice the best."""
    amounts = {"train": {"batch": 10, "steps": 2}, "predict": {"count": 20}}.get(kind, {})
    return {"task": {"kind": kind, "network": "lenet5", "title": title, **amounts, **task}, "failed": {}, "rounds": 2,
            "idle_share": 0.0, "foreign_share": 0.0,
            "measurements": [{"peer": peer, "candidate": way, "best": best, "median": 2 * best, "each": [2 * best],
                              **({"threads": threads[0]} if threads else {})}
                             for peer, way, best, *threads in measurements]}


@pytest.fixture
def data():
    run = {"date": "2026-01-02 03:04", "rounds": 2, "threads": 2, "quick": True, "seconds": 1.5, "load": 0.1,
           "command": "python -m benchmarks"}
    made = {
        "machine": {"processor": "Abacus", "cores": 2, "system": "Linux", "python": "3.11"},
        "versions": {"pyconv": "0.1 (cpu, v4)", "PyTorch": "2.13"}, "absent": {"jax": "No module named 'jax'"},
        "rates": {"flops": 1e11, "bytes": 1e10},
        "train": [result("Small", ("pyconv", "fit", 0.1), ("pyconv", "step", 0.08), ("torch", "eager", 0.4),
                         ("torch", "channels last", 0.2)),
                  result("Large", ("pyconv", "fit", 0.8), ("torch", "eager", 0.4))],
        "one": [result("Small", ("pyconv", "predict, uint8", 2e-5), ("pyconv", "program", 1.8e-5),
                       ("pyconv", "kernels", 1.5e-5), ("onnxruntime", "1 thread", 4e-5), kind="one")],
        "scaling": {"train": [result("Small", ("pyconv", "fit", 0.1), ("pyconv", "fit", 0.19, 1),
                                     ("torch", "eager", 0.4), ("torch", "eager", 0.6, 1))]},
        "memory": {"lenet5": {"pyconv": [100e6, 120e6, 110e6], "torch": [440e6], "keras": "no memory left"}},
        "first": {"resnet20": {"pyconv": [0.2, 0.4], "torch": [0.6]}},
        "import": {"numpy": [0.1], "pyconv": [0.015]},
    }
    return {**made, "runs": {part: dict(run) for part in made if part in report.SECTIONS}}


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_ratios_are_to_the_fastest_way_of_the_fastest_library(data):
    assert page.ratios(data) == {"train": {"Small": 0.5, "Large": 2.0}, "one": {"Small": 0.5}}
    rows = cells(page.ratio_table(data))
    assert rows[2:] == [["Small", "0.50", "0.50"], ["Large", "2.00", ""], ["geometric mean", "1.00", "0.50"]]


def test_rows_of_networks(data):
    rows = cells(report.of_networks("train", data))
    assert rows[2] == ["Small", "pyconv (fit)", "5000.0", "10000.0", "", ""]            # 0.1 s for 20 samples
    assert rows[4] == ["Small", "torch (channels last)", "10000.0", "20000.0", "0.50", "0.50"]
    text = report.of_networks("one", data)
    assert "predict takes 10.0 µs more than its kernels, 4.0 µs more than its program" in text


def test_scaling_is_a_speed_up(data):
    assert cells(report.of_scaling(data))[2] == ["Small, training", "9500.0", "5000.0", "1.90", "1.90", "1.50", "1.50"]
    assert page.speed_ups(data) == {"pyconv": [pytest.approx(1.9)], "torch": [pytest.approx(1.5)]}


def test_whole_processes_are_medians_and_failures_are_told(data):
    text = report.of_memory(data)
    assert cells(text)[2:] == [["LeNet-5 1998", "pyconv", "110 MB", ""], ["LeNet-5 1998", "torch", "440 MB", "0.25"]]
    assert "not measured: keras: no memory left" in text
    assert cells(report.of_first(data))[2] == ["ResNet-20", "pyconv", "200 ms", "300 ms", ""]


def test_layers_count_the_products_of_the_definition_and_their_own(data):
    from benchmarks.layers import CONVOLUTIONS
    flops = CONVOLUTIONS[1].flops
    assert flops == 2 * 16 * 64 * 56 * 56 * 64 * 9
    made = result("c", ("pyconv", "kernels", flops / 2e11), ("torch", "channels last", flops / 0.5e11), kind="layer",
                  convolution=1, what="forward")
    made["measurements"][0]["products"] = flops // 4
    rows = cells(report.of_layers({**data, "layers": [made]}))
    assert rows[2][3:] == ["0.25", "200", "50", "200%", "Winograd", "50%"]
    assert page.layer_ratios({"layers": [made]}) == {"convolution, forward": [pytest.approx(0.25)]}


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_power_of_growth(power):
    assert report.line([(n, 3e-5 * n ** power) for n in (16, 64, 1024)]) == pytest.approx(power)


def test_linear_costs_are_per_sample_and_per_pixel(data):
    amounts = {"train": {"steps": 2, "batch": 32, "size": 32}, "predict": {"count": 64, "batch": 32, "size": 32}}
    found = [result(f"{along} {kind}", ("pyconv", "fit", 0.02), ("torch", "eager", 0.04), kind=kind, along=along,
                    **{**amounts[kind], along: value})
             for along, value in (("batch", 32), ("size", 64)) for kind in amounts]
    rows = cells(report.of_linear({**data, "linear": found}))
    assert rows[2] == ["32", *[f"{v / 64 * 1e6:.2f}" for v in (0.02, 0.04)] * 2]
    assert rows[6] == ["64 × 64", *[f"{v / 64 / 64**2 * 1e9:.2f}" for v in (0.02, 0.04)] * 2]


def test_page_tells_what_is_missing_and_how_it_was_made(data):
    text = page.page(data, "figures")
    assert "- not installed: jax (No module named 'jax')" in text
    assert "unreliable" not in text and "[Ratios of the networks](figures.svg)" in text
    data["runs"]["train"]["load"] = 1.2
    assert "busy with other work when this began: train. These" in page.about(data)
    assert "`python -m benchmarks`" in page.protocol(data)


def test_readme_figures(data):
    text = page.with_figures("before\n<!-- figures: begin (how) -->\nold\n<!-- figures: end -->\nafter\n", data)
    assert text.startswith("before\n<!-- figures: begin (how) -->\nTime of pyconv") and "old" not in text
    assert text.endswith("\n<!-- figures: end -->\nafter\n")
    assert "torch.compile was not tried" in text and "pyconv is slower" in text
    data["train"][0]["measurements"].append({"peer": "torch", "candidate": "compile, fused Adam", "best": 0.3,
                                             "median": 0.3, "each": [0.3]})
    assert "torch.compile for Small)" in page.readme_figures(data)
    with pytest.raises(ValueError, match="the README has no lines"):
        page.with_figures("nothing", data)


# ---- files

def test_dumps_is_json_with_a_line_for_each_result(data):
    text = page.dumps(data)
    assert json.loads(text) == data
    assert sum(line.lstrip().startswith('{"task"') for line in text.splitlines()) == 3       # and one below "train"


def test_merged_replaces_tasks_by_title_and_keeps_the_rest(data):
    new = result("Small", ("pyconv", "fit", 0.05))
    got = page.merged(data, {"train": [new, result("Other")], "memory": {"vgg": {"pyconv": [1e6]}}})
    assert [r["task"]["title"] for r in got["train"]] == ["Small", "Large", "Other"]
    assert got["train"][0] == new and got["train"][1] == data["train"][1]
    assert set(got["memory"]) == {"lenet5", "vgg"} and got["one"] == data["one"]


def test_tables():
    assert tables.table(["a", "b"], [["x", 1], ["long name", 22]]).splitlines()[1] == "| --------- | --: |"
    assert [tables.duration(t) for t in (2.5, 0.0123, 4.5e-6)] == ["2.5 s", "12.3 ms", "4.5 µs"]
    assert tables.geometric_mean([0.5, 2.0]) == pytest.approx(1) and tables.bullets([]) == ""
    assert math.isclose(tables.geometric_mean(iter([4])), 4)
