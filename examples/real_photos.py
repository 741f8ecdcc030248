"""Copy the real photos that scikit-image carries (all in the public domain) into a folder, to be lifted.

python examples/real_photos.py FOLDER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import skimage

NAMES = ("coffee.png", "chelsea.png", "rocket.jpg")


def main(folder: str) -> None:
    """Copy every photo into the folder, made where it is missing."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        shutil.copyfile(Path(skimage.__file__).parent / "data" / name, target / name)


if __name__ == "__main__":
    main(sys.argv[1])
