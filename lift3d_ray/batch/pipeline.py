"""The stream: units -> bytes -> perceptions -> optimizer actors, one scene at a time -> ended rows."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset

from lift3d_ray.batch.link import BoardLink
from lift3d_ray.batch.optimizer_actor import OptimizeScenes
from lift3d_ray.batch.resources import PERCEIVER_CPUS, READER_CPUS, Share
from lift3d_ray.batch.route import Route, RunContext
from lift3d_ray.batch.stages import PerceivePictures, read_pictures
from lift3d_ray.batch.units import InputUnit

_MOST_BLOCKS = 256


def build_pipeline(
    units: Mapping[int, InputUnit], context: RunContext, route: Route, board: BoardLink, share: Share
) -> Dataset:
    """The pipeline of one pass; nothing runs until it is iterated.

    Args:
        units: what to read, by number.
        context: the run.
        route: the functions that the stages call.
        board: the run's board.
        share: what the optimizer actors get.

    Returns:
        A dataset of ended rows in ``stages.ROW_SCHEMA``, as many as the units hold. Iterate it in ``data_settings``.
    """
    items = [{"unit": number, "spec": pickle.dumps(unit)} for number, unit in units.items()]
    pictures = ray.data.from_items(items, override_num_blocks=min(len(items), _MOST_BLOCKS)).map_batches(
        partial(read_pictures, context=context, board=board),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=READER_CPUS,
    )
    perceived = pictures.map_batches(
        PerceivePictures,
        fn_constructor_kwargs={"context": context, "route": route, "board": board},
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=PERCEIVER_CPUS,
        compute=ActorPoolStrategy(size=share.perceivers),
    )
    return perceived.map_batches(
        OptimizeScenes,
        fn_constructor_kwargs={"context": context, "route": route, "board": board, "share": share},
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=share.cpus,
        num_gpus=share.gpus or None,
        compute=ActorPoolStrategy(min_size=share.at_once, max_size=share.workers, max_tasks_in_flight_per_actor=1),
    )


@contextmanager
def data_settings() -> Iterator[None]:
    """Ray Data as a run wants it: one row per block, no progress bars, and no guard that takes a long scene for a hang.

    Blocks are cut by size, and every row is larger than one byte. A repartition would do the same in tasks of its own,
    which ask for a whole CPU each, and on a small machine wait for ever for the optimizers to leave one.
    """
    context = DataContext.get_current()
    wanted = {
        "target_max_block_size": 1,
        "execution_no_progress_timeout_s": -1,
        "enable_progress_bars": False,
        "print_on_execution_start": False,
    }
    before = {name: getattr(context, name) for name in wanted}
    for name, value in wanted.items():
        setattr(context, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
