"""GGUF files: the container against bad bytes, the families against transformers."""

import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from alula.frontend import Checkpoint, FrontendError, UnsupportedModel, load
from alula.frontend.float_reference import FloatReference
from alula.frontend.gguf_file import GgufFile
from alula.frontend.gguf_values import readable, values

IDS = list(range(3, 150, 3))
LLAMA_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
GPT2_NAMES = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def side_by_side(rows: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's order of the rows of q and k: rope pairs next to each other."""
    split = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return split.swapaxes(1, 2).reshape(rows.shape)


def gguf_tensors(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """A transformers model's tensors under llama.cpp's names and in its layout."""
    config = model.config
    names = GPT2_NAMES if config.model_type == "gpt2" else LLAMA_NAMES
    tensors = {}
    for name, parameter in model.state_dict().items():
        module, part = name.rsplit(".", 1)
        values = parameter.numpy()
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if module in names:
            tensors[f"{names[module]}.{part}"] = values
            continue
        layer, module = module.split(".", 2)[2].split(".", 1)
        if config.model_type == "llama" and module == "self_attn.q_proj":
            values = side_by_side(values, config.num_attention_heads)
        if config.model_type == "llama" and module == "self_attn.k_proj":
            values = side_by_side(values, config.num_key_value_heads)
        if config.model_type == "gpt2" and values.ndim == 2:
            values = np.ascontiguousarray(values.T)
        tensors[f"blk.{layer}.{names[module]}.{part}"] = values
    return tensors


def write_gguf(
    path: Path,
    model: PreTrainedModel,
    kind: Kind = Kind.F32,
    extra: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
    change: Callable[[dict], None] = lambda tensors: None,
) -> Path:
    config = model.config
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        if head_dim := getattr(config, "head_dim", None):
            writer.add_key_length(head_dim)
            writer.add_value_length(head_dim)
    extra(writer)
    tensors = gguf_tensors(model)
    change(tensors)
    for name, weights in tensors.items():
        stored = kind if weights.ndim == 2 else Kind.F32
        writer.add_tensor(name, gguf.quantize(weights, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def assert_same_logits(checkpoint: Checkpoint, model: torch.nn.Module) -> None:
    with torch.no_grad():
        expected = model(torch.tensor([IDS])).logits[0]
    actual = FloatReference(checkpoint).logits(IDS)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["llama2", "smollm", "llama-biased", "qwen2", "qwen3", "gpt2"])
def test_logits_equal_those_of_transformers(name: str, random_model, tmp_path: Path) -> None:
    model = random_model(name)
    path = write_gguf(tmp_path / "model.gguf", model)
    assert_same_logits(load(str(path)), model)


def test_the_rope_factors_of_llama3(random_model, tmp_path: Path) -> None:
    model = random_model("llama3")
    plain = 500000.0 ** (-torch.arange(0, 16, 2) / 16)
    factors = (plain / model.model.rotary_emb.inv_freq).numpy().astype(np.float32)
    path = write_gguf(
        tmp_path / "model.gguf", model, change=lambda t: t.update({"rope_freqs.weight": factors})
    )
    assert factors.max() == pytest.approx(8)
    assert_same_logits(load(path), model)


def test_linear_rope(random_model, tmp_path: Path) -> None:
    model = random_model("llama-linear-rope")

    def scaling(writer: gguf.GGUFWriter) -> None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(4.0)

    assert_same_logits(load(write_gguf(tmp_path / "model.gguf", model, extra=scaling)), model)


QUANTISED = (Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1)


@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.name)
def test_block_types_give_the_numbers_llama_cpp_sees(
    kind: Kind, random_model, tmp_path: Path
) -> None:
    model = random_model("qwen2")
    checkpoint = load(write_gguf(tmp_path / "model.gguf", model, kind))
    original = model.model.layers[1].mlp.down_proj.weight.detach().numpy()
    expected = gguf.dequantize(gguf.quantize(original, kind), kind)
    np.testing.assert_array_equal(checkpoint.tensor("layers.1.mlp.down.weight"), expected)
    assert np.abs(expected - original).max() < 0.1


def test_every_type_that_holds_weights_can_be_read() -> None:
    helpers = {Kind.Q8_1, Kind.Q8_K, Kind.I8, Kind.I16, Kind.I32, Kind.I64}
    assert {kind for kind in Kind if not readable(kind)} == helpers


def test_sign_weights() -> None:
    """Q1_0: two rows of two blocks of 128."""
    scales = np.array([[1.5, 0.25], [-2.0, 0.0]], np.float16)
    bits = np.random.default_rng(3).integers(0, 2, (2, 2, 128), dtype=np.uint8)
    packed = np.packbits(bits, axis=-1, bitorder="little")
    rows = np.concatenate((scales[..., None].view(np.uint8), packed), axis=-1).reshape(2, -1)
    expected = np.where(bits == 1, scales[..., None], -scales[..., None]).astype(np.float32)
    np.testing.assert_array_equal(values(rows, Kind.Q1_0), expected.reshape(2, 256))


def test_a_file_equals_what_the_gguf_package_reads(random_model, tmp_path: Path) -> None:
    def every_type(writer: gguf.GGUFWriter) -> None:
        integers = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
        for name in integers:
            getattr(writer, f"add_{name}")(f"test.{name}", 100)
        writer.add_float32("test.float32", 0.1)
        writer.add_float64("test.float64", 0.1)
        writer.add_bool("test.bool", True)
        writer.add_string("test.string", "wing\u00e9")
        writer.add_array("test.integers", [1, -2, 3])
        writer.add_array("test.numbers", [0.5, 2.0])
        writer.add_array("test.flags", [True, False])
        writer.add_array("test.strings", ["", "a\n", "\u0120the"])
        writer.add_custom_alignment(64)

    path = write_gguf(tmp_path / "model.gguf", random_model("qwen2"), Kind.Q5_1, extra=every_type)
    ours, theirs = GgufFile(path), gguf.GGUFReader(path)
    fields = {k: f.contents() for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    assert ours.metadata == fields
    rows = {t.name: (t.data_offset, t.n_bytes, t.tensor_type) for t in theirs.tensors}
    assert {n: (t.offset, t.size, t.kind) for n, t in ours.tensors.items()} == rows


REFUSED = {
    "expert_count": lambda writer: writer.add_expert_count(8),
    "rope scaling": lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.YARN),
    "partial rope": lambda writer: writer.add_rope_dimension_count(8),
    "logit_scale": lambda writer: writer.add_logit_scale(0.5),
    "attention mask": lambda writer: writer.add_causal_attention(False),
    "split file": lambda writer: writer.add_uint16("split.count", 3),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_supported_comes_as_a_table(reason, random_model, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf", random_model("llama2"), extra=REFUSED[reason])
    with pytest.raises(UnsupportedModel) as caught:
        load(path)
    assert [refusal.reason for refusal in caught.value.refusals] == [reason]


def test_an_unknown_architecture(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "mamba")
    writer.add_tensor("a", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedModel, match=r"unknown architecture .* mamba"):
        load(tmp_path / "model.gguf")


def test_tensors_beyond_the_family_are_refused(random_model, tmp_path: Path) -> None:
    router = {"blk.0.ffn_gate_inp.weight": np.zeros((2, 64), np.float32)}
    path = write_gguf(
        tmp_path / "model.gguf", random_model("llama2"), change=lambda t: t.update(router)
    )
    with pytest.raises(UnsupportedModel, match=r"ffn_gate_inp"):
        load(path)


def test_a_missing_tensor_is_named(random_model, tmp_path: Path) -> None:
    path = write_gguf(
        tmp_path / "model.gguf",
        random_model("llama2"),
        change=lambda tensors: tensors.pop("blk.1.ffn_up.weight"),
    )
    with pytest.raises(FrontendError, match=r"not without blk.1.ffn_up.weight"):
        load(path)


def test_a_shape_that_contradicts_the_metadata(random_model, tmp_path: Path) -> None:
    wrong = {"blk.1.ffn_up.weight": np.zeros((64, 64), np.float32)}
    path = write_gguf(
        tmp_path / "model.gguf", random_model("llama2"), change=lambda t: t.update(wrong)
    )
    with pytest.raises(FrontendError, match=r"blk.1.ffn_up.weight must have the shape \(96, 64\)"):
        load(path)


@pytest.fixture(scope="module")
def small_file(random_model, tmp_path_factory) -> Path:
    model = random_model("llama2", num_hidden_layers=1)

    def vocabulary(writer: gguf.GGUFWriter) -> None:
        writer.add_token_list([f"token {i}" for i in range(160)])
        writer.add_token_types([1] * 160)

    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    return write_gguf(path, model, Kind.Q4_1, extra=vocabulary)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"", "the file must go on after byte 0"),
        (b"GGML", "the first bytes must be b'GGUF', not b'GGML'"),
        (b"GGUF" + struct.pack("<I", 1), "version must be 2 or 3, not 1"),
        (b"GGUF" + struct.pack(">I", 3), "version must be 2 or 3, not big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), f"must hold its {2**60} metadata keys"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), f"must hold its {2**60} tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "general.architecture must be given"),
    ],
)
def test_a_head_that_is_not_gguf(head: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(head)
    with pytest.raises(FrontendError, match=message):
        load(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(data, small_file: Path, tmp_path: Path) -> None:
    content = small_file.read_bytes()
    path = tmp_path / "model.gguf"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(FrontendError):
        load(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_load_or_are_refused(data, small_file: Path, tmp_path: Path) -> None:
    content = bytearray(small_file.read_bytes())
    header = min(tensor.offset for tensor in GgufFile(small_file).tensors.values())
    at = data.draw(st.integers(0, header))
    new = data.draw(st.binary(min_size=1, max_size=8))
    content[at : at + len(new)] = new
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    try:
        checkpoint = load(path)
        for name in checkpoint.names():
            assert checkpoint.tensor(name).shape == checkpoint.shape(name)
    except FrontendError:
        pass


def test_scales_that_are_not_finite_are_refused_when_read(random_model, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf", random_model("qwen2"), Kind.Q8_0)
    tensor = GgufFile(path).tensors["blk.0.ffn_up.weight"]
    content = bytearray(path.read_bytes())
    content[tensor.offset : tensor.offset + 2] = np.float16(np.inf).tobytes()
    path.write_bytes(content)
    with pytest.raises(FrontendError, match=r"layers.0.mlp.up.weight must be finite, not NaN"):
        load(path).tensor("layers.0.mlp.up.weight")


@pytest.mark.parametrize("name", ["missing.gguf", "no\0name"])
def test_a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(FrontendError, match=r"must be a GGUF file, a folder or package.module"):
        load(tmp_path / name)


def test_the_real_model(smollm2_path: Path) -> None:
    checkpoint = load(smollm2_path)
    shape = checkpoint.architecture
    assert (shape.layers, shape.heads, shape.kv_heads, shape.head_dim) == (30, 9, 3, 64)
    assert shape.parameters == 134_515_008
    assert shape.tied_head
    assert shape.rope_inverse_frequencies[1] == pytest.approx(100000 ** (-1 / 32), rel=1e-12)
    assert checkpoint.tokenizer_source == smollm2_path
