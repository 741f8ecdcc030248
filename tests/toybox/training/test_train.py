"""The whole bundle's training: stages by name, and a card that says what was measured."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from lift3d_ray.errors import ConfigError
from lift3d_ray.toybox.training import train
from lift3d_ray.toybox.training.card import write_card
from lift3d_ray.toybox.training.export import ROLES
from lift3d_ray.toybox.training.train import ON_REQUEST, STAGES, run


def test_an_unknown_role_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown role painter"):
        run(["painter"], work=tmp_path / "work", bundle=tmp_path / "bundle")


def test_every_trained_role_has_a_stage() -> None:
    made_beside_others = {"text_encoder", "tokenizer", "scheduler"}
    assert set(ROLES) - made_beside_others <= set(STAGES)


def test_stages_on_request_run_only_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    stages = {name: partial(lambda shop, name: ran.append(name), name=name) for name in STAGES}
    monkeypatch.setattr(train, "STAGES", stages)
    (tmp_path / "bundle").mkdir()
    run([], work=tmp_path / "work", bundle=tmp_path / "bundle", tell=print)
    assert ran == [name for name in STAGES if name not in ON_REQUEST]
    run(["vae_on"], work=tmp_path / "work", bundle=tmp_path / "bundle", tell=print)
    assert ran[-1] == "vae_on"


def test_the_card_quotes_what_training_recorded(tmp_path: Path) -> None:
    (tmp_path / "depth").mkdir()
    (tmp_path / "depth" / "training.json").write_text(json.dumps({"pearson_scenes": 0.9712, "steps": 600}))
    text = write_card(tmp_path).read_text()
    assert "pearson_scenes 0.9712, steps 600" in text
    assert "segmenter" not in text.split("| role |")[1]
