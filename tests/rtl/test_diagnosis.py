"""What a run says of itself in words, from registers that hold still."""

from dataclasses import replace

import pytest
from tests.model.bench import program
from tests.rtl.programs import NANO

from alula.gateware.control.activity import Activity
from alula.gateware.control.fault import Code
from alula.gateware.control.registers import ENGINE_STATE, Register
from alula.isa import Engine, Program
from alula.model import Machine
from alula.rtl.diagnosis import Diagnosis
from alula.rtl.retirement_log import RetirementLog

LOADS = "LOOP count=4 body=1\nLD.V type=fp32 addr=100 dst=0 count=4"


def layers() -> Program:
    """A load in each of the layers 3 to 6."""
    listing = program(NANO, LOADS, inputs={"first_layer": 5})
    return replace(listing, origins=("", "layers.{layer}.norm", ""), layer_loops={0: 0})


@pytest.fixture(scope="module")
def log() -> RetirementLog:
    found = RetirementLog()
    Machine(NANO).run(layers(), {"first_layer": 3}, on_retire=found)
    return found


class Fault:
    """Registers of an accelerator whose LD has a fault, or waits for memory."""

    def __init__(self, code: Code = Code.NONE, detail: int = 0) -> None:
        state = (
            ENGINE_STATE.const({"oldest": 1, "use": Activity.STARVED, "flying": 1}).as_value().value
        )
        self._values = {
            Register.FAULT_ENGINE: int(code != Code.NONE) << Engine.LD,
            Register.FAULT_CODE: code.value,
            Register.FAULT_DETAIL: detail,
            Register.FAULT_ADDRESS: 1,
            Register.ENGINES + 4 * Engine.LD: state,
        }

    def read(self, address: int) -> int:
        idle = ENGINE_STATE.const({"use": Activity.IDLE}).as_value().value
        return self._values.get(address, idle)


def said(log: RetirementLog | None, retired: int, registers: Fault) -> Diagnosis:
    def unit(engine: Engine, address: int, numbers: range) -> str:
        assert log is not None
        held = range(retired + numbers.start, retired + numbers.stop)
        return log.unit(engine, address, held)

    return Diagnosis(registers, layers(), unit if log else None)


def test_what_waits_is_the_oldest(log: RetirementLog) -> None:
    for retired in range(4):
        text = said(log, retired, Fault()).waits()
        assert text.startswith(f"LD at 1 waits for memory (layers.{3 + retired}.norm: LD.V ")


def test_what_memory_refuses_is_the_oldest_s(log: RetirementLog) -> None:
    text = said(log, 2, Fault(Code.READ_SLVERR, 100)).fault()
    expected = "LD at 1 must be given beat 100 by memory, not SLVERR (layers.5.norm: LD.V "
    assert text.startswith(expected)


def test_what_gave_a_token_too_many_has_retired(log: RetirementLog) -> None:
    text = said(log, 2, Fault(Code.TOKENS, Engine.LD | Engine.ST << 3)).fault()
    assert text.startswith("LD at 1 must give ST at most 255 tokens ")
    assert "(layers.4.norm: LD.V " in text


def test_no_layer_is_named_where_it_may_be_one_of_several(log: RetirementLog) -> None:
    """What is out of range may be any that LD has taken."""
    refused = Fault(Code.OUT_OF_RANGE, 7)
    assert "(layers.*.norm: LD.V " in said(log, 2, refused).fault()
    assert "(layers.6.norm: LD.V " in said(log, 3, refused).fault()


def test_no_layer_is_known_without_a_machine_model() -> None:
    assert "(layers.*.norm: LD.V " in said(None, 0, Fault()).waits()


def test_no_layer_is_named_after_the_last(log: RetirementLog) -> None:
    assert "(layers.*.norm: LD.V " in said(log, 4, Fault()).waits()
