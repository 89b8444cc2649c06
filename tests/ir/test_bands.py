"""Bands of rows: titles say what they were made of, and nothing else is one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.ir import Precision
from alula.ir.bands import bands_of, formats_of, title_of
from alula.isa.formats import MATRIX_FORMATS

PARTS = st.lists(
    st.tuples(st.sampled_from(list(MATRIX_FORMATS)), st.integers(1, 10**6)), min_size=1
)


@given(PARTS)
def test_a_title_gives_the_bands_that_it_is_made_of(parts: list[tuple[str, int]]) -> None:
    title, rows = title_of(parts), sum(count for _, count in parts)
    bands = bands_of(title, rows)
    found = [band.format.title for band in bands for _ in range(min(band.rows, 1))]
    assert title_of([(band.format.title, band.rows) for band in bands]) == title
    assert [one.title for one in formats_of(title)] == found
    assert [band.first for band in bands] == [
        sum(band.rows for band in bands[:index]) for index in range(len(bands))
    ]
    assert bands[-1].span.stop == rows
    each = [name for name, count in parts for _ in range(count)] if rows < 1000 else []
    assert not each or each == [band.format.title for band in bands for _ in range(band.rows)]


@pytest.mark.parametrize(
    "title",
    [
        "",
        "W5",
        "W4 x 32",
        "W4 x 32 + W4 x 32",
        "W4 x 32 + W5 x 32",
        "W4 x 032 + W3 x 32",
        "W4 x 0 + W3 x 32",
        "W4 x 32+W3 x 32",
        "W4 x 32 + W3 x 32 + ",
        "W4 x 32 + V8 x 32",
    ],
)
def test_other_titles_are_refused(title: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"or bands of them, not {title}") + "$"):
        bands_of(title, 64)
    with pytest.raises(ValueError, match="must be one of W4, "):
        Precision(matrices={"layers.*.mlp.up": title} if title else {"x": title})


def test_bands_are_of_all_rows() -> None:
    title = "W4 4:16 x 64 + W4 x 32"
    with pytest.raises(ValueError, match=r"bands must be of 128 rows together, not of 96 \(W4"):
        bands_of(title, 128)


def test_the_head_has_none() -> None:
    with pytest.raises(ValueError, match=r"head must be one of W4, .*, not W4 x 32 [+] W3 x 32"):
        Precision(head="W4 x 32 + W3 x 32")
