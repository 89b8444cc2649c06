"""From pydantic's list of errors to the one line a person needs first."""

from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from alula.design.error import DesignError, listed, shown
from alula.printable import printable

# pydantic's error type to what the value must be; braces are filled from the error's context.
EXPECTED = {
    "missing": "given",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of at most 64 bits",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_unicode": "text that can be encoded",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "model_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "at least {min_length} long",
    "too_long": "at most {max_length} long",
    "invalid_key": "text as key",
    "impossible": "{expected}",
}
WRONG_KEY = ("extra_forbidden", "invalid_key")


def design_error(root: type[BaseModel], error: ValidationError, source: str) -> DesignError:
    """Return the error to report: an unknown key first, as it explains what else is missing."""
    found = error.errors(include_url=False)
    first = next((one for one in found if one["type"] in WRONG_KEY), found[0])
    context = first.get("ctx", {})
    path = [str(step) for step in first["loc"]]
    kind = first["type"]
    if kind == "impossible":
        path.append(context["key"])
        actual = context["actual"]
    elif kind == "missing":
        actual = "missing"
    elif kind == "extra_forbidden" and not _removed(root, first):
        actual = shown(path[-1])
    else:
        actual = shown(first["input"])
    place = f"{source}: {'.'.join(path)}" if path else source
    return DesignError(_expected(root, first, context), actual, place)


def _expected(root: type[BaseModel], error: ErrorDetails, context: dict[str, Any]) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        keys = listed(list(_model_at(root, error["loc"][:-1]).model_fields))
        return _removed(root, error) or f"one of the keys {keys}"
    if kind == "literal_error":
        return context["expected"].replace("'", "")
    if kind not in EXPECTED:
        return f"valid ({printable(error['msg'])})"
    return EXPECTED[kind].format(**context)


def _removed(root: type[BaseModel], error: ErrorDetails) -> str:
    """What must be done with a key that earlier versions had; "" for any other key."""
    *path, key = error["loc"]
    return getattr(_model_at(root, tuple(path)), "removed", {}).get(key, "")


def _model_at(root: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    found: Any = root
    for step in path:
        fields = getattr(found, "model_fields", None)
        items = [one for one in get_args(found) if one is not ...]
        found = _inner(fields[str(step)].annotation if fields else items[-1])
    assert isinstance(found, type)
    return found


def _inner(annotation: Any) -> Any:
    """Return an annotation without None and without what only restricts it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, UnionType):
            annotation = next(one for one in get_args(annotation) if one is not NoneType)
        else:
            return annotation
