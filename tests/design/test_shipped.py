"""The designs that ship, and the sizes that follow from them."""

import json
from pathlib import Path

import pytest

from alula.design import BLOCK, Design, load_design, shipped_designs

DESIGNS = Path(__file__).parents[2] / "designs"
NAMES = ["kv260", "kv260-sparse", "nano", "nano-sparse", "tiny", "u280", "vhk158"]


def test_these_designs_ship() -> None:
    assert sorted(shipped_designs()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_file_and_name_give_the_same_design(name: str) -> None:
    path = DESIGNS / f"{name}.yaml"
    design = load_design(path)
    assert design == load_design(str(path)) == load_design(name)
    assert design.name == name
    assert path.read_text().startswith("# yaml-language-server: $schema=design.schema.json\n")


def test_kv260_sizes() -> None:
    design = load_design("kv260")
    assert design.bytes_per_cycle == 64
    assert design.bytes_per_second == 19_200_000_000
    assert design.channels_per_core == 1
    assert design.chains_per_channel == 8
    assert design.rows == 8
    assert design.macs_per_cycle == 1024
    assert design.multiplier_dsps == 512
    assert design.accumulator_dsps == 128
    assert (design.output_width, design.output_dsps) == (8, 16)
    assert design.sfu_dsps == 84
    assert design.dsps == 750
    assert design.stream_beats == 2048
    assert design.vector_words == 16384
    assert design.activation_words == 2048
    assert design.staging_bytes == design.program_bytes == 65536
    assert design.capacity_bytes == design.channel_bytes == 4 << 30
    # Rings 36.5, ports 32, scales of activations 7.5 and of staging 1, the SFU's tables 22.5.
    # Vectors 32, activations 15, staging 2, the program 2.
    assert (design.blocks.bram36, design.blocks.uram) == (100, 51)


def test_deep_banks_lie_beside_each_other_in_ultrarams() -> None:
    """As many as Yosys 0.23 made of u280 (6ad56a2)."""
    design = load_design("u280")
    assert (design.blocks.bram36, design.blocks.uram) == (711, 344)
    banks = {bank.name: bank.urams // bank.copies for bank in design.banks if bank.deep}
    assert (banks["vector"], banks["activation"], banks["staging scale"]) == (22, 15, 1)


def test_u280_leaves_two_channels_for_host_and_program() -> None:
    design = load_design("u280")
    assert (design.cores, design.channels_per_core, design.channels) == (3, 10, 30)
    assert design.rows == 240
    assert design.channel_bytes == 256 << 20


def test_tiny_is_within_an_ecp5_85f() -> None:
    design = load_design("tiny")
    assert design.part.dsp == 156
    assert design.blocks.bram36 <= 104
    assert design.blocks.uram == 0
    assert design.family.dsp.name == "MULT18X18D"
    assert design.multiplier_dsps == design.macs_per_cycle


@pytest.mark.parametrize("name", NAMES)
def test_a_block_of_4_bit_weights_is_one_beat(name: str) -> None:
    design = load_design(name)
    assert design.chains_per_channel * BLOCK * 4 == design.memory.beat_bytes * 8


def test_sparse_muxes_are_hardware_of_their_own() -> None:
    dense = load_design("kv260")
    sparse = dense.replace({"mpe.sparse": True})
    assert sparse.hash != dense.hash
    indices = next(bank for bank in sparse.banks if bank.name == "stream index")
    assert indices.bits // 8 == 64 * 1024
    assert sparse.accumulator_dsps == 2 * dense.accumulator_dsps
    assert sparse.multiplier_dsps == dense.multiplier_dsps


def test_hashes() -> None:
    assert {name: load_design(name).hash for name in NAMES} == {
        "kv260": "fae8c7f0032165dd",
        "kv260-sparse": "396ffde34a3ff724",
        "nano": "11008db05ea706b6",
        "nano-sparse": "a8f67a90c680a91c",
        "tiny": "50b925d3bcbdcfb5",
        "u280": "7cf7083f219d884e",
        "vhk158": "5f869ef8b74369e5",
    }


def test_schema_file_is_the_design_s_schema() -> None:
    assert (DESIGNS / "design.schema.json").read_text() == Design.schema_text()


def test_schema_describes_every_field() -> None:
    schema = json.loads(Design.schema_text())
    for record in (schema, *schema["$defs"].values()):
        for name, field in record["properties"].items():
            assert field.get("description"), name
    assert set(schema["properties"]) == set(Design.model_fields)
