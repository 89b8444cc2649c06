"""The base of every part of a design."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticKnownError


def _whole(value: Any) -> Any:
    # Literal compares by ==, so that true would pass for 1 and 2.0 for 2.
    if isinstance(value, (bool, float)):
        raise PydanticKnownError("int_type")
    return value


Whole = BeforeValidator(_whole)
"""Refuses true, false and 2.0 where a field takes one of a few whole numbers."""


class Record(BaseModel):
    """Frozen; refuses unknown keys and wrong types; its fields' docstrings reach the schema."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )
