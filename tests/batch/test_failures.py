from __future__ import annotations

import pytest

from lift3d_ray.batch.failures import Failure, attempt
from lift3d_ray.errors import NoSubject


def raiser(error: BaseException) -> int:
    raise error


def test_what_goes_well_passes_through() -> None:
    assert attempt(lambda: 3) == 3


def test_our_errors_keep_their_code_and_sentence() -> None:
    assert attempt(lambda: raiser(NoSubject("nothing there"))) == Failure(code="no-subject", message="nothing there")


def test_a_defect_names_its_place_and_a_digest_that_repeats() -> None:
    first, again, other = (attempt(lambda e=e: raiser(e)) for e in (KeyError("x"), KeyError("x"), IndexError("x")))  # type: ignore[misc]
    assert first == again
    assert isinstance(first, Failure)
    assert isinstance(other, Failure)
    assert first.code == "internal"
    assert "KeyError: 'x'" in first.message
    assert "test_failures.py:" in first.message
    assert first.message != other.message


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interruption_is_no_failure(error: BaseException) -> None:
    with pytest.raises(type(error)):
        attempt(lambda: raiser(error))
