"""Python values to the bits of an Amaranth shape, and back.

A struct is a dict by field, an array a list, a union a dict of one field, a layout whose fields may
share bits a dict of any that do not, everything else an int.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Shape, ShapeLike
from amaranth.lib import data


def pack(shape: ShapeLike, value: Any) -> int:
    """Return a value's bits as an unsigned number.

    Raises:
        ValueError: a number does not fit its field, or a field is missing, unknown or where another
            one is.
    """
    layout = _layout(shape)
    if layout is None:
        return _pack_number(Shape.cast(shape), value)
    fields = _fields(layout)
    if isinstance(layout, data.ArrayLayout):
        if not isinstance(value, Sequence) or len(value) != layout.length:
            raise ValueError(f"an array must be {layout.length} values, not {value!r}")
        items: list[tuple[Any, Any]] = list(enumerate(value))
    else:
        if not isinstance(value, Mapping):
            raise ValueError(f"a struct must be a dict of its fields, not {value!r}")
        some = isinstance(layout, data.UnionLayout | data.FlexibleLayout)
        if set(value) - set(fields) if some else set(value) != set(fields):
            raise ValueError(f"fields must be {sorted(fields)}, not {sorted(value)}")
        _check_apart({name: fields[name] for name in value})
        items = list(value.items())
    bits = 0
    for key, item in items:
        bits |= pack(fields[key].shape, item) << fields[key].offset
    return bits


def unpack(shape: ShapeLike, bits: int) -> Any:
    """Return the value that bits mean in a shape."""
    layout = _layout(shape)
    if layout is None:
        plain = Shape.cast(shape)
        bits &= (1 << plain.width) - 1
        return bits - (1 << plain.width) if plain.signed and bits >> (plain.width - 1) else bits
    values = {
        key: unpack(field.shape, bits >> field.offset) for key, field in _fields(layout).items()
    }
    return list(values.values()) if isinstance(layout, data.ArrayLayout) else values


def _check_apart(fields: Mapping[str, data.Field]) -> None:
    """Refuse fields that share bits."""
    end, before = 0, ""
    for name, field in sorted(fields.items(), key=lambda item: item[1].offset):
        if field.offset < end:
            raise ValueError(f"fields must not share bits, as {before} and {name} do")
        end, before = field.offset + field.width, name


def _fields(layout: data.Layout) -> dict[Any, data.Field]:
    pairs: Any = layout
    return dict(pairs)


def _pack_number(shape: Shape, value: Any) -> int:
    number = int(getattr(value, "value", value))
    low = -(1 << (shape.width - 1)) if shape.signed and shape.width else 0
    if not low <= number < low + (1 << shape.width):
        raise ValueError(
            f"a value of {shape!r} must be {low} to {low + (1 << shape.width) - 1}, not {number}"
        )
    return number & ((1 << shape.width) - 1)


def _layout(shape: ShapeLike) -> data.Layout | None:
    if isinstance(shape, Shape | int | range):
        return None
    try:
        return data.Layout.cast(shape)
    except TypeError:
        return None
