"""The errors a user can meet, as one tree.

* Lift3DError
  + InputError             the picture or the input list cannot be used
    - UnreadablePhoto      not a picture, cut short, or the file cannot be opened
    - PhotoTooLarge        more pixels than the limit (a decompression bomb, or a mistake)
    - PhotoTooSmall        too few pixels to hold a subject
    - NoSubject            nothing in the picture could be cut out
    - FetchRefused         an address that is not fetched from or sent to: private, of another scheme, not configured
    - FetchFailed          an allowed address that gave nothing usable
  + ConfigError            a recipe, a bundle or an option that makes no sense
  + BundleError            model files missing, damaged or of another kind
  + PriorError             the noise predictor failed or answered with something unusable
  + OptimizationFailed     the field diverged or came out empty
  + ExportError            an asset could not be written
  + ClusterError           not enough resources, no cluster, or a lost actor
  + ServiceError           the service turns a request down
    - NotAllowed           no key, an unknown or a revoked one
    - NotHere              no such job, batch or file, or it is somebody else's
    - Clash                the request contradicts an earlier one, or what the job has come to
    - TooMuch              a queue, a quota or a rate is full; says when to come again
    - Closing              the service is shutting down and takes nothing new
    - DatabaseError        the database cannot be used

Every message says what was got, what was wanted and what to do. ``code`` is a stable, machine-readable name: it is
what the manifest records beside the sentence.
"""

from __future__ import annotations

from typing import ClassVar


class Lift3DError(Exception):
    """Base of every error that this package raises on purpose."""

    code: ClassVar[str] = "error"


class InputError(Lift3DError):
    """The picture, or the list of pictures, cannot be used as given."""

    code = "input"


class UnreadablePhoto(InputError):
    """The bytes are not a picture this package can decode, or the file cannot be opened."""

    code = "unreadable-photo"


class PhotoTooLarge(InputError):
    """The picture has more pixels than the limit."""

    code = "photo-too-large"


class PhotoTooSmall(InputError):
    """The picture has too few pixels to hold a subject."""

    code = "photo-too-small"


class NoSubject(InputError):
    """Nothing in the picture could be cut out as a subject."""

    code = "no-subject"


class ConfigError(Lift3DError, ValueError):
    """A recipe, bundle or option is outside what is allowed."""

    code = "config"


class BundleError(Lift3DError):
    """Model files are missing, damaged, or of another kind than their configuration says."""

    code = "bundle"


class PriorError(Lift3DError):
    """The noise predictor failed, or its answer is unusable (wrong shape, not finite)."""

    code = "prior"


class OptimizationFailed(Lift3DError):
    """The optimisation diverged, or left nothing solid to export."""

    code = "optimization-failed"


class ExportError(Lift3DError):
    """An asset could not be written."""

    code = "export"


class ClusterError(Lift3DError):
    """The cluster lacks the resources asked for, cannot be reached, or lost a worker for good."""

    code = "cluster"


class FetchRefused(InputError):
    """An address that the service does not fetch from or send to."""

    code = "address-refused"


class FetchFailed(InputError):
    """An allowed address gave nothing usable: no answer, too much, too slow, an error."""

    code = "fetch-failed"


class ServiceError(Lift3DError):
    """The service turns a request down."""

    code = "service"


class NotAllowed(ServiceError):
    """No API key, an unknown or a revoked one."""

    code = "not-allowed"


class NotHere(ServiceError):
    """No such job, batch or file, or it is another key's, which is told in the same words."""

    code = "not-found"


class Clash(ServiceError):
    """The request contradicts an earlier one with the same idempotency key, or what the job has come to."""

    code = "conflict"


class TooMuch(ServiceError):
    """The queue, a quota or a rate is full.

    Attributes:
        retry_after_s: seconds after which the same request may succeed.
    """

    code = "too-much"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles with its seconds, which crosses processes."""
        return _too_much, (str(self), self.retry_after_s)


def _too_much(message: str, retry_after_s: float) -> TooMuch:
    return TooMuch(message, retry_after_s=retry_after_s)


class Closing(ServiceError):
    """The service is shutting down and takes nothing new."""

    code = "closing"


class DatabaseError(ServiceError):
    """The database cannot be reached, or holds another version's tables."""

    code = "database"
