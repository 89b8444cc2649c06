"""Images, programs, inputs and the host's side of memory."""

import numpy as np
import pytest
from tests.model.bench import KV260, ODD, Bench, program, read_bytes

from alula.isa import Image, Region
from alula.model import Machine, MachineError, OutOfRange


def image(design=KV260, beats: int = 3, extra: int = 5, design_hash: str = "") -> Image:
    data = np.arange(beats * design.bytes_per_cycle, dtype=np.uint8).reshape(beats, -1)
    regions = {"stored": Region(0, beats), "kv": Region(beats, extra, stored=False)}
    return Image(design_hash or design.hash, data, regions)


def test_load_writes_the_image_and_zeroes_the_rest() -> None:
    bench = Bench()
    bench.machine.write(5, b"\xff" * 64)
    bench.put(0, np.ones(16))
    bench.machine.load(image())
    assert (read_bytes(bench.machine, 0, 192) == np.arange(192)).all()
    assert not read_bytes(bench.machine, 3, 5 * 64).any()
    assert not bench.get(0, 16).any()


def test_load_forgets_decoded_matrices() -> None:
    bench = Bench()
    bench.machine.state.activations[0][0, 0] = 1
    product = (
        "LD.W to=MV addr=0 fmt=V8 blocks=1 groups=1\nMV fmt=V8 blocks=1 groups=1 rows=1 stride=1"
    )
    bench.machine.write(0, np.ones(256, np.uint8))
    bench.run(product)
    bench.machine.load(image())
    bench.machine.state.activations[0][0, 0] = 1
    bench.machine.state.activations[1][0, 0] = 1
    bench.run(product)
    assert bench.get(0, 1)[0] == sum(range(16)) + sum(range(-128, -112))


def test_another_designs_image_is_refused() -> None:
    with pytest.raises(MachineError) as caught:
        Machine(KV260).load(image(design_hash="0123456789abcdef"))
    assert str(caught.value) == (
        f"image must be for design kv260 ({KV260.hash}), not for 0123456789abcdef"
    )


def test_another_designs_program_is_refused() -> None:
    with pytest.raises(MachineError) as caught:
        Machine(KV260).run(program(ODD, "NOP"), {})
    assert (
        str(caught.value) == f"program must be for design kv260 ({KV260.hash}), not for {ODD.hash}"
    )


def test_an_image_larger_than_memory_is_refused() -> None:
    with pytest.raises(OutOfRange, match="image must be at most 65536 beats, not 65541"):
        Machine(ODD).load(image(ODD, extra=65538))


def test_bytes_of_any_length_start_at_a_beat() -> None:
    machine = Machine(KV260)
    machine.write(2, np.full(64, 9, np.uint8))
    machine.write(2, b"abc")
    machine.write(4, np.array([[1, 2], [3, 4]], np.uint32))
    assert bytes(read_bytes(machine, 2, 5)) == b"abc\x09\x09"
    assert read_bytes(machine, 4, 16).view(np.uint32).tolist() == [1, 2, 3, 4]
    copy = read_bytes(machine, 2, 3)
    copy[:] = 0
    assert bytes(read_bytes(machine, 2, 3)) == b"abc"


@pytest.mark.parametrize("beat", [-1, 65535])
def test_the_host_stays_within_memory(beat: int) -> None:
    machine = Machine(ODD)
    limit = "must be within 65536 beats of memory, not"
    with pytest.raises(OutOfRange, match=f"write {limit} {beat}..{beat + 1}"):
        machine.write(beat, bytes(49))
    with pytest.raises(OutOfRange, match=f"read {limit} {beat}..{beat + 1}"):
        read_bytes(machine, beat, 49)


def test_inputs_override_constants_and_must_be_the_programs() -> None:
    machine = Machine(KV260)
    code = program(KV260, "ST.W value=r3 addr=0", inputs={"n": 3}, constants={3: 5})
    machine.run(code, {"n": 8})
    assert read_bytes(machine, 0, 1)[0] == 8
    for inputs, actual in (({}, "none"), ({"n": 1, "m": 2}, "m, n"), ({"m": 2}, "m")):
        with pytest.raises(MachineError) as caught:
            machine.run(code, inputs)
        assert str(caught.value) == f"inputs of test must be n, not {actual}"
    with pytest.raises(OutOfRange, match=r"input n must be 0\.\.4294967295, not -1"):
        machine.run(code, {"n": -1})


def test_buffers_and_memory_last_from_run_to_run() -> None:
    bench = Bench()
    bench.machine.write(0, np.full(16, 2.5, np.float32))
    bench.run("LD.V type=fp32 addr=0 dst=3 count=16")
    bench.run("ST.V src=3 addr=9 count=16")
    assert (read_bytes(bench.machine, 9, 64).view(np.float32) == 2.5).all()
