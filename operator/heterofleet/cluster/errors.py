"""The errors of the edge to Kubernetes.

ClusterError                 the API server's sentence, its HTTP status and its reason
├── NotLeader                a write was asked for while the lease is not ours: nothing was sent
├── Invalid                  400, 422: the object is refused; only another spec mends it
├── Forbidden                401, 403: a right is missing
├── NotFound                 404: the object, its namespace or its whole kind does not exist
├── Conflict                 409: a precondition (uid, resourceVersion) no longer holds
│   └── AlreadyExists        409: created by somebody else in between
├── Gone                     410: the resourceVersion is too old, list again
├── Throttled                429: the server asks to wait `retry_after_seconds`
└── Unavailable              5xx, timeout, broken connection: the outcome of a write is unknown
"""

from typing import Final


class ClusterError(Exception):
    """What the API server said; `status` is 0 where no answer came."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason or type(self).__name__


class NotLeader(ClusterError):
    pass


class Invalid(ClusterError):
    pass


class Forbidden(ClusterError):
    pass


class NotFound(ClusterError):
    pass


class Conflict(ClusterError):
    pass


class AlreadyExists(Conflict):
    pass


class Gone(ClusterError):
    pass


class Throttled(ClusterError):
    def __init__(self, message: str, *, status: int, reason: str, retry_after_seconds: float) -> None:
        super().__init__(message, status=status, reason=reason)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ClusterError):
    pass


_BY_STATUS: Final[dict[int, type[ClusterError]]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    409: Conflict,
    410: Gone,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}


def from_answer(status: int, message: str, reason: str, retry_after_seconds: float) -> ClusterError:
    """Gives the error for an answer that is not a success."""
    if status == 429:
        return Throttled(message, status=status, reason=reason, retry_after_seconds=retry_after_seconds)
    if status >= 500:
        return Unavailable(message, status=status, reason=reason)
    if reason == "AlreadyExists":
        return AlreadyExists(message, status=status, reason=reason)
    return _BY_STATUS.get(status, ClusterError)(message, status=status, reason=reason)
