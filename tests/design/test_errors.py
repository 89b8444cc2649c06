"""What a wrong design is told: one line, with these words."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from alula.design import Design, DesignError, load_design, problem

KV260 = load_design("kv260")
KEYS = "name, part, clock_mhz, cores, memory, mpe, sfu, buffers, context_max or prefill_chunk"
BUFFERS = (
    "must be memories of at most 144 BRAM36 and 64 UltraRAM (part), not 191 BRAM36 and 116"
    " UltraRAM (kv260: buffers)"
)
MOST_ACTIVATION_KIB = 65536 * 32 * KV260.mpe.tokens // 1024
"""65,536 groups of 32 values of each token."""
MAPPING = "row and, in any order, rank, bank, bankgroup and column"


def window(address: int) -> dict[str, int]:
    return {"address": address, "mib": 2048}


VALUES = [
    (
        "mpe.lanes",
        16,
        "must be left out (every chain has 16 multipliers), not 16 (kv260: mpe.lanes)",
    ),
    ("sfu.lanes", 32, "must be 2, 4, 8 or 16, not 32 (kv260: sfu.lanes)"),
    ("sfu.lanes", "many", "must be 2, 4, 8 or 16, not 'many' (kv260: sfu.lanes)"),
    ("sfu.lanes", 16.0, "must be a whole number, not 16.0 (kv260: sfu.lanes)"),
    ("mpe.tokens", 1, "must be 2, 4, 8, 16 or 32, not 1 (kv260: mpe.tokens)"),
    ("mpe.tokens", True, "must be a whole number, not true (kv260: mpe.tokens)"),
    ("mpe.tokens", [2], "must be 2, 4, 8, 16 or 32, not a list (kv260: mpe.tokens)"),
    ("mpe.accumulator_bits", 31, "must be at least 32, not 31 (kv260: mpe.accumulator_bits)"),
    (
        "memory.beat_bytes",
        256,
        "must be 8, 16, 32, 64 or 128, not 256 (kv260: memory.beat_bytes)",
    ),
    ("memory.capacity_mib", None, "must be a whole number, not empty (kv260: memory.capacity_mib)"),
    ("part.family", "asic", "must be ultrascale+, versal or ecp5, not 'asic' (kv260: part.family)"),
    ("cores", "1", "must be a whole number, not '1' (kv260: cores)"),
    ("cores", 0, "must be at least 1, not 0 (kv260: cores)"),
    ("cores", 2, "must be at most 1 (memory.channels), not 2 (kv260: cores)"),
    ("clock_mhz", 1.5, "must be a whole number, not 1.5 (kv260: clock_mhz)"),
    ("clock_mhz", float("nan"), "must be a whole number, not nan (kv260: clock_mhz)"),
    ("context_max", 1 << 15, "must be at most 16384, not 32768 (kv260: context_max)"),
    ("prefill_chunk", 256, "must be at most 255, not 256 (kv260: prefill_chunk)"),
    ("buffers.staging_kib", 2049, "must be at most 2048, not 2049 (kv260: buffers.staging_kib)"),
    ("buffers.program_kib", 1025, "must be at most 1024, not 1025 (kv260: buffers.program_kib)"),
    (
        "buffers.vector_kib",
        4097,
        "must be at most 4096 (65536 words), not 4097 (kv260: buffers.vector_kib)",
    ),
    (
        "buffers.activation_kib",
        MOST_ACTIVATION_KIB + 1,
        (
            f"must be at most {MOST_ACTIVATION_KIB} (65536 groups), not {MOST_ACTIVATION_KIB + 1}"
            " (kv260: buffers.activation_kib)"
        ),
    ),
    ("context_max", 100, "must be a multiple of 32, not 100 (kv260: context_max)"),
    (
        "prefill_chunk",
        15,
        f"must be a multiple of {KV260.mpe.tokens} (mpe.tokens), not 15 (kv260: prefill_chunk)",
    ),
    ("name", "", "must be text of at least 1 characters, not '' (kv260: name)"),
    ("name", 7, "must be text, not 7 (kv260: name)"),
    ("name", "a\n", r"must be text that matches ^[A-Za-z0-9_.-]+$, not 'a\n' (kv260: name)"),
    ("part.name", "a\n[", r"must be text that matches ^[ -~]+$, not 'a\n[' (kv260: part.name)"),
    ("mpe", None, "must be a mapping of keys to values, not empty (kv260: mpe)"),
    ("memory", [1], "must be a mapping of keys to values, not a list (kv260: memory)"),
    (
        "mpe.tokns",
        16,
        (
            "must be one of the keys tokens, accumulator_bits or sparse, not 'tokns' "
            "(kv260: mpe.tokns)"
        ),
    ),
    ("mpe.sparse", 1, "must be true or false, not 1 (kv260: mpe.sparse)"),
    ("speed", 1, f"must be one of the keys {KEYS}, not 'speed' (kv260: speed)"),
    (
        "part.dsp",
        KV260.dsps - 1,
        (
            f"must be a design of at most {KV260.dsps - 1} DSP48E2 (part.dsp), not one of"
            f" {KV260.dsps} (kv260: mpe)"
        ),
    ),
    (
        "buffers.vector_kib",
        4096,
        BUFFERS,
    ),
    (
        "memory.dram.part",
        "ddr3-800d-4gb-x16",
        (
            "must be ddr4-2400r-8gb-x8 or ddr4-2400r-8gb-x16 (memory.kind), not 'ddr3-800d-4gb-x16'"
            " (kv260: memory.dram.part)"
        ),
    ),
    (
        "memory.dram.bus_bits",
        72,
        "must be a multiple of 16 (part), not 72 (kv260: memory.dram.bus_bits)",
    ),
    ("memory.dram.ranks", 3, "must be 1, 2 or 4, not 3 (kv260: memory.dram.ranks)"),
    ("memory.dram.mapping", "row", f"must be {MAPPING}, not 'row' (kv260: memory.dram.mapping)"),
    (
        "memory.dram.timings.tCCD_S",
        3,
        "must be at least 4 (the clocks of a burst), not 3 (kv260: memory.dram.timings.tCCD_S)",
    ),
    (
        "memory.dram.timings.tREFI",
        505,
        (
            "must be more than 505 (tRFC + tRC + tWR + CWL), not 505"
            " (kv260: memory.dram.timings.tREFI)"
        ),
    ),
    (
        "memory.dram.timings.tRFC",
        0,
        "must be at least 1, not 0 (kv260: memory.dram.timings.tRFC)",
    ),
    (
        "memory.capacity_mib",
        8192,
        "must be at most 4096 (memory.windows), not 8192 (kv260: memory.capacity_mib)",
    ),
    ("memory.ports", 3, "must be 1, 2, 4 or 8, not 3 (kv260: memory.ports)"),
    ("memory.ports", 8, "must be at most 4 (memory.beat_bytes), not 8 (kv260: memory.ports)"),
    (
        "memory.ports",
        1,
        "must be left out where memory.ports is 1, not given (kv260: memory.switch)",
    ),
    (
        "memory.ports",
        2,
        "must be 32 (memory.switch and memory.ports), not 64 (kv260: memory.beat_bytes)",
    ),
    ("memory.switch", "zynq", "must be zynq-ultrascale+, not 'zynq' (kv260: memory.switch)"),
    (
        "memory.address_bits",
        35,
        "must be at least 36 (what the memory needs), not 35 (kv260: memory.address_bits)",
    ),
    ("memory.windows", {}, "must be a list, not a mapping (kv260: memory.windows)"),
    (
        "memory.windows",
        [window(0)] * 5,
        "must be at most 4 long, not a list (kv260: memory.windows)",
    ),
    (
        "memory.windows",
        [window(0) | {"kib": 1}],
        "must be one of the keys address or mib, not 'kib' (kv260: memory.windows.0.kib)",
    ),
    (
        "memory.windows",
        [window(0), window(4096)],
        "must be a multiple of 1048576, not 4096 (kv260: memory.windows.1.address)",
    ),
    (
        "memory.windows",
        [window(1 << 31), window(1 << 30)],
        "must be apart from each other, not one up to 0xc0000000 (kv260: memory.windows)",
    ),
]


@pytest.fixture
def kv260() -> Design:
    return load_design("kv260")


@pytest.mark.parametrize(("key", "value", "message"), VALUES)
def test_wrong_value(kv260: Design, key: str, value: Any, message: str) -> None:
    with pytest.raises(DesignError) as caught:
        kv260.replace({key: value})
    assert str(caught.value) == message


def test_capacity_is_shared_evenly() -> None:
    with pytest.raises(DesignError) as caught:
        load_design("u280").replace({"memory.capacity_mib": 8000 + 1})
    expected = "must be a multiple of 32 (memory.channels), not 8001 (u280: memory.capacity_mib)"
    assert str(caught.value) == expected


def test_activations_hold_two_groups(kv260: Design) -> None:
    with pytest.raises(DesignError) as caught:
        kv260.replace({"mpe.tokens": 32, "prefill_chunk": 32, "buffers.activation_kib": 1})
    expected = "must be at least 2 (2 groups), not 1 (kv260: buffers.activation_kib)"
    assert str(caught.value) == expected


def test_stream_holds_sixteen_beats() -> None:
    with pytest.raises(DesignError) as caught:
        load_design("u280").replace({"buffers.stream_kib": 9})
    expected = (
        "must be at least 10 (16 beats for each of a core's channels), not 9"
        " (u280: buffers.stream_kib)"
    )
    assert str(caught.value) == expected


def test_a_mistyped_key_is_told_before_the_key_it_hides(kv260: Design) -> None:
    values = kv260.model_dump()
    values["mpe"]["tokenz"] = values["mpe"].pop("tokens")
    with pytest.raises(DesignError, match="not 'tokenz'"):
        Design.from_mapping(values)


def test_missing_key(kv260: Design) -> None:
    values = kv260.model_dump()
    del values["memory"]["kind"]
    with pytest.raises(DesignError) as caught:
        Design.from_mapping(values, "designs/x.yaml")
    assert str(caught.value) == "must be given, not missing (designs/x.yaml: memory.kind)"


A_MAPPING = "a mapping of keys to values"
FILES = [
    ("", f"{A_MAPPING}, not empty", ""),
    ("- 1\n", f"{A_MAPPING}, not a list", ""),
    ("name: kv260\n1: 2\n", f"one of the keys {KEYS}, not '1'", ": 1"),
    ("name: a\nname: b\n", "plain YAML, not 'name' given twice", ": line 2"),
    ("name: 'a\n", "plain YAML, not broken: found unexpected end of stream", ": line 2"),
    ("? [a]\n: b\n", "plain YAML, not a key that is no text", ": line 1"),
    ("name: !!timestamp foo\n", "plain YAML, not the tag !!timestamp", ": line 1"),
    ("name: !!bool\n", "plain YAML, not the tag !!bool", ": line 1"),
    ("name: a\n--- \nname: b\n", "plain YAML, not a second document", ": line 2"),
    ("a: &one {}\n", "plain YAML, not the anchor &one", ": line 1"),
    ("a: 0\nb: *one\n", "plain YAML, not the alias *one", ": line 2"),
    (f"cores: 0x{'f' * 6000}\n", "plain YAML, not a number of more than 40 characters", ": line 1"),
    ("cores: 1e400\n", "plain YAML, not a number as large as 1e400", ": line 1"),
    ("[" * 500_000, "plain YAML, not more than 32 lists in each other", ": line 1"),
    ('"\\e[31m\\n": 1\n', rf"one of the keys {KEYS}, not '\x1b[31m\n'", r": \x1b[31m\n"),
]


@pytest.mark.parametrize(("text", "fault", "place"), FILES)
def test_wrong_file(tmp_path: Path, text: str, fault: str, place: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(DesignError) as caught:
        load_design(path)
    assert str(caught.value) == f"must be {fault} ({path}{place})"


@pytest.mark.parametrize(
    "text", ["name: !!python/name:os.system\n", "name: a\0b\n", 'name: "\\ud800"']
)
def test_nothing_but_plain_yaml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(DesignError, match=r"^must be plain YAML, not .*$"):
        load_design(path)


def test_place_names_the_file(tmp_path: Path, kv260: Design) -> None:
    values = kv260.model_dump()
    values["mpe"]["tokens"] = 12
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(DesignError) as caught:
        load_design(path)
    assert str(caught.value) == f"must be 2, 4, 8, 16 or 32, not 12 ({path}: mpe.tokens)"
    assert (caught.value.expected, caught.value.actual) == ("2, 4, 8, 16 or 32", "12")


def test_no_such_file() -> None:
    with pytest.raises(DesignError) as caught:
        load_design("designs/none.yaml")
    expected = (
        "must be a design file, or kv260, kv260-sparse, nano, nano-sparse, tiny, u280 or vhk158, "
        "not a missing one (no such file: designs/none.yaml)"
    )
    assert str(caught.value) == expected


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match="must be a design file"):
        load_design(tmp_path)


def test_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF\xff\xfe\x00")
    with pytest.raises(DesignError) as caught:
        load_design(path)
    assert str(caught.value) == f"must be UTF-8 text, not other bytes ({path})"


def test_large_file(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(DesignError) as caught:
        load_design(path)
    assert str(caught.value) == f"must be a design file of at most 1 MiB, not a larger one ({path})"


def test_a_kind_of_mistake_that_nobody_thought_of(
    kv260: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pydantic has more errors than designs bring about: each is a line."""
    with pytest.raises(DesignError, match=r"^must be text that can be encoded, not '\\ud800' \("):
        kv260.replace({"name": "\ud800"})
    monkeypatch.delitem(problem.EXPECTED, "string_type")
    with pytest.raises(
        DesignError, match=r"^must be valid \(Input should be a valid string\), not 7"
    ):
        kv260.replace({"name": 7})


def test_memory_beyond_its_dram(kv260: Design) -> None:
    with pytest.raises(DesignError) as caught:
        kv260.replace({"memory.capacity_mib": 6144, "memory.windows": []})
    expected = "must be at most 4096 (memory.dram), not 6144 (kv260: memory.capacity_mib)"
    assert str(caught.value) == expected


def test_windows_of_several_channels() -> None:
    with pytest.raises(DesignError) as caught:
        load_design("u280").replace({"memory.ports": 2, "memory.windows": [window(0)] * 4})
    assert "must be left out where memory.channels is not 1" in str(caught.value)
