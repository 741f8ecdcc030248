"""Draw the example pictures again: toys that training never saw, some over white, some in front of clutter.

python examples/make.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.toybox import Split, render, sample_object
from lift3d_ray.toybox.scenes import scene

HERE = Path(__file__).parent

PLAIN = {"car": 31, "duck": 33, "house": 34, "penguin": 36, "rocket": 38}
"""Class and seed of the pictures over white."""

CLUTTERED = (5, 23)
"""Seeds of the pictures in front of a background."""


def main() -> None:
    """Write every picture beside this file."""
    for name, seed in PLAIN.items():
        toy = sample_object(seed, split=Split.HELD_OUT, class_name=name)
        rgb = render(toy, orbit_c2w(35.0, 18.0), size=320).rgb[0]
        Image.fromarray(np.asarray(np.round(rgb * 255), dtype=np.uint8)).save(HERE / f"{name}.png")
    for seed in CLUTTERED:
        picture = scene(seed, size=320, split=Split.HELD_OUT)
        Image.fromarray(picture.rgb).save(HERE / f"scene-{seed}-{picture.obj.attributes.class_name}.png")


if __name__ == "__main__":
    main()
