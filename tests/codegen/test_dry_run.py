"""Programs run without data: what the machine would refuse is found, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from tests.codegen.test_families import Bench
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.codegen import compile_model, generate, layer, plan
from alula.codegen.dry_run import DryRun, dry_run
from alula.design import load_design
from alula.ir import build_graph
from alula.isa import Program, assemble, encode_all
from alula.mapper import place
from alula.model import Machine, MachineError
from alula.quant import QuantizedModel

TINY = load_design("tiny")


def _program(text: str) -> Program:
    inputs = {"tokens": 1}
    ops = assemble(text)
    return Program("prefill", TINY.hash, encode_all(ops), {}, inputs, ("layers.0",) * len(ops))


WORDS, GROUPS = TINY.vector_words, TINY.activation_groups
CASES = {
    "RMSNORM rows": "RMSNORM dst=0 src=0 gain=0 rows=r1+251 len=2 inv=r2 eps=r0",
    "RMSNORM dst in the vector buffer": f"RMSNORM dst=r1+{WORDS - 8} src=0 gain=0 rows=1 len=8",
    "SOFTMAX src in the vector buffer": f"SOFTMAX src=r1+{WORDS - 19} rows=1 len=32 scale=0",
    "SOFTMAX len": "LI rd=r4 value=7\nSSUB rd=r3 a=r4 b=r1\nSOFTMAX src=0 rows=1 len=r3 scale=0",
    "QUANT len": "LI rd=r3 value=16381\nSADD rd=r3 a=r3 b=r1\nQUANT src=0 dst=0 rows=1 len=r3",
    "QUANT dst in the activation buffer": f"QUANT src=0 dst=r1+{GROUPS - 4} rows=1 len=32",
    "ROPE dim % (2 * L)": "ROPE src=0 table=0 rows=1 heads=1 dim=6 stride=3",
    "ADD a in the vector buffer": f"ADD dst=0 a=r1+{WORDS - 5} b=0 rows=1 words=2",
    "ACT b in the vector buffer": f"ACT func=silu gated=1 dst=0 a=0 b=r1+{WORDS - 5} count=2",
    "LD.V dst in the vector buffer": f"LD.V type=fp32 addr=0 dst=r1+{WORDS - 4} count=2",
    "LD.V addr in memory": "LI rd=r3 value=33554428\nSADD rd=r3 a=r3 b=r1\n"
    "LD.V type=fp32 addr=r3 dst=0 count=4",
    "QUANTKV dst in staging": "QUANTKV src=0 dst=r1+477 rows=1 heads=1 dim=32 stride=16",
    "ST.KEY values of a row": "LI rd=r3 value=12\nSADD rd=r3 a=r3 b=r1\n"
    "ST.KEY src=0 addr=0 heads=1 rows=1 groups=r3 stride=r0 position=r0",
    "ARGMAX src in the vector buffer": f"ARGMAX src=r1+{WORDS - 4} count=2",
}


def _refused(program: Program, tokens: int) -> bool:
    try:
        Machine(TINY).run(program, {"tokens": tokens})
    except MachineError:
        return True
    return False


@pytest.mark.parametrize("what", CASES)
def test_what_the_machine_refuses_is_found(what: str) -> None:
    """`tokens` is r1: with the largest value the instruction goes too far, here and there."""
    program = _program(f"{CASES[what]}\nEND")
    tokens = np.arange(1, 8)
    run = DryRun(program, TINY, {"tokens": tokens})
    names = {excess.what for excess in run.excesses}
    assert what in names
    for count in tokens:
        alone = DryRun(program, TINY, {"tokens": np.array([count])}).excesses
        assert bool(alone) == _refused(program, int(count)), count
    assert _refused(program, 7)


def test_loops_and_arithmetic_are_those_of_the_machine() -> None:
    text = f"""
    SSUB rd=r2 a=r1 b=2
    SMUL rd=r2 a=r2 b=3
    SDIV rd=r2 a=r2 b=2
    SMIN rd=r2 a=r2 b=5
    LOOP count=r2 body=2
    SADD rd=r3 a=r3 b={WORDS // 4}
    ADD dst=0 a=r3 b=0 rows=1 words=1
    END
    """
    program = _program(text)
    for count in range(2, 8):
        alone = DryRun(program, TINY, {"tokens": np.array([count])}).excesses
        assert bool(alone) == _refused(program, count), count


WIDE = replace(
    FAMILIES["qwen3"], heads=48, head_dim=32, rope_inverse_frequencies=(0.5,) * 16, kv_heads=16
)
"""More heads than RMSNORM counts to in a chunk: 8 tokens of 48."""


def test_rows_beyond_an_instruction_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "MOST_ROWS", 100_000)
    whole = load_design("kv260").replace({"prefill_chunk": 8, "mpe.tokens": 8})
    graph = build_graph(WIDE)
    placement = place(graph, whole, 96)
    prefill, _ = generate(graph, whole, placement)
    (excess,) = dry_run(prefill, whole, context=96, chunk=8, layers=(0, 1))
    assert (excess.what, excess.value, excess.limit) == ("RMSNORM rows", 8 * 48, 255)
    assert excess.origin == "layers.{layer}.attn.q"


def test_rows_beyond_an_instruction_are_split() -> None:
    """Prompts of every length around a chunk run, and give what a narrow chunk gives."""
    whole = load_design("kv260").replace({"prefill_chunk": 8, "mpe.tokens": 8})
    narrow = load_design("kv260").replace({"prefill_chunk": 4, "mpe.tokens": 4})
    model = QuantizedModel(RandomCheckpoint(replace(WIDE, layers=1)))
    benches = [Bench(compile_model(model, design, 96)) for design in (whole, narrow)]
    for length in (1, 7, 8, 9, 17):
        ids = [7, *range(20, 19 + length)]
        found = []
        for bench in benches:
            bench.run_prefill(ids, 0)
            found.append(bench.rows("logits", 1, WIDE.vocab_size))
        np.testing.assert_array_equal(*found)


def test_a_long_offset_goes_through_a_register() -> None:
    """Addresses of groups beyond 8,191 and rows of more than 4,095 words, on wide buffers."""
    design = TINY.replace({"prefill_chunk": 2})
    shape = replace(FAMILIES["gpt2"], intermediate_size=12000, biases=frozenset(("mlp.up",)))
    found = plan(shape, design, 32)
    (bias,) = [op for op in found.decode.ops if op.name == "ADD" and op.values["broadcast"]]
    assert bias.values["words"][0] != 0
    model = QuantizedModel(RandomCheckpoint(replace(shape, layers=1)))
    bench = Bench(compile_model(model, design, 32))
    bench.run([3, 9, 27], 0)
