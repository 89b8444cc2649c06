"""The repository's own checks can fail."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = tool("generate")
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "FILES", {"made/file": "one"})
    monkeypatch.setattr(module, "SECTIONS", {("page.md", "x"): "two"})
    monkeypatch.setattr(module, "call", lambda target: f"{target}\n")
    return module


def test_drift_is_found_and_mended(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    assert generate.main() == 1
    message = "generated text differs in made/file, page.md; to fix it: make docs\n"
    assert capsys.readouterr().out == message
    assert not (generate.ROOT / "made").exists()

    monkeypatch.setattr("sys.argv", ["generate"])
    assert generate.main() == 0
    assert (generate.ROOT / "made" / "file").read_text() == "one\n"
    page = (generate.ROOT / "page.md").read_text()
    assert page == "a\n<!-- generated: x -->\ntwo\n<!-- end: x -->\nb\n"

    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    assert generate.main() == 0


def test_missing_marker(generate: ModuleType) -> None:
    with pytest.raises(SystemExit, match="page must hold <!-- generated: y --> and"):
        generate.with_section("text", "y", "body", "page")


def test_undefined_public_name_and_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_names = tool("check_names")
    package = tmp_path / "hw" / "alula"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "alula_probe").mkdir()
    (package / "alula_probe" / "__init__.py").touch()
    (package / "alula_single.py").touch()
    probe = ModuleType("alula.alula_probe")
    probe.__dict__["__all__"] = ["missing", "missing"]
    monkeypatch.setattr(check_names, "ROOT", tmp_path)
    monkeypatch.setattr(check_names.importlib, "import_module", lambda _: probe)
    found = list(check_names.complaints())
    assert found[0].startswith("hw/alula/__init__.py must not exist")
    assert found[1] == "alula.alula_probe.__all__ must name each thing once"
    assert found[2] == "alula.alula_probe.__all__ names 'missing', which is not defined"
    assert "alula.alula_single must not have __all__: an underscore says what is its own" in found


def test_one_word_for_two_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateware and machine model may share a word, no one else with them."""
    check_names = tool("check_names")
    names = ["alula.gateware.a", "alula.model.a", "alula.mapper.a"]
    for name in names:
        module = ModuleType(name)
        for word in ("Probe", "Shared") if name != "alula.mapper.a" else ("Probe",):
            setattr(module, word, type(word, (), {"__module__": name}))
        monkeypatch.setitem(sys.modules, name, module)
    assert [line for line in check_names.complaints() if "Probe" in line or "Shared" in line] == [
        "Probe must be one class, not several (alula.gateware.a, alula.mapper.a, alula.model.a)"
    ]
