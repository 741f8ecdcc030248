"""A GLB as a script, for pages opened straight from disk.

A page under ``file://`` may not fetch the file beside it, but it may load a script from there. So each asset also
comes as a script that hands the gallery its GLB, packed with gzip and base64 (about the size of the GLB itself).
"""

from __future__ import annotations

import base64
import gzip

CALLBACK = "lift3dRayModel"
"""The page's function that takes the script's element and the packed GLB."""


def embedded_bytes(glb: bytes) -> bytes:
    """The script for one GLB."""
    packed = base64.b64encode(gzip.compress(glb, compresslevel=6, mtime=0)).decode("ascii")
    return f'{CALLBACK}(document.currentScript,"{packed}");\n'.encode("ascii")
