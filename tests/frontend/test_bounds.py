"""What a model's files ask for is bounded before it is made: counts, sizes, headers, numbers."""

import json
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from alula.frontend import FrontendError, load

MIB = 1 << 20
UINT8, UINT32, FLOAT32, STRING, ARRAY, UINT64 = 0, 4, 6, 8, 9, 10


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def header(tensors: int, pairs: list[bytes]) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, len(pairs)) + b"".join(pairs)


def model(key: str, value: int) -> bytes:
    """A GGUF file with one small tensor, the embedding, and one size of the shape changed."""
    sizes = {
        "context_length": 64,
        "embedding_length": 32,
        "block_count": 1,
        "feed_forward_length": 32,
        "attention.head_count": 2,
        "attention.key_length": 16,
        "attention.value_length": 16,
    }
    sizes[key] = value
    if key == "attention.key_length":
        sizes["attention.value_length"] = sizes["rope.dimension_count"] = value
    pairs = [pair("general.architecture", STRING, text("llama"))]
    pairs += [pair(f"llama.{name}", UINT64, struct.pack("<Q", one)) for name, one in sizes.items()]
    eps = struct.pack("<f", 1e-5)
    pairs.append(pair("llama.attention.layer_norm_rms_epsilon", FLOAT32, eps))
    row = text("token_embd.weight") + struct.pack("<IQQIQ", 2, 32, 40, 0, 0)
    data = header(1, pairs) + row
    return data + bytes(-len(data) % 32) + bytes(4 * 32 * 40)


def refused(path: Path) -> str:
    """What loading says; it must take little memory for that."""
    tracemalloc.start()
    try:
        with pytest.raises(FrontendError) as caught:
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "key",
    ["attention.key_length", "block_count", "embedding_length", "attention.head_count"],
)
@pytest.mark.parametrize("value", [1 << 28, 1 << 40, (1 << 63) - 1])
def test_sizes_are_those_of_the_tensors(key: str, value: int, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(model(key, value))
    refused(path)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 20), "at most 65536 metadata keys, not 1048576"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 20, 0), "at most 65536 tensors, not 1048576"),
        (
            header(0, [pair("a", ARRAY, struct.pack("<IQ", UINT8, 1 << 30))]),
            "at most 4194304 elements of arrays, not 1073741824",
        ),
        (
            header(0, [pair("a", ARRAY, struct.pack("<IQ", STRING, 1 << 26))]),
            "at most 4194304 elements of arrays, not 67108864",
        ),
        (
            header(0, [pair("a", STRING, struct.pack("<Q", 1 << 30))]),
            "must be at most 67108864 bytes, not 10737",
        ),
    ],
    ids=["keys", "tensors", "numbers", "strings", "text"],
)
def test_a_file_with_room_for_absurd_counts(head: bytes, words: str, tmp_path: Path) -> None:
    """Holes cost nothing to make: a length that the file has is no bound by itself."""
    path = tmp_path / "m.gguf"
    path.write_bytes(head)
    os.truncate(path, 8 << 30)
    assert words in refused(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration and one small tensor."""
    place = tmp_path / "model"
    place.mkdir()
    config: dict[str, Any] = {
        "model_type": "llama",
        "vocab_size": 40,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    }
    (place / "config.json").write_text(json.dumps(config))
    tensors = {"model.embed_tokens.weight": np.zeros((40, 32), np.float32)}
    save_file(tensors, place / "model.safetensors")
    return place


@pytest.mark.parametrize(
    "change",
    [
        {"head_dim": 1 << 40},
        {"num_hidden_layers": 10**12},
        {"num_attention_heads": 10**15},
        {"vocab_size": 1 << 50},
        {"rope_theta": 10**400},
        {"rms_norm_eps": 10**400},
        {"rope_parameters": {"rope_type": "linear", "factor": 10**400}},
        {"max_position_embeddings": -1},
    ],
    ids=lambda change: "".join(change),
)
def test_numbers_of_a_configuration(change: dict, folder: Path) -> None:
    place = folder / "config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | change))
    assert len(refused(folder)) < 1000


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b"[" * 100_000, "must be JSON"),
        ("config.json", b'{"a":' * 100_000, "must be JSON"),
        ("config.json", b'{"a": ' + b"9" * 5000 + b"}", "must be JSON"),
        ("config.json", b"\xff\xfe{}", "must be JSON"),
        ("config.json", None, "Is larger than 33554432 bytes"),
        ("model.safetensors", struct.pack("<Q", 1 << 32), "at most 16777216 bytes, not 4294967296"),
        ("model.safetensors", struct.pack("<Q", 1 << 63), "truncated or corrupt"),
        ("model.safetensors", struct.pack("<Q", 3) + b"[[[", "truncated or corrupt"),
    ],
)
def test_files_that_are_too_much(
    name: str, content: bytes | None, words: str, folder: Path
) -> None:
    (folder / name).write_bytes(content or b"")
    if content is None or name == "model.safetensors":
        os.truncate(folder / name, 8 << 30)
    assert words in refused(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_fifo_in_a_folder(name: str, folder: Path) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder)


def test_a_fifo_among_the_shards(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "part.safetensors")
    index = {"weight_map": {"model.embed_tokens.weight": "part.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "part.safetensors must be readable, not Is a FIFO" in refused(folder)
