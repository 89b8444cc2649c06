import logging

from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from tests.gateware.refusals import refuses

from alula.bench import Bench, Case, Mismatch, Unit, each_case
from alula.gateware.control.activity import Activity
from alula.gateware.control.fault import Code
from alula.gateware.control.registers import SETTLE, Control, Register
from alula.isa import Engine

HASH = 0x1122_3344_5566_7788


class Host:
    """The host's side, and what passes on the ports behind."""

    def __init__(self, unit: Unit) -> None:
        self.unit, self.wires = unit, unit.wires
        bus = AxiLiteBus.from_prefix(unit.dut, "axi_")
        self.master = AxiLiteMaster(bus, unit.dut.clk, unit.dut.rst)
        for part in (self.master.write_if, self.master.read_if):
            part.log.setLevel(logging.CRITICAL)

    async def write(self, place: int, value: int) -> None:
        await self.master.write_dword(int(place), value)

    async def read(self, place: int) -> int:
        return await self.master.read_dword(int(place))

    async def expect(self, place: int, value: int, what: str) -> None:
        found = await self.read(place)
        if found != value:
            raise Mismatch(f"{what} must be {value:#x}, not {found:#x}")


async def identity(unit: Unit) -> None:
    host = Host(unit)
    await host.expect(Register.HASH_LOW, HASH & 0xFFFF_FFFF, "low hash")
    await host.expect(Register.HASH_HIGH, HASH >> 32, "high hash")
    await host.expect(Register.IDENTITY, 0x4C55_4C41, "identity")
    await host.expect(0xFFC, 0, "an unknown register")


async def program(unit: Unit) -> None:
    host = Host(unit)
    seen: list[tuple[int, ...]] = []

    class Watch:
        moved = False

        def cycle(self) -> None:
            if unit.wires["program_enable"].get():
                names = ("program_address", "program_quarter", "program_data")
                seen.append(tuple(unit.wires[name].get() for name in names))
            if unit.wires["register_enable"].get():
                names = ("register_index", "register_value")
                seen.append(tuple(unit.wires[name].get() for name in names))

    unit.join(Watch())
    from cocotb import start_soon

    async def host_side() -> None:
        await host.write(Register.PROGRAM_ADDRESS, 62)
        for value in range(12):
            await host.write(Register.PROGRAM, value)
        await host.write(Register.REGISTERS + 4 * 31, 99)
        unit.wires["running"].set(1)
        await host.write(Register.REGISTERS + 4, 98)

    task = start_soon(host_side())
    while not task.done():
        await unit.cycles()
    expected = [(62 + i // 4, i % 4, i) for i in range(8)] + [(31, 99)]
    if seen != expected:
        raise Mismatch(f"writes must be {expected}, not {seen}")
    unit.wires["running"].set(0)


async def counters(unit: Unit) -> None:
    host = Host(unit)
    unit.wires["quiet"].set(1)
    await host.write(Register.CONTROL, 1)
    uses = [[unit.random.choice(list(Activity)) for _ in range(60)] for _ in Engine]
    # What engines do and what passes is told a cycle late.
    for cycle in range(61):
        unit.wires["running"].set(int(cycle < 60))
        for engine in Engine:
            state = {"oldest": 7, "use": uses[engine][cycle - 1], "missing": 5, "flying": 1}
            unit.wires[f"engine__{int(engine)}"].set(state)
        unit.wires["read"].set(cycle % 3)
        unit.wires["written"].set(64)
        await unit.cycles()
    await unit.cycles(2)
    total = await host.read(Register.CYCLES_LOW)
    if total != 60:
        raise Mismatch(f"60 cycles must be counted, not {total}")
    await host.expect(Register.READ_LOW, 60, "bytes read")
    await host.expect(Register.WRITTEN_LOW, 64 * total, "bytes written")
    state = 7 | uses[Engine.MM][-1].value << 16 | 5 << 18 | 1 << 24
    await host.expect(Register.ENGINES + 4 * Engine.MM, state, "the state of MM")
    for engine in Engine:
        place = Register.COUNTERS + 32 * engine
        found = [await host.read(place + 8 * use.value) for use in Activity]
        if sum(found) != total or not all(found):
            raise Mismatch(f"{found} must add up to {total}")
        for use in Activity:
            if found[use.value] != uses[engine].count(use):
                raise Mismatch(f"{use} must be {uses[engine].count(use)}, not {found}")


async def faults_and_reset(unit: Unit) -> None:
    host = Host(unit)
    wires = unit.wires
    await host.write(Register.INTERRUPT, 1)
    wires["running"].set(1)
    wires["fault__1"].set({"code": Code.OUT_OF_RANGE, "detail": 77})
    wires["blamed__1"].set(12)
    await unit.cycles(3)
    if not wires["irq"].get() or not wires["halt"].get():
        raise Mismatch("a fault must halt and interrupt")
    await host.expect(Register.STATUS, 0b10101, "status")
    await host.expect(Register.FAULT_ENGINE, 1 << Engine.ST, "engine")
    await host.expect(Register.FAULT_CODE, Code.OUT_OF_RANGE.value, "code")
    await host.expect(Register.FAULT_DETAIL, 77, "detail")
    await host.expect(Register.FAULT_ADDRESS, 12, "address")
    await host.write(Register.CONTROL, 0b110)
    await unit.cycles(20)
    if not wires["cancel"].get() or wires["reset"].get():
        raise Mismatch("a reset must wait until memory owes nothing")
    wires["quiet"].set(1)
    await unit.cycles(2)
    resets = 0
    for _ in range(20):
        resets += wires["reset"].get()
        if wires["reset"].get():
            wires["fault__1"].set({"code": Code.NONE, "detail": 0})
            wires["running"].set(0)
        await unit.cycles()
    if resets != 4 or wires["cancel"].get() or wires["irq"].get():
        raise Mismatch(f"reset must last 4 cycles, not {resets}")
    await host.expect(Register.STATUS, 0, "status after reset")
    await host.write(Register.CONTROL, 0b10)
    for cycle in range(SETTLE):
        if wires["reset"].get():
            raise Mismatch(f"a reset must wait for what is asked as it comes, not {cycle} cycles")
        await unit.cycles()
    await unit.cycles(20)
    await host.expect(Register.STATUS, 0, "status after a reset of what is quiet")
    wires["quiet"].set(0)
    await host.write(Register.CONTROL, 0b1000)
    await unit.cycles(20)
    await host.expect(Register.STATUS, 0, "status after a reset at once")


async def refused_starts(unit: Unit) -> None:
    """A start counts only where nothing runs and nothing has failed."""
    from cocotb import start_soon

    host = Host(unit)
    wires = unit.wires
    starts = [0]

    class Watch:
        moved = False

        def cycle(self) -> None:
            starts[0] += wires["start"].get()

    unit.join(Watch())
    for name, value in (("running", 1), ("reason", 4), ("overflow", 1), ("none", 0)):
        if name in wires:
            wires[name].set(value)
        task = start_soon(host.write(Register.CONTROL, 1))
        while not task.done():
            await unit.cycles()
        if starts[0] != (name == "none"):
            raise Mismatch(f"{starts[0]} starts with {name}")
        if name in wires:
            wires[name].set(0)


async def token_overflow(unit: Unit) -> None:
    host = Host(unit)
    for name, value in (("giver", 4), ("taker", 2), ("overfilled", 99), ("overflow", 1)):
        unit.wires[name].set(value)
    await unit.cycles(2)
    await host.expect(Register.FAULT_ENGINE, 1 << 5, "engine")
    await host.expect(Register.FAULT_CODE, Code.TOKENS.value, "code")
    await host.expect(Register.FAULT_DETAIL, 4 | 2 << 3, "detail")
    await host.expect(Register.FAULT_ADDRESS, 99, "address")


BENCH = Bench(
    "control",
    lambda: Control(design_hash=HASH, program_words=64, beat_bytes=64),
    [
        Case("identity", identity),
        Case("program", program),
        Case("counters", counters),
        Case("faults", faults_and_reset),
        Case("starts", refused_starts),
        Case("tokens", token_overflow),
    ],
)


@each_case(BENCH)
def test_control(case):
    case.check()


def test_parameters_are_checked():
    text = "design_hash must be 64 bits, not 0x10000000000000000"
    refuses(text, lambda: Control(design_hash=1 << 64, program_words=4, beat_bytes=16))
    text = r"program_words must be 1\.\.65536, not 0"
    refuses(text, lambda: Control(design_hash=0, program_words=0, beat_bytes=16))
