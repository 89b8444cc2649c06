"""C++ that a compiler refuses where a struct does not lie as Python takes it to lie."""

import ctypes
from collections.abc import Mapping

Structures = Mapping[str, type[ctypes.Structure]]
"""ctypes' structures by the C++ name of the same struct, whose fields have the same names."""


def layouts_text(structures: Structures) -> str:
    """Return assertions on the size of each struct and the offset of each of its fields."""
    lines = ["// Each struct as ctypes has it.", "#include <cstddef>"]
    for name, kind in structures.items():
        lines.append(f'static_assert(sizeof({name}) == {ctypes.sizeof(kind)}, "{name}");')
        lines += [
            f'static_assert(offsetof({name}, {field}) == {getattr(kind, field).offset}, "{field}");'
            for field, *_ in kind._fields_
        ]
    return "\n".join(lines) + "\n"
