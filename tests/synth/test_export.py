"""An exported folder: whole, and Verilog that other tools take."""

import json
import re
from pathlib import Path

import pytest

from alula.design import Design, load_design
from alula.design.shipped import shipped_designs
from alula.rtl.toolchain import command, environment, toolchain
from alula.synth import SynthError, export, vivado, yosys
from alula.synth.nextpnr_flow import nextpnr_options
from alula.synth.order import order_number

NANO = load_design("nano")
MODELS = Path(__file__).parents[1] / "gateware"
MULTIPLIERS = {
    "ecp5": "mult18x18d.v",
    "ultrascale+": "dsp48e2.v",
    "versal": "dsp48e2.v",
}
GATES = """\
module DCCA(input CLKI, input CE, output CLKO);
assign CLKO = CLKI & CE;
endmodule
module BUFGCE(input I, input CE, output O);
assign O = I & CE;
endmodule
"""


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
    assert names == {"rtl", "nano.f", "nano.lpf", "build.sh", "floorplan.py", "design.json"}
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
    lint(NANO, exported, "scan", tmp_path)


def lint(design: Design, folder: Path, top: str, scratch: Path) -> None:
    """Let Verilator read an export: every module is there, and no signal driven twice."""
    (scratch / "gates.v").write_text(GATES)
    models = [MODELS / MULTIPLIERS[design.part.family], scratch / "gates.v"]
    paths = [folder / path for path in (folder / f"{design.name}.f").read_text().split()]
    tools = toolchain()
    words = [tools.verilator, "--lint-only", "--no-timing", "-Wno-fatal", "--top-module", top]
    told = command([*words, *models, *paths], env=environment(tools.root))
    serious = [line for line in told.splitlines() if line.startswith("%") and "MULTI" in line]
    assert serious == []


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("name", ["u280", "vhk158"])
def test_several_cores(name: str, tmp_path: Path) -> None:
    """The largest designs: every module once, however many cores have it."""
    design, place = load_design(name), tmp_path / name
    export(design, place)
    modules = {Path(path).stem for path in (place / f"{name}.f").read_text().split()}
    for unit in ("Core", "Mpe", "Sfu", "Load", "Store", "Chain"):
        assert sum(module.startswith(f"{unit}_") for module in modules) == 1
    top = (place / "rtl" / "top.v").read_text()
    for core in range(design.cores):
        assert re.search(rf"^  Core_\w+ core_{core} \($", top, re.MULTILINE)
    lint(design, place, "top", tmp_path)
    try:
        tool = yosys()
    except SynthError as error:
        pytest.skip(str(error))
    paths = [str(place / path) for path in (place / f"{name}.f").read_text().split()]
    script = f"read_verilog {' '.join(paths)}; synth_xilinx -family xcup -run begin:prepare"
    tool.run(["-q", "-p", f"{script} -top top"], folder=tmp_path, limit_s=600)


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


def test_vivado_project_of_kv260() -> None:
    texts = vivado.scripts(load_design("kv260"), ["top", "Core_x"])
    assert "create_clock -name clk -period 3.333 [get_ports clk]" in texts["kv260.xdc"]
    script = texts["vivado.tcl"]
    assert "-part xck26-sfvc784-2LV-c\n" in script
    assert script.count("{") == script.count("}")
    for step in ("synth_1", "impl_1", "report_timing_summary", "report_utilization"):
        assert step in script
    assert "pblock" not in texts["kv260.xdc"]


def regions(design: Design) -> list[tuple[str, str]]:
    """Each core's die in a design's constraints."""
    text = vivado.scripts(design, ["top"])[f"{design.name}.xdc"]
    placed = re.findall(
        r"create_pblock (\w+)\nresize_pblock \[get_pblocks \1\] -add \{(\w+)\}\n"
        r"add_cells_to_pblock \[get_pblocks \1\] \[get_cells (\w+)\]\n",
        text,
    )
    assert len(placed) == text.count("create_pblock")
    return [(cell, region) for _, region, cell in placed]


def test_a_core_for_each_die() -> None:
    u280 = load_design("u280")
    dies = [("core_0", "SLR0"), ("core_1", "SLR1"), ("core_2", "SLR2")]
    assert regions(u280) == dies
    assert "-part xcu280-fsvh2892-2L-e\n" in vivado.scripts(u280, ["top"])["vivado.tcl"]
    vhk158 = load_design("vhk158")
    assert regions(vhk158) == dies[:2]
    assert "-part xcvh1582-vsva3697-2MP-e-S\n" in vivado.scripts(vhk158, ["top"])["vivado.tcl"]
    assert regions(u280.replace({"part.slrs": 2})) == [
        ("core_0", "SLR0"),
        ("core_1", "SLR0"),
        ("core_2", "SLR1"),
    ]
    assert regions(u280.replace({"part.slrs": 1})) == []
    assert u280.replace({"part.slrs": 1}).hash == u280.hash


def test_order_numbers() -> None:
    design = load_design("tiny")
    options = nextpnr_options(design.replace({"part.number": "LFE5U-45F-8BG381C"}), "n", "r")
    assert options[:5] == ["--45k", "--speed", "8", "--package", "CABGA381"]
    wrong = design.replace({"part.number": "XC7Z020"})
    with pytest.raises(SynthError, match=r"^part.number must be of an ECP5, .* not XC7Z020 "):
        nextpnr_options(wrong, "n", "r")
    assert wrong.hash == design.hash


def test_every_shipped_design_names_its_chip() -> None:
    numbers = {name: order_number(load_design(name)) for name in shipped_designs()}
    assert numbers["kv260"] == numbers["nano-sparse"] == "xck26-sfvc784-2LV-c"
    assert numbers["tiny"] == numbers["nano"] == "LFE5U-85F-6BG756C"


@pytest.mark.parametrize("design", ["kv260", "vhk158", "tiny"])
def test_no_other_chip_stands_in(design: str, tmp_path: Path, monkeypatch) -> None:
    """Neither a design that names no chip nor one that names another family's is exported."""
    for name in ("verilog", "scanned"):
        monkeypatch.setitem(export.__globals__, name, None)
    arty = load_design(design).replace({"name": "arty", "part.name": "Arty", "part.number": None})
    with pytest.raises(SynthError, match=r"^part.number must be given, the order number of .*arty"):
        export(arty, tmp_path / "out")
    for number in ("xc7a100tcsg324-1", "xcku040-ffva1156-2-e", "LFE5U-85F", "xck26"):
        wrong = arty.replace({"part.number": number})
        with pytest.raises(SynthError, match=rf"^part.number must be of an? .*, not {number} "):
            export(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


ULTRASCALE_PLUS = """
xck24-ubva530-2LV-c xczu9eg-ffvb1156-2-e xczu28dr-ffvg1517-2-e xcvu9p-flga2104-2L-e
xcku5p-ffvb676-2-e xcu55c-fsvh2892-2L-e xcau25p-ffvb676-1-e XCU250-FIGD2104-2L-E
"""
VERSAL = "xcvc1902-vsva2197-2MP-e-S xcv80-lsva4737-2MHP-e-S xcve2302-sfva784-1LP-e-S"


@pytest.mark.parametrize(("name", "numbers"), [("kv260", ULTRASCALE_PLUS), ("vhk158", VERSAL)])
def test_chips_of_a_family(name: str, numbers: str) -> None:
    for number in numbers.split():
        assert order_number(load_design(name).replace({"part.number": number})) == number
