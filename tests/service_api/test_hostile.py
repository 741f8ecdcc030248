from __future__ import annotations

import pytest

from tests.service_api.hostile import CASES, RECORD, Case, results, table


@pytest.fixture(scope="module")
def got() -> dict[str, tuple[Case, int, str, str]]:
    """What every case got, by what it is."""
    return {result[0].what: result for result in results()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_a_hostile_request_is_refused_in_words(case: Case, got: dict[str, tuple[Case, int, str, str]]) -> None:
    _, status, code, message = got[case.what]
    assert (status, code) == (case.status, case.code), message
    assert message


def test_there_are_many_and_no_two_are_the_same() -> None:
    assert len(CASES) >= 60
    assert len({case.what for case in CASES}) == len(CASES)


def test_the_table_in_the_documentation_is_what_they_get(got: dict[str, tuple[Case, int, str, str]]) -> None:
    assert table(list(got.values())) == RECORD.read_text(encoding="utf-8"), "python -m tests.service_api.hostile"
