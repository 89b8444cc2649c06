"""Formats of matrices, by layer or for all of them."""

from hypothesis import given
from hypothesis import strategies as st

from alula.ir import Precision
from alula.ir.precision import HEAD

NAMES = [f"layers.{layer}.{part}" for layer in range(3) for part in ("attn.q", "mlp.down")]
TITLES = st.sampled_from(["W4", "W3", "W2 8:16"])
BANDS = st.just("W4 8:16 x 32 + W4 x 96")


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, TITLES | BANDS) | {HEAD: TITLES}))
def test_a_precision_gives_the_formats_that_it_is_made_of(formats: dict[str, str]) -> None:
    precision = Precision.of(formats)
    assert {name: precision.title(name) for name in formats} == formats


def test_what_is_alike_is_said_once() -> None:
    formats = {name: "W3" if "down" in name else "W4" for name in NAMES} | {HEAD: "W8"}
    formats["layers.0.attn.q"] = "W2"
    formats |= {f"layers.{layer}.attn.o": "W4" for layer in range(3)}
    assert Precision.of(formats) == Precision(
        "W4", "W8", {"layers.*.mlp.down": "W3", "layers.0.attn.q": "W2"}
    )


def test_a_layer_counts_before_all_layers() -> None:
    precision = Precision("W4", matrices={"layers.*.attn.q": "W3", "layers.1.attn.q": "W2"})
    found = [precision.title(f"layers.{layer}.attn.q") for layer in range(3)]
    assert found == ["W3", "W2", "W3"]
