"""Structs that Python and C++ share lie alike, or nothing is built."""

import ctypes

import pytest

from alula.rtl.layouts import layouts_text
from alula.rtl.native import native_library
from alula.rtl.toolchain import ToolchainError

pytestmark = pytest.mark.smoke

STRUCT = "#include <cstdint>\nstruct Pair { uint32_t first; uint64_t second; };\n"


def pair(*fields: tuple[str, type]) -> type[ctypes.Structure]:
    return type("Pair", (ctypes.Structure,), {"_fields_": list(fields)})


def build(kind: type[ctypes.Structure]) -> None:
    native_library({"pair.cpp": STRUCT + layouts_text({"Pair": kind})})


def test_alike(cache) -> None:
    build(pair(("first", ctypes.c_uint32), ("second", ctypes.c_uint64)))


@pytest.mark.parametrize(
    "kind",
    [
        pair(("first", ctypes.c_uint32), ("second", ctypes.c_uint32)),
        pair(("second", ctypes.c_uint64), ("first", ctypes.c_uint32)),
        pair(("first", ctypes.c_uint32), ("third", ctypes.c_uint64)),
    ],
    ids=["size", "order", "name"],
)
def test_a_difference_is_refused(cache, kind: type[ctypes.Structure]) -> None:
    with pytest.raises(ToolchainError):
        build(kind)
