"""``lift3d-ray models``: which weights there are, what they are for, and how they were made."""

from __future__ import annotations

from typing import Annotated

import typer

from lift3d_ray.errors import BundleError

CARD = "README.md"

app = typer.Typer(help="The model bundles: list them, read their card, train the embedded one.", no_args_is_help=True)

BundleName = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="An embedded bundle, or a folder with a bundle.json.")
]


@app.command("list")
def list_bundles() -> None:
    """List the embedded bundles with their roles and sizes."""
    from lift3d_ray.models.bundle import BUNDLES_FOLDER, load_bundle

    for facts in sorted(BUNDLES_FOLDER.glob("*/bundle.json")):
        bundle = load_bundle(facts.parent.name)
        sizes = {role: sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) for role, folder in bundle.roles}
        print(f"{bundle.name}  {sum(sizes.values()) / 1e6:.1f} MB  digest {bundle.digest}  {bundle.folder}")
        for role, size_bytes in sizes.items():
            print(f"  {role:14s} {size_bytes / 1e6:6.2f} MB")


@app.command("card")
def card(bundle: BundleName = "toybox") -> None:
    """Print a bundle's model card: data, training, held-out figures, what it is for and not for."""
    from lift3d_ray.models.bundle import load_bundle

    path = load_bundle(bundle).folder / CARD
    try:
        print(path.read_text(encoding="utf-8"), end="")
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): the bundle has no model card") from error
