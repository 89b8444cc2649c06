"""Verilated modules as shared libraries: ports of every width, many cycles in one call."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from alula.folders import cache_folder
from alula.gateware.hdl.repeat import emit
from alula.rtl import BuildOptions, ToolchainError, simulate, verilate

WIDTHS = (1, 8, 9, 16, 17, 32, 33, 64, 65, 200)


class Registers(wiring.Component):
    """A register of each width, each one more every cycle, beside a counter."""

    def __init__(self) -> None:
        members: dict[str, In | Out] = {"count": Out(40)}
        for width in WIDTHS:
            members[f"in_{width}"] = In(width)
            members[f"out_{width}"] = Out(data.StructLayout({"plain": width, "next": width}))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.count.eq(self.count + 1)
        for width in WIDTHS:
            given, out = getattr(self, f"in_{width}"), getattr(self, f"out_{width}")
            m.d.comb += out.plain.eq(given)
            m.d.sync += out.next.eq(given + 1)
        return m


def test_ports_of_every_width() -> None:
    with simulate(Registers()) as simulation:
        simulation.reset()
        for value in (0, 1, (1 << 200) // 3, (1 << 200) - 1):
            for width in WIDTHS:
                simulation.set(f"in_{width}", value % (1 << width))
            simulation.step()
            for width in WIDTHS:
                given = value % (1 << width)
                following = (given + 1) % (1 << width)
                assert simulation.get(f"out_{width}") == given | following << width
        with pytest.raises(ValueError, match=r"^in_9 must be 0 to 511, not 512$"):
            simulation.set("in_9", 512)


def test_simulations_end_in_any_order() -> None:
    """In a process of its own, which the wrong order would hang."""
    opened = "one, other = (RtlDevice(load_design('nano')) for _ in range(2))"
    imports = "from alula.design import load_design; from alula.rtl.device import RtlDevice"
    script = f"{imports}; {opened}; other.close(); one.close()"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


def test_many_cycles_in_one_call(capsys: pytest.CaptureFixture[str]) -> None:
    with simulate(Registers()) as simulation:
        simulation.reset()
        started = time.perf_counter()
        simulation.step(1_000_000)
        seconds = time.perf_counter() - started
        assert simulation.get("count") == 1_000_000
    with capsys.disabled():
        print(f"\nregisters: {1e6 / seconds:,.0f} cycles/s")


def test_a_build_is_made_once_and_tells_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = cache_folder() / "verilator-runtime"
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path))
    # Others may have made this compiler's runtime, or not.
    (tmp_path / runtime.name).symlink_to(runtime)
    told: list[str] = []
    for _ in range(2):
        simulate(
            Registers(), lambda stage, done, total: told.append(f"{stage} {done}/{total}")
        ).close()
    expected = [f"{stage} {done}/1" for stage in ("verilator", "compile", "link") for done in "01"]
    assert [one for one in told if not one.startswith("runtime ")] == expected
    assert len(list((tmp_path / "verilator").iterdir())) == 1


@pytest.mark.parametrize("harm", ["flip", "cut", "folder", "extra"])
def test_a_damaged_library_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    """It would end the process, or worse, simulate something else."""
    simulate(Registers()).close()
    runtime = cache_folder() / "verilator-runtime"
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path))
    (tmp_path / runtime.name).symlink_to(runtime)
    first = verilate(emit(Registers(), "registers"), "registers", BuildOptions(shared=True))
    data = first.read_bytes()
    if harm == "flip":
        first.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    elif harm == "cut":
        first.write_bytes(data[:5000])
    elif harm == "folder":
        first.unlink()
        first.mkdir()
    else:
        (first.parent / "libother.so").write_bytes(data)
    again = verilate(emit(Registers(), "registers"), "registers", BuildOptions(shared=True))
    assert again == first
    assert again.read_bytes()[:4] == b"\x7fELF"
    assert {path.name for path in first.parent.iterdir()} == {"model.so", "manifest.json"}
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{first.parent} was damaged (")


def test_lint_is_an_error_and_leaves_nothing(cache: Path) -> None:
    modules = emit(Registers(), "registers")
    modules["registers"] = modules["registers"].replace("endmodule", "  foo bar();\nendmodule")
    with pytest.raises(ToolchainError, match=r"^verilator_bin ended with 1: %Error.*foo"):
        verilate(modules, "registers", BuildOptions(shared=True))
    assert list((cache / "verilator").iterdir()) == []
