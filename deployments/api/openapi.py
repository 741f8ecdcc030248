"""What the schema says beyond what FastAPI finds out: bodies that may come in two ways, and the one shape of errors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from lift3d_ray.deployments.api.documents import FaultDocument
from lift3d_ray.deployments.api.intake import PICTURE

_FAULTS = {
    400: "not understood",
    401: "no API key, or one that is not valid",
    403: "not from here",
    404: "not there, or somebody else's",
    405: "not done this way",
    408: "the body took too long",
    409: "contradicts an earlier request",
    413: "too large",
    415: "neither form nor JSON",
    422: "understood, and no good",
    429: "too much at once; Retry-After says when to come again",
    503: "cannot do it now; Retry-After says when to come again",
}
FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": FaultDocument, "description": words} for status, words in _FAULTS.items()
}
"""Of every route."""


def takes(kind: type[BaseModel], *, form: type[BaseModel] | None = None, file: str = PICTURE) -> dict[str, Any]:
    """The request body of a route that reads it by itself: JSON, or a form with a file.

    Args:
        kind: what the body says.
        form: what a form says beside the file, where that is something else.
        file: name of the form's field that holds the file.
    """
    schema = inlined(kind)
    beside = schema if form is None else inlined(form)
    fields = {name: item for name, item in beside["properties"].items() if not name.startswith("picture_")}
    whole = {
        "type": "object",
        "additionalProperties": False,
        "required": [file],
        "properties": {file: {"type": "string", "format": "binary"}, **fields},
    }
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": whole}}
    return {"requestBody": {"required": True, "content": content}}


def inlined(kind: type[BaseModel]) -> dict[str, Any]:
    """A model's schema without references: what stands in a request body by hand cannot point to the components."""
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            return [resolve(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            named = definitions[part["$ref"].rsplit("/", 1)[-1]]
            return resolve({**named, **{key: value for key, value in part.items() if key != "$ref"}})
        return {key: resolve(value) for key, value in part.items()}

    resolved = resolve(schema)
    assert isinstance(resolved, dict)
    return resolved
