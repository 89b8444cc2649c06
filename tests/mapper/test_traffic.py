"""What a token must move, against arithmetic by hand, the memory map and the machine model."""

import pytest
from tests.shapes import FAMILIES, GPT2, LLAMA2_7B, SMOLLM2, RandomCheckpoint, sized

from alula.codegen import compile_model
from alula.design import load_design
from alula.ir import Architecture, Precision, build_graph
from alula.isa import RunInputs
from alula.mapper import map_memory, traffic
from alula.model import Machine
from alula.quant import QuantizedModel


def test_smollm2_by_hand() -> None:
    found = traffic(SMOLLM2)
    linears = 2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576
    rows = 576 + 192 + 192 + 576 + 1536 + 1536 + 576
    assert found.layers == (linears * 9 // 16 + 2 * rows + 4 * 2 * 576,) * 30
    assert found.head == 49152 * 576 + 2 * 49152 + 4 * 576
    assert (found.embedding, found.position, found.hidden) == (4 + 1152, 256, 2304)
    assert found.kv == 2 * 3 * 66
    assert found.read(position=127, tokens=1) == (
        30 * found.layers[0] + found.head + 4 + 1152 + 256 + 30 * 127 * 2 * 3 * 66
    )
    assert found.written(tokens=1, layers=30) == 30 * 2 * 3 * 66 + 4


@pytest.mark.parametrize(
    ("shape", "design"), [(SMOLLM2, "kv260"), (GPT2, "kv260"), (LLAMA2_7B, "u280")]
)
@pytest.mark.parametrize(
    "precision",
    [
        Precision(),
        Precision(layers="W8"),
        Precision("W3", "W4", {"layers.*.mlp.down": "W4 8:16", "layers.*.mlp.up": "W2 2:4"}),
        Precision("W3", "W4", {"layers.2.mlp.down": "W8", "layers.5.attn.q": "W2"}),
    ],
)
def test_memory_holds_little_more(shape: Architecture, design: str, precision: Precision) -> None:
    """Padding and nothing else: the sections are what must be read, but for a few per cent."""
    graph, chosen = build_graph(shape), load_design(design)
    found, memory = traffic(shape, precision), map_memory(graph, chosen, 512, precision)
    pairs = [(found.layers[run.first], run.section) for run in memory.runs]
    for bytes_, section in [*pairs, (found.head, memory.head)]:
        assert 0.96 < bytes_ / (section.beats * chosen.bytes_per_cycle) <= 1


@pytest.mark.parametrize("used", [32, 20])
def test_bands_by_hand(used: int) -> None:
    """4 heads of 32 rows, of which some may be padding, half of them below 16."""
    shape = sized(FAMILIES["llama"], 64, used, 96)
    found = traffic(shape, Precision("W4", matrices={"layers.*.attn.q": "W4 8:16 x 16 + W8 x 112"}))
    plain = traffic(shape, Precision("W4", matrices={"layers.*.attn.q": "W8"}))
    rows = used // 2
    assert plain.layers[0] - found.layers[0] == rows * (64 + 2) - rows * (32 // 2 + 32 // 2 + 2 + 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_machine_writes_what_it_must_and_nothing_else(family: str) -> None:
    """Always on chip: a token leaves its keys, values and result in memory, in every phase."""
    build = compile_model(
        QuantizedModel(RandomCheckpoint(FAMILIES[family])), load_design("tiny"), 96
    )
    machine = Machine(build.design)
    machine.load(build.image)
    layers = build.architecture.layers
    for program, position, tokens, head in (
        (build.prefill, 0, 21, True),
        (build.decode, 21, 1, True),
        (build.decode, 22, 1, False),
    ):
        inputs = RunInputs(
            position=position,
            tokens=tokens,
            layers=layers,
            head_rows=int(head),
            hidden_out=not head,
        )
        counters = machine.run(program, inputs.registers())
        expected = build.traffic.written(tokens=tokens, layers=layers, head=head)
        assert counters.bytes_written == expected
        must = build.traffic.read(position=position, tokens=tokens, head=head)
        assert counters.bytes_read >= must
