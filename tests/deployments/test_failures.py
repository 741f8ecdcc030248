from __future__ import annotations

from typing import Any, cast

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError

from lift3d_ray.deployments import failures
from lift3d_ray.errors import ClusterError, PriorError


class Answers:
    """A deployment that gives these answers in turn; exceptions are raised."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked = 0

    def send(self) -> Any:
        return self

    def result(self, *, timeout_s: float) -> object:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("lift3d_ray.deployments.failures.time.sleep", slept.append)
    return slept


def ask(answers: Answers) -> object:
    return failures.ask(cast(Any, answers.send), timeout_s=1, what="NoisePredictor.predict_noise")


def wrapped(error: Exception) -> RayTaskError:
    return cast(RayTaskError, RayTaskError("predict_noise", "Traceback ...", error).as_instanceof_cause())


def test_an_answer_is_an_answer() -> None:
    assert ask(Answers(7)) == 7


@pytest.mark.parametrize("error", [ValueError("got shape (1,)"), PriorError("not finite"), KeyError("x")])
def test_what_the_model_raised_arrives_as_it_was_raised(error: Exception) -> None:
    answers = Answers(wrapped(error))
    with pytest.raises(type(error)) as caught:
        ask(answers)
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert answers.asked == 1


@pytest.mark.parametrize(
    "error",
    [
        ActorDiedError(),
        ActorUnavailableError("gone", None),
        BackPressureError(3, 2),
        wrapped(BackPressureError(3, 2)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_replica_is_asked_again(error: Exception, pauses: list[float]) -> None:
    answers = Answers(error, error, 7)
    assert ask(answers) == 7
    assert answers.asked == 3
    assert pauses == list(failures.PAUSES_S[:2])


def test_a_replica_that_stays_lost_is_a_cluster_error(pauses: list[float]) -> None:
    answers = Answers(ActorDiedError())
    with pytest.raises(ClusterError, match=r"NoisePredictor.predict_noise: no replica answered in 9 attempts"):
        ask(answers)
    assert sum(pauses) > 45


def test_silence_is_a_cluster_error() -> None:
    answers = Answers(TimeoutError())
    with pytest.raises(ClusterError, match="no answer within 1 s"):
        ask(answers)
    assert answers.asked == 1
