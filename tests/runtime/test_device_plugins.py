"""Devices of other packages: found by name, and each fault told in one line."""

from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Install

from alula.design import load_design
from alula.isa import assemble_program
from alula.plugins import PluginError
from alula.runtime import DeviceError, device_names, open_device

MODULE = """
from alula.runtime.model_device import ModelDevice

class Mine(ModelDevice):
    name = "mine"
    def __init__(self, design, progress):
        super().__init__(design)

class Half:
    def __init__(self, design, progress): pass
    def load(self, image): pass
    def read(self, beat, count): pass
    def run(self, program, inputs): pass

class Unnamed(Mine):
    name = property(lambda self: self.nothing)

def closed(design, progress):
    raise OSError("no such link")

number = 7
"""


def test_a_device_of_another_package(install: Install) -> None:
    install("alula.devices", MODULE, mine="Mine")
    design = load_design("nano")
    assert device_names() == ["model", "rtl", "mine"]
    device = open_device("mine", design)
    assert device.name == "mine"
    device.run(
        assemble_program("LI rd=r2 value=9\nST.W value=r2 addr=3 skip=0\nEND", design, "p"), {}
    )
    assert device.read(3, 1)[0, 0] == 9


def test_a_command_runs_on_it(alula: Any, small_model: Path, install: Install) -> None:
    install("alula.devices", MODULE, mine="Mine")
    words = ("run", small_model, "hi", "--design", "tiny", "--max-new-tokens", 2, "--json")
    ours, theirs = alula(*words).json, alula(*words, "--device", "mine").json
    assert (ours["device"], theirs["device"]) == ("model", "mine")
    assert ours["token_ids"] == theirs["token_ids"]


def test_none_of_that_name(install: Install) -> None:
    install("alula.devices", MODULE, mine="Mine")
    with pytest.raises(DeviceError, match=r"^device must be model, rtl or mine, not 'x'$"):
        open_device("x", load_design("nano"))


PLACE = r"\(alula.devices: {}, of plug 1\.5\)$"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("half", "a device must have write and close "),
        ("unnamed", "a device must have name "),
        ("closed", "opening the device failed: OSError: no such link "),
        ("number", "a device must be callable, not 7 "),
        ("absent", "importing plug_module:absent failed: AttributeError: module 'plug_module' .*"),
    ],
)
def test_what_is_no_device(install: Install, name: str, words: str) -> None:
    value = {"half": "Half", "unnamed": "Unnamed"}.get(name, name)
    install("alula.devices", MODULE, **{name: value})
    with pytest.raises(PluginError, match=f"^{words}{PLACE.format(name)}"):
        open_device(name, load_design("nano"))


@pytest.mark.parametrize("text", ["1 / 0", "raise SystemExit(3)", "def ("])
def test_a_module_that_cannot_be_imported(
    alula: Any, small_model: Path, install: Install, text: str
) -> None:
    install("alula.devices", text, broken="Any")
    found = alula("run", small_model, "hi", "--device", "broken")
    assert (found.code, found.out, len(found.errors)) == (2, "", 1)
    assert found.errors[0].startswith("alula: importing plug_module:Any failed: ")
    assert found.errors[0].endswith(" (alula.devices: broken, of plug 1.5)")


def test_a_name_that_is_taken(install: Install) -> None:
    install("alula.devices", MODULE, rtl="Mine", twice="Mine")
    install("alula.devices", MODULE, package="other", twice="Mine")
    design = load_design("nano")
    words = "^a name must be registered once, not by "
    with pytest.raises(PluginError, match=rf"{words}alula and plug 1\.5 \(alula.devices: rtl\)$"):
        open_device("rtl", design)
    with pytest.raises(PluginError, match=rf"{words}\w+ 1\.5 and \w+ 1\.5 \(alula.devices: twice"):
        open_device("twice", design)
    assert open_device("model", design).name == "model"
