"""An exported folder: whole, and Verilog that other tools take."""

import json
from pathlib import Path

import pytest

from alula.design import load_design
from alula.rtl.toolchain import command, environment, toolchain
from alula.synth import SynthError, export, vivado, yosys
from alula.synth.ecp5 import nextpnr_options

NANO = load_design("nano")
MODEL = Path(__file__).parents[1] / "gateware" / "mult18x18d.v"
GATE = "module DCCA(input CLKI, input CE, output CLKO);\nassign CLKO = CLKI & CE;\nendmodule\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("export") / "nano"
    export(NANO, place)
    return place


@pytest.mark.rtl
def test_folder(exported: Path) -> None:
    paths = (exported / "nano.f").read_text().split()
    assert paths[:2] == ["rtl/scan.v", "rtl/top.v"]
    assert sorted(paths) == sorted(f"rtl/{path.name}" for path in (exported / "rtl").iterdir())
    for path in paths:
        text = (exported / path).read_text()
        assert text.startswith((f"module {Path(path).stem}(", "(* "))
    names = {path.name for path in exported.iterdir()}
    assert names == {"rtl", "nano.f", "nano.lpf", "build.sh", "design.json"}
    assert json.loads((exported / "design.json").read_text()) == NANO.model_dump(mode="json")
    assert (exported / "build.sh").stat().st_mode & 0o111
    assert 'FREQUENCY PORT "clk" 80 MHZ;' in (exported / "nano.lpf").read_text()


@pytest.mark.rtl
def test_multipliers_are_the_part_s(exported: Path) -> None:
    text = "".join(path.read_text() for path in (exported / "rtl").iterdir())
    assert "MULT18X18D" in text
    assert "DSP48E2" not in text


@pytest.mark.rtl
def test_yosys_finds_every_module(exported: Path, tmp_path: Path) -> None:
    try:
        tool = yosys()
    except SynthError as error:
        pytest.skip(str(error))
    paths = [str(exported / path) for path in (exported / "nano.f").read_text().split()]
    # The first step reads the chip's cells and looks for every module.
    script = f"read_verilog {' '.join(paths)}; synth_ecp5 -top scan -run begin:coarse"
    tool.run(["-q", "-p", script], folder=tmp_path, limit_s=300)


@pytest.mark.rtl
def test_verilator_lints_the_core(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "gate.v").write_text(GATE)
    paths = [exported / path for path in (exported / "nano.f").read_text().split()]
    tools = toolchain()
    words = [tools.verilator, "--lint-only", "--no-timing", "-Wno-fatal", "--top-module", "scan"]
    told = command([*words, MODEL, tmp_path / "gate.v", *paths], env=environment(tools.root))
    serious = [line for line in told.splitlines() if line.startswith("%") and "MULTI" in line]
    assert serious == []


@pytest.mark.rtl
def test_an_earlier_export_is_replaced_only_by_force(exported: Path) -> None:
    with pytest.raises(SynthError, match=r"^the folder must be new or empty .or --force given."):
        export(NANO, exported)
    (exported / "old").write_text("x")
    export(NANO, exported, force=True)
    assert not (exported / "old").exists()
    assert (exported / "rtl" / "top.v").is_file()


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(SynthError, match="must be an earlier export, or new or empty, not"):
        export(NANO, tmp_path, force=True)
    assert (tmp_path / "mine").read_text() == "x"


def test_several_cores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SynthError, match=r"^cores must be 1 for export, not 3 \(u280\)$"):
        export(load_design("u280"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_vivado_project_of_kv260() -> None:
    texts = vivado.scripts(load_design("kv260"))
    assert "create_clock -name clk -period 3.333 [get_ports clk]" in texts["kv260.xdc"]
    script = texts["vivado.tcl"]
    assert "-part xck26-sfvc784-2LV-c\n" in script
    assert script.count("{") == script.count("}")
    for step in ("synth_1", "impl_1", "report_timing_summary", "report_utilization"):
        assert step in script


def test_order_numbers() -> None:
    design = load_design("tiny")
    options = nextpnr_options(design.replace({"part.number": "LFE5U-45F-8BG381C"}), "n", "r")
    assert options[:5] == ["--45k", "--speed", "8", "--package", "CABGA381"]
    wrong = design.replace({"part.number": "XC7Z020"})
    with pytest.raises(SynthError, match=r"^part.number must be of an ECP5, .* not XC7Z020 "):
        nextpnr_options(wrong, "n", "r")
    assert wrong.hash == design.hash
