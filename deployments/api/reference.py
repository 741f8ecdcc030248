"""``/docs``: the reference, written from the OpenAPI schema. One page without scripts, which works offline."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h2{margin-top:2.5rem;font-size:1.05rem;border-top:1px solid #ddd;padding-top:1rem}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f4f4f6;border-radius:4px;padding:.1em .3em}
pre{padding:.8em;overflow:auto}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;
padding:.25em .6em .25em 0;border-bottom:1px solid #eee}summary{cursor:pointer}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#17181b}code,pre{background:#26272b}h2{border-color:#333}
td,th{border-color:#2b2c30}a{color:#8ab4ff}}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Content security policy of the page: its own style and nothing else."""


def reference_page(schema: dict[str, Any]) -> str:
    """The page.

    Args:
        schema: of OpenAPI 3.
    """
    info = schema["info"]
    body = "\n".join(_operations(schema))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        "<p>For programs: <a href=/openapi.json>openapi.json</a>.</p>"
        f"{body}</html>"
    )


def _operations(schema: dict[str, Any]) -> Iterator[str]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
            yield from _parameters(operation.get("parameters", []))
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                yield _folded(f"Body as {kind}", content["schema"])
            answers = {status: answer["description"] for status, answer in operation["responses"].items()}
            yield _folded("Answers", answers)


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    rows = "".join(
        f"<tr><td><code>{escape(item['name'])}</code><td>{escape(item['in'])}"
        f"<td>{escape(item.get('description') or item.get('schema', {}).get('description', ''))}"
        for item in parameters
    )
    yield f"<table>{rows}</table>"


def _folded(title: str, content: object) -> str:
    text = escape(json.dumps(content, indent=1, ensure_ascii=False))
    return f"<details><summary>{escape(title)}</summary><pre>{text}</pre></details>"
