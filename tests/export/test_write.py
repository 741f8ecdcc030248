from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lift3d_ray.errors import ExportError
from lift3d_ray.export import write as writing
from lift3d_ray.export.embedded import CALLBACK, embedded_bytes
from lift3d_ray.export.files import replacing, write_bytes
from lift3d_ray.export.result import EditFacts
from lift3d_ray.export.write import (
    DEPTH,
    EMBEDDED_GLB,
    GLB,
    MASK,
    POINTS,
    PREVIEW,
    REFERENCE,
    RESULT,
    SUBJECT,
    TURNTABLE,
    write_asset,
)
from lift3d_ray.types import Candidate
from tests.export.assets import PROVENANCE, small_asset

ALL = {GLB, EMBEDDED_GLB, POINTS, TURNTABLE, PREVIEW, SUBJECT, MASK, DEPTH, RESULT}


def test_a_folder_holds_every_file_and_result_json_tells_of_them(tmp_path: Path) -> None:
    files = write_asset(small_asset(), tmp_path / "ball", PROVENANCE)
    assert {path.name for path in files.folder.iterdir()} == ALL == set(files.facts)
    assert list(files.facts)[-1] == RESULT
    result = json.loads((files.folder / RESULT).read_text(encoding="utf-8"))
    assert set(result["files"]) == ALL - {RESULT}
    for name, facts in result["files"].items():
        data = (files.folder / name).read_bytes()
        assert facts == {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert result["schema"] == 1
    assert (result["caption"], result["seed"], result["status"]) == ("a colourful ball", 3, "done")
    assert result["recipe"] == {"name": "make-it-3d", "digest": "cd" * 32}
    assert result["bundle"] == {"name": "toybox", "digest": "ef" * 32}
    assert result["dtype"] == "float16"
    assert result["photo"] == {"name": "ball.png", "digest": "ab" * 32, "height_px": 80, "width_px": 100}
    assert result["metrics"] == {"odd": None, "reference_iou": 0.93, "reference_psnr": 24.5}
    assert result["losses"] == {"rgb": 0.01}
    assert result["timings_s"] == {"optimize": 33.0}
    assert result["pose"]["elevation_deg"] == 20.0
    assert result["subject"]["crop"] == {"x0_px": 0.0, "y0_px": 0.0, "side_px": 64.0, "size_px": 64}
    assert {"lift3d-ray", "torch", "ray"} <= set(result["versions"])


def test_the_crop_that_was_lifted_is_kept_with_its_cut_out(tmp_path: Path) -> None:
    asset = small_asset()
    kept = np.asarray(Image.open(write_asset(asset, tmp_path, PROVENANCE).folder / SUBJECT))
    subject = asset.perception.subject
    np.testing.assert_array_equal(kept[..., :3], subject.rgb_HWC)
    np.testing.assert_allclose(kept[..., 3] / 255, subject.alpha_HW, atol=0.5 / 255)


def test_an_edit_is_told_and_a_lift_has_none(tmp_path: Path) -> None:
    edit = EditFacts(asset="duck", glb_sha256="12" * 32, caption="a duck", prompt="a golden duck")
    told = []
    for provenance in (PROVENANCE, replace(PROVENANCE, edit=edit)):
        files = write_asset(small_asset(), tmp_path, provenance)
        told.append(json.loads((files.folder / RESULT).read_text(encoding="utf-8"))["edit"])
    assert told[0] is None
    assert told[1] == {
        "asset": "duck",
        "glb_sha256": "12" * 32,
        "caption": "a duck",
        "prompt": "a golden duck",
        "picture_name": None,
        "picture_digest": None,
        "picture_framing": None,
    }


def test_the_same_asset_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = (write_asset(small_asset(), tmp_path / name, PROVENANCE) for name in ("one", "other"))
    assert one.facts == other.facts


def test_result_json_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ball"
    write_asset(small_asset(), folder, PROVENANCE)

    def full_disk(frames: object, path: Path) -> Path:
        raise ExportError(f"cannot write {path}")

    monkeypatch.setattr(writing, "write_turntable", full_disk)
    with pytest.raises(ExportError):
        write_asset(small_asset(seed=4), folder, PROVENANCE)
    # The old marker is gone with the first new file: a mixed folder never passes for done.
    assert not (folder / RESULT).exists()


def test_an_asset_unfit_for_export_leaves_no_marker(tmp_path: Path) -> None:
    asset = small_asset()
    broken = replace(asset, mesh=replace(asset.mesh, colors_N3=asset.mesh.colors_N3 * np.float32(np.nan)))
    with pytest.raises(ExportError, match="not finite"):
        write_asset(broken, tmp_path / "ball", PROVENANCE)
    assert list((tmp_path / "ball").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ExportError, match="cannot write into"):
        write_asset(small_asset(), tmp_path / "taken", PROVENANCE)


def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "x.bin", b"old")

    def half_written() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        half_written()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ExportError, match=r"cannot write .*x\.bin"):
        write_bytes(tmp_path / "nowhere" / "x.bin", b"")


def test_written_files_can_be_read_by_others(tmp_path: Path) -> None:
    assert write_bytes(tmp_path / "x.bin", b"").stat().st_mode & 0o777 == 0o644


def test_the_script_hands_over_the_very_glb() -> None:
    glb = bytes(range(256)) * 40
    script = embedded_bytes(glb).decode("ascii")
    found = re.fullmatch(rf'{CALLBACK}\(document\.currentScript,"([A-Za-z0-9+/=]+)"\);\n', script)
    assert found is not None
    assert gzip.decompress(base64.b64decode(found[1])) == glb
    assert embedded_bytes(glb) == embedded_bytes(glb)


def test_all_seeds_of_the_best_of_several_are_told(tmp_path: Path) -> None:
    tried = (Candidate(seed=1, fit_db=20.0, score=3.5, kept=True), Candidate(seed=2, error="it diverged"))
    files = write_asset(replace(small_asset(), candidates=tried), tmp_path / "ball", PROVENANCE)
    told = json.loads((files.folder / RESULT).read_text(encoding="utf-8"))["candidates"]
    assert [(row["seed"], row["score"], row["kept"], row["error"]) for row in told] == [
        (1, 3.5, True, ""),
        (2, None, False, "it diverged"),
    ]


def test_a_picture_that_was_drawn_is_kept_beside_its_asset(tmp_path: Path) -> None:
    asset = small_asset()
    drawing = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    files = write_asset(
        replace(asset, perception=replace(asset.perception, drawing_HWC=drawing)), tmp_path / "ball", PROVENANCE
    )
    assert set(files.facts) == ALL | {REFERENCE}
    np.testing.assert_array_equal(np.asarray(Image.open(files.folder / REFERENCE)), drawing)
