"""The JSON schema of design files, for editors."""

import json

from alula.design.design import Design


def schema_text() -> str:
    """Return the text of designs/design.schema.json."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= Design.model_json_schema()
    return json.dumps(schema, indent=2) + "\n"
