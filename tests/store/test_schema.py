from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lift3d_ray.errors import InputError
from lift3d_ray.store.schema import MANIFEST_SCHEMA, Outcome, input_codes, outcome_from_json, to_table


def test_an_outcome_survives_json(done: Outcome, failed: Outcome) -> None:
    assert outcome_from_json(failed.to_json()) == failed
    again = outcome_from_json(done.to_json())
    assert again is not None
    assert math.isnan(again.metrics["prior_batch"])
    assert replace(again, metrics={}) == replace(done, metrics={})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"done"', '{"key": "a"}', '{"status": "done"}'])
def test_what_was_never_written_whole_counts_as_not_written(text: str) -> None:
    assert outcome_from_json(text) is None


def test_fields_of_a_newer_version_are_left_alone(failed: Outcome) -> None:
    text = failed.to_json().replace("{", '{"invented_later": 1, ', 1)
    assert outcome_from_json(text) == failed


def test_a_done_row_names_its_folder_and_a_failed_one_its_reason(done: Outcome, failed: Outcome) -> None:
    with pytest.raises(ValueError, match="names no folder"):
        replace(done, folder="")
    with pytest.raises(ValueError, match="names no error code"):
        replace(failed, error_code="")


def test_only_what_lies_in_the_picture_is_final(done: Outcome, failed: Outcome) -> None:
    assert done.is_final
    assert {"no-subject", "unreadable-photo", "photo-too-large", "photo-too-small", "input"} <= input_codes()
    assert InputError.code in input_codes()
    for code in input_codes():
        assert replace(failed, error_code=code).is_final
    for code in ("cluster", "internal", "prior", "optimization-failed", "export"):
        assert not replace(failed, error_code=code).is_final


def test_what_a_run_tries_again(done: Outcome, failed: Outcome) -> None:
    broken = replace(failed, error_code="cluster")
    assert not done.is_open(run="two", retry_failed=True)
    assert not failed.is_open(run="two", retry_failed=False)
    assert failed.is_open(run="two", retry_failed=True)
    assert broken.is_open(run="two", retry_failed=False)
    assert not broken.is_open(run="one", retry_failed=True)


def test_the_manifest_table_has_the_schema_and_the_figures(done: Outcome, failed: Outcome) -> None:
    table = to_table([done, failed])
    assert table.schema.equals(MANIFEST_SCHEMA, check_metadata=True)
    rows = table.to_pylist()
    assert rows[0]["reference_psnr"] == 21.5
    assert dict(rows[0]["stage_seconds"]) == {"optimize": 2.0}
    assert rows[0]["created_at"].isoformat() == done.created_at
    assert rows[0]["error_code"] is None
    assert rows[1]["folder"] is None
    assert rows[1]["reference_psnr"] is None
    assert rows[1]["error_message"] == "nothing"


def test_an_empty_manifest_is_a_table_too() -> None:
    assert to_table([]).schema.equals(MANIFEST_SCHEMA)
