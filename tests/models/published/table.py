"""The table of the published models in ``docs/models.md``, printed by ``python -m tests.models.published.table``."""

from __future__ import annotations

from lift3d_ray.models.catalog import HubSource, ModelEntry, model_entries

HEAD = (
    "| model | fills | parameters | weights | layout | from | pinned by | licence |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)
BYTES_OF = {"float32": 4, "float16": 2}


def lines() -> list[str]:
    """The whole table, a line a model."""
    return [*HEAD, *(_line(entry) for entry in model_entries().values())]


def unpinned() -> list[str]:
    """The models that nothing pins."""
    return [name for name, entry in model_entries().items() if not entry.is_pinned]


def _line(entry: ModelEntry) -> str:
    cells = (
        f"`{entry.name}`",
        ", ".join(dict.fromkeys(entry.roles)),
        f"{entry.parameters / 1e6:,.1f} M",
        _weights(entry),
        entry.layout.value,
        _source(entry),
        _pin(entry),
        entry.licence,
    )
    return f"| {' | '.join(cells)} |"


def _weights(entry: ModelEntry) -> str:
    kinds = {".safetensors", ".bin", ".pth", ".pt"}
    sizes = [file.size_bytes for file in entry.files if any(map(file.path.endswith, kinds))]
    if None in sizes:
        return f"about {entry.parameters * BYTES_OF[entry.dtype] / 1e9:.2f} GB"
    return f"{sum(size for size in sizes if size is not None) / 1e9:.2f} GB"


def _source(entry: ModelEntry) -> str:
    source = entry.source
    if isinstance(source, HubSource):
        return f"[{source.repo}](https://huggingface.co/{source.repo})"
    return ", ".join(f"[{file.path}]({source.url}{file.path})" for file in entry.files)


def _pin(entry: ModelEntry) -> str:
    hashed = sum(file.sha256 is not None for file in entry.files)
    pins = []
    if isinstance(entry.source, HubSource) and entry.source.revision:
        pins.append(f"revision `{entry.source.revision[:7]}`")
    if hashed:
        pins.append(f"SHA-256 of {'its file' if len(entry.files) == 1 else f'{hashed} of {len(entry.files)} files'}")
    return ", ".join(pins) or "nothing"


if __name__ == "__main__":
    print("\n".join(lines()))
