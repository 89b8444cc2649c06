"""The driver against registers that only remember: what it writes, and when it resets."""

from dataclasses import replace

import pytest
from tests.model.bench import program
from tests.rtl.programs import NANO

from alula.gateware.control.activity import Activity
from alula.gateware.control.registers import Register
from alula.isa import Engine
from alula.rtl.driver import HostDriver, RtlError

START, RESET, CLEAR, RESET_AT_ONCE = 1, 2, 4, 8
ENDED, RESETTING = 2, 8


class Registers:
    """A control port whose runs end after `length` cycles, or never."""

    def __init__(self, design_hash: str = NANO.hash) -> None:
        self.values: dict[int, int] = {
            Register.IDENTITY: 0x4C55_4C41,
            Register.HASH_LOW: int(design_hash, 16) & 0xFFFF_FFFF,
            Register.HASH_HIGH: int(design_hash, 16) >> 32,
        }
        self.writes: list[tuple[int, int]] = []
        self.length: int | None = 70
        self.works = True
        self.memory_answers = True
        self.forgotten = 0
        self._left = 0

    def write(self, address: int, value: int) -> None:
        self.writes.append((address, value))
        if address != Register.CONTROL:
            return
        if value & START:
            self._left = self.length if self.length is not None else 1 << 60
            self.values[Register.STATUS] = ENDED
        if value & RESET:
            self.values[Register.STATUS] = 0 if self.memory_answers else RESETTING
        if value & RESET_AT_ONCE:
            self.values[Register.STATUS] = 0

    def read(self, address: int) -> int:
        return self.values.get(address, 0)

    def wait(self, cycles: int) -> bool:
        passed = min(cycles, self._left)
        self._left -= passed
        if self.works:
            place = Register.COUNTERS + 32 * Engine.MM + 8 * Activity.BUSY.value
            self.values[place] = self.values.get(place, 0) + passed
        return self._left == 0

    def forget(self) -> None:
        self.forgotten += 1

    def commands(self) -> list[int]:
        """What has been written to CONTROL since the last call."""
        found = [value for address, value in self.writes if address == Register.CONTROL]
        self.writes.clear()
        return found


@pytest.fixture
def registers() -> Registers:
    return Registers()


def driver(registers: Registers, **limits: int) -> HostDriver:
    return HostDriver(registers, NANO, **{"patience": 100, **limits})


def test_something_else_is_refused(registers: Registers) -> None:
    registers.values[Register.IDENTITY] = 7
    with pytest.raises(RtlError, match=r"^identity must be 0x4c554c41, not 0x7$"):
        driver(registers)
    with pytest.raises(RtlError, match=rf"must be of design {NANO.hash}, not of 0{{15}}1$"):
        driver(Registers(design_hash="0000000000000001"))


def test_a_run_writes_every_register_and_the_program_once(registers: Registers) -> None:
    one = program(NANO, "NOP", constants={3: 33}, inputs={"position": 4})
    host = driver(registers)
    host.run(one, {"position": 44})
    writes = list(registers.writes)
    expected = [0] * 32
    expected[3], expected[4] = 33, 44
    found = [(place, value) for place, value in writes if 0x80 <= place < 0x100]
    assert found == [(Register.REGISTERS + 4 * n, expected[n]) for n in range(1, 32)]
    words = [value for place, value in writes if place == Register.PROGRAM]
    assert b"".join(word.to_bytes(4, "little") for word in words) == one.code
    assert (Register.LENGTH, 2) in writes
    assert registers.commands() == [RESET, CLEAR, START]
    host.run(one, {"position": 5})
    assert not [place for place, _ in registers.writes if place == Register.PROGRAM]
    assert registers.commands() == [CLEAR, START]
    host.run(replace(one, code=one.code[16:]), {"position": 5})
    assert len([place for place, _ in registers.writes if place == Register.PROGRAM]) == 4


def test_a_run_that_failed_is_followed_by_a_reset(registers: Registers) -> None:
    host, one = driver(registers), program(NANO, "NOP")
    host.run(one, {})
    registers.commands()
    registers.length, registers.works = None, False
    with pytest.raises(RtlError, match=r"^test makes no progress after 200 cycles: "):
        host.run(one, {})
    assert registers.commands() == [CLEAR, START]
    registers.length, registers.memory_answers = 70, False
    host.run(one, {})
    assert registers.commands() == [RESET, RESET_AT_ONCE, CLEAR, START]
    assert registers.forgotten == 1


def test_work_keeps_a_run_alive_until_its_limit(registers: Registers) -> None:
    registers.length = 10_000
    told: list[int] = []
    driver(registers).run(program(NANO, "NOP"), {}, told.append)
    assert told == list(range(100, 10_000, 100))
    with pytest.raises(RtlError, match=r"^test is at its limit after 950 cycles: "):
        driver(registers, limit=950).run(program(NANO, "NOP"), {})


def test_inputs_are_checked(registers: Registers) -> None:
    with pytest.raises(RtlError, match=r"^inputs of test must be \[\], not \['tokens'\]$"):
        driver(registers).run(program(NANO, "NOP"), {"tokens": 1})
    assert not registers.writes
