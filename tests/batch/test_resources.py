from __future__ import annotations

import pytest

from lift3d_ray.batch.resources import Share, check_fit, share_out, waiting_cpus
from lift3d_ray.errors import ClusterError, ConfigError

GIB = 1 << 30


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8, 16, 64])
@pytest.mark.parametrize("workers", [None, 1, 2, 5])
def test_what_is_shared_out_fits(cpus: int, workers: int | None) -> None:
    share = share_out({"CPU": cpus, "memory": 256 * GIB}, {}, workers)
    assert share.workers * share.cpus + waiting_cpus(share.perceivers) <= cpus + 1e-9
    assert share.cpus > 0
    assert share.cpus < 1 or share.cpus == int(share.cpus)
    assert share.threads >= 1
    if workers:
        assert share.workers == workers


def test_two_cores_get_two_optimizers_of_one_thread() -> None:
    assert share_out({"CPU": 2, "memory": 20 * GIB}, {}) == Share(workers=2, cpus=0.9, gpus=0, threads=1, at_once=2)


def test_little_memory_means_few_optimizers() -> None:
    assert share_out({"CPU": 8, "memory": 3 * GIB}, {}).workers == 3
    assert share_out({"CPU": 8, "memory": GIB // 2}, {}).workers == 1


def test_optimizers_are_pinned_to_whole_gpus_where_there_are_enough() -> None:
    share = share_out({"CPU": 32, "GPU": 8}, {"GPU": 1})
    assert (share.workers, share.gpus, share.threads) == (7, 1, 1)


def test_more_optimizers_than_gpus_share_them() -> None:
    share = share_out({"CPU": 32, "GPU": 3}, {"GPU": 1}, workers=4)
    assert (share.workers, share.gpus) == (4, 0.5)
    assert share_out({"CPU": 8, "GPU": 1}, {"GPU": 0.4}).gpus == pytest.approx(0.3)


def test_no_workers_is_wrong_use() -> None:
    with pytest.raises(ConfigError):
        share_out({"CPU": 2}, {}, 0)


def test_a_run_that_cannot_fit_is_refused_with_the_sums() -> None:
    models = {"CPU": 2.0, "GPU": 1.0}
    share = share_out({"CPU": 2, "GPU": 1}, models)
    with pytest.raises(ClusterError, match=r"CPU wanted \(models 2 .* 2 there"):
        check_fit({"CPU": 2, "GPU": 1}, models, share)
    with pytest.raises(ClusterError, match=r"2 GPU wanted .* 1 there"):
        check_fit({"CPU": 9, "GPU": 1}, models, Share(workers=1, cpus=1, gpus=1, threads=1))


def test_a_run_that_fits_is_not_refused() -> None:
    there = {"CPU": 4.0, "GPU": 2.0}
    check_fit(there, {"CPU": 1, "GPU": 1}, share_out(there, {"CPU": 1, "GPU": 1}))
