"""What is around the API: the Serve configuration, chores, names of fetched pictures, the field drawn on its way."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve.schema import ServeDeploySchema

from lift3d_ray.deployments.app import PERCEPTION, PRIOR, ReplicaArgs, ServeArgs, build_app
from lift3d_ray.deployments.chores import Chore, Chores
from lift3d_ray.deployments.dispatcher_service import DISPATCHER
from lift3d_ray.deployments.places import database_of
from lift3d_ray.deployments.service import INGRESS, SERVICE_APP, ServiceArgs, build_service
from lift3d_ray.deployments.settings import name_in
from lift3d_ray.errors import ConfigError
from lift3d_ray.field.occupancy import Occupancy
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.optimize.look import SIDE_PX, VIEWS, Sight, look, plain
from lift3d_ray.optimize.state import FitState, new_optimizer
from lift3d_ray.recipes import by_name
from lift3d_ray.types import Progress
from tests.house import ROOT


def built(builder: Any, words: dict[str, Any]) -> Any:
    """What ``serve run`` makes of a builder and its words."""
    return call_user_app_builder_with_args_if_necessary(builder, words)


def test_the_configuration_is_one_that_serve_reads() -> None:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "deployments/serve.yaml").read_text(encoding="utf-8"))
    schema = ServeDeploySchema.model_validate(loaded)
    (application,) = schema.applications
    assert application.name == SERVICE_APP
    module, _, name = application.import_path.partition(":")
    assert (module, name) == (build_service.__module__, build_service.__name__)
    args = ServiceArgs.model_validate(application.args)
    assert args.access == "keys"
    assert {deployment.name for deployment in application.deployments} == {INGRESS, DISPATCHER, PRIOR, PERCEPTION}


def test_arguments_are_refused_where_they_make_no_sense() -> None:
    with pytest.raises(ValidationError):
        ServiceArgs.model_validate({"acess": "keys"})
    with pytest.raises(ValidationError):
        ServiceArgs(access="nobody")  # type: ignore[arg-type]


def test_the_application_has_all_its_parts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lift3d_ray.batch.cluster.capacity", lambda: {"CPU": 4.0, "memory": 8e9})
    free = ReplicaArgs(num_cpus=0)
    models = ServeArgs(bundle="analytic", prior=free, perception=free)
    app = build_service(
        ServiceArgs(out=str(tmp_path / "s"), bundle="analytic", access="loopback", optimizers=2, models=models)
    )
    assert app._bound_deployment.name == INGRESS
    assert (tmp_path / "s").is_dir()


def test_serve_run_builds_it_from_words(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lift3d_ray.batch.cluster.capacity", lambda: {"CPU": 4.0, "memory": 8e9})
    words = {"out": str(tmp_path / "s"), "bundle": "analytic", "access": "loopback", "idle_s": "5"}
    app = built(build_service, words)
    settings = app._bound_deployment.init_args[0]
    assert (settings.local_only, settings.settings, settings.dispatch.idle_s) == (True, True, 5.0)
    keyed = built(build_service, {**words, "access": "keys"})
    assert keyed._bound_deployment.init_args[0].settings is False


def test_the_models_alone_are_built_from_words_too() -> None:
    app = built(build_app, {"bundle": "analytic", "max_batch_size": "4"})
    assert app._bound_deployment.name == PRIOR


def test_a_folder_elsewhere_needs_a_database_by_name(tmp_path: Any) -> None:
    assert database_of(str(tmp_path / "s"), "") == str(tmp_path / "s" / "jobs.db")
    assert database_of("s3://bucket/lifts", "postgresql://host/lifts") == "postgresql://host/lifts"


def test_a_chore_that_fails_is_done_again() -> None:
    done = threading.Semaphore(0)

    def work() -> None:
        done.release()
        raise ConfigError("today not")

    chores = Chores([Chore(name="dishes", every_s=0.01, work=work)])
    chores.start()
    for _ in range(3):
        assert done.acquire(timeout=10)
    chores.close()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://x.example/a/red%20duck.png?size=9", "red duck.png"),
        ("s3://bucket/pictures/duck.png", "duck.png"),
        ("https://x.example/", "picture"),
        ("data:image/png;base64,AAAA", "picture"),
        ("https://x.example/%00%0a", "picture"),
    ],
)
def test_a_fetched_picture_is_called_by_its_address(address: str, name: str) -> None:
    assert name_in(address) == name


def test_looking_at_a_field_draws_no_random_number() -> None:
    recipe = by_name("make-it-3d", "draft")
    axis = np.linspace(-1, 1, 16, dtype=np.float32)
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    field = VoxelField.from_volumes(0.5 - distance, np.zeros((16, 16, 16, 3), np.float32))
    generator = torch.Generator().manual_seed(1)
    full = Occupancy.full(device="cpu")
    state = FitState(
        field=field,
        optimizer=new_optimizer(field, recipe.optimize),
        occupancy=full,
        hull=full,
        generator=generator,
        step=60,
    )
    before = generator.get_state()
    seen = look(state, recipe)
    assert torch.equal(generator.get_state(), before)
    assert seen.dtype == np.uint8
    assert seen.shape == (SIDE_PX, VIEWS * SIDE_PX, 3)
    middle, corner = seen[SIDE_PX // 2, SIDE_PX // 2], seen[0, 0]
    assert corner.min() > 250
    assert middle.max() < 200


def test_a_report_travels_without_its_sight() -> None:
    sight = Sight(stage="optimize", step=3, steps=9, loss=0.5, look=lambda: np.zeros((1, 1, 3), np.uint8))
    assert plain(sight) == Progress(stage="optimize", step=3, steps=9, loss=0.5)
    assert type(plain(sight)) is Progress
