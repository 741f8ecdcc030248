"""Published models at full size, with random weights, from disk, on the CPU: outside the rings, by hand.

    python -m tests.models.published.full_size [NAME ...] [--keep DIR]

One after another: a process writes the model in its publisher's layout, a fresh one opens it as a user's would be
opened and runs it once, and tells the seconds and the most memory that it held. The largest, ``sd15``, needs 5 GB of
disk and 8 GB of memory.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lift3d_ray.models import bundle as bundles
from lift3d_ray.models.bundle import Bundle
from lift3d_ray.models.catalog import model_entry
from lift3d_ray.types import NoiseQuery, SegmentQuery
from tests.models.published.copies import official_config, write_entry

GIB = 2**30
LARGEST_GIB = 24.0


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)


def segment(segmenter: Any) -> str:
    """A click on a picture of 640 x 480."""
    masks = segmenter.segment(SegmentQuery(rgb_HWC=picture(), points_xy_px=((320.0, 240.0),), labels=(True,)))
    assert all(mask.mask_HW.shape == (480, 640) for mask in masks)
    return f"{len(masks)} masks for a click"


def caption(captioner: Any) -> str:
    """Words, 30 tokens by three beams."""
    words = captioner.caption(picture())
    assert words
    return f"a caption of {len(words.split())} words"


def estimate(depth: Any) -> str:
    """Inverse depth, of the picture and its mirror image."""
    disparity = depth.estimate_disparity(picture())
    assert disparity.shape == (480, 640)
    assert np.isfinite(disparity).all()
    return "an inverse depth of 640 x 480"


def predict(prior: Any) -> str:
    """One guided noise prediction, which is two passes of one latent picture."""
    noise = np.random.default_rng(0).standard_normal((1, 4, 64, 64)).astype(np.float32)
    answer = prior.predict_noise(
        NoiseQuery(
            noisy_latents_BCHW=noise,
            timesteps_B=np.array([500]),
            guidance_scale=11.0,
            prompts=("a red house",),
            negative_prompts=("",),
        )
    )
    assert answer.noise_BCHW.shape == noise.shape
    assert np.isfinite(answer.noise_BCHW).all()
    return "one guided noise prediction, 512 x 512"


RUNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "sam-vit-b": ("segmenter", segment),
    "blip-base": ("captioner", caption),
    "dpt-hybrid": ("depth", estimate),
    "sd15": ("prior", predict),
}


def write(name: str, folder: Path) -> None:
    write_entry(folder, model_entry(name), config_of=official_config)


def run(name: str, folder: Path) -> None:
    role, ask = RUNS[name]
    parts = tuple((part.role, folder / part.folder) for part in model_entry(name).parts)
    bundle = Bundle(name=name, folder=folder, image_size=512, latent_pack=1, roles=parts)
    started = time.perf_counter()
    model = getattr(bundles, f"load_{role}")(bundle)
    loaded = time.perf_counter()
    said = ask(model)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    on_disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / GIB
    print(
        f"{name}: {on_disk:.2f} GiB on disk, opened in {loaded - started:.1f} s, {said} in {done - loaded:.1f} s "
        f"({time.process_time():.0f} s of the processor in all), at most {peak:.1f} GiB held"
    )
    assert peak < LARGEST_GIB, f"{name} held {peak:.1f} GiB, wanted less than {LARGEST_GIB}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RUNS)}; default: all")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to write, and leave, the models")
    parser.add_argument("--only", choices=("write", "run"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    home = asked.keep or Path(tempfile.mkdtemp(prefix="full-size-"))
    for name in asked.names or RUNS:
        folder = home / name
        if asked.only:
            (write if asked.only == "write" else run)(name, folder)
            continue
        for step in ("write", "run"):
            command = [sys.executable, "-m", "tests.models.published.full_size", name, "--keep", str(home)]
            subprocess.run([*command, "--only", step], check=True)
        if asked.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
