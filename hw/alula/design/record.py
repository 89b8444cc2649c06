"""The base of design files, of every other YAML file and of their parts."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import PydanticKnownError

from alula.design.problem import design_error


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

    removed: ClassVar[Mapping[str, str]] = {}
    """By name of a field that earlier versions had, what must be done with it."""

    @classmethod
    def from_mapping(cls, values: Any, source: str = "design") -> Self:
        """Return the record that `values` describe.

        Raises:
            DesignError: the values are not valid; `source` names them in its text.
        """
        try:
            record = cls.model_validate(values)
        except ValidationError as error:
            raise design_error(cls, error, source) from None
        record.check_whole(source)
        return record

    def check_whole(self, source: str) -> None:
        """Check what no single field shows.

        Raises:
            DesignError: fields contradict each other; `source` names the record in its text.
        """

    @classmethod
    def schema_text(cls) -> str:
        """Return the text of the file with its JSON schema, for editors."""
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        return json.dumps(schema | cls.model_json_schema(), indent=2) + "\n"
