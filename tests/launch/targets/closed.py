"""Google's own schemas, closed: what they do not name is an error.

They are read from the documents that Google's client carries.
"""

import functools
import importlib.resources
import json
from typing import Any

import jsonschema


def google_errors(document: str, name: str, each: Any) -> list[str]:
    """What a schema of Google's API says."""
    found = _of_google(document, name).iter_errors(each)
    return [f"{error.json_path}: {error.message}" for error in found]


@functools.cache
def _of_google(document: str, name: str) -> Any:
    import googleapiclient.discovery_cache as cache

    path = importlib.resources.files(cache) / "documents" / f"{document}.json"
    schemas = json.loads(path.read_text())["schemas"]
    definitions = {key: _converted(value) for key, value in schemas.items()}
    root = {"$ref": f"#/definitions/{name}", "definitions": definitions}
    return jsonschema.Draft7Validator(root)


def _converted(node: dict[str, Any]) -> dict[str, Any]:
    """A schema of a discovery document as a closed JSON schema."""
    if "$ref" in node:
        return {"$ref": f"#/definitions/{node['$ref']}"}
    kind = node.get("type")
    if kind in (None, "any"):
        return {}
    found: dict[str, Any] = {"type": kind}
    if node.get("format") in ("int64", "uint64"):
        found["type"] = ["string", "integer"]
    if "enum" in node:
        found["enum"] = node["enum"]
    if kind == "array":
        found["items"] = _converted(node["items"])
    if kind == "object":
        found["properties"] = {
            name: _converted(value) for name, value in node.get("properties", {}).items()
        }
        more = node.get("additionalProperties")
        found["additionalProperties"] = _converted(more) if more else False
    return found
