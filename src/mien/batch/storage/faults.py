"""Faults of object stores: which of them pass, how long that is waited for, and what is said of the others.

The libraries below repeat a failed request a few times within seconds. A store that throttles a thousand machines
needs longer, so what they give up is tried again here, with full jitter (Brooker, "Exponential Backoff And Jitter",
AWS Architecture Blog, 2015), and an end.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from mien.errors import MienError, StoreError

PATIENCE = 180.0
"""Seconds after which a request that failed all along is given up."""
_FIRST, _LONGEST = 0.25, 20.0
"""Seconds: bounds of the waits, the longest of which doubles each time."""

_PERMANENT = {
    errno.EINVAL, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENAMETOOLONG, errno.ENOSPC, errno.EROFS,
    errno.EISDIR, errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.EMSGSIZE,
}  # fmt: skip
_ANSWERS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoAuthTokenError",
                   "CredentialRetrievalError", "TokenRetrievalError", "DefaultCredentialsError", "RefreshError",
                   "ClientAuthenticationError")  # fmt: skip
"""Of botocore, google-auth and azure-core; by name, since none of them need be installed."""
_CLIENTS = {
    "botocore",
    "aiobotocore",
    "aiohttp",
    "requests",
    "urllib3",
    "http",
    "ssl",
    "google",
    "gcsfs",
    "azure",
}
"""Packages whose other errors, where they are no OSError, are those of a connection."""
# In answers without a body, as to HEAD, there is the status alone.
_REFUSED = ("expired", "credential", "forbidden", "signature", "access key")

_Result = TypeVar("_Result")
_Item = TypeVar("_Item")


def retried(call: Callable[[], _Result], where: str, patience: float | None = None) -> _Result:
    """What a request returns, tried again while its fault may pass.

    Args:
        call: the request; repeating it must do no harm.
        where: the URL, for the message.
        patience: seconds after which it is given up; None for `PATIENCE`.

    Raises:
        FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError: the store's answer.
        StoreError: it refuses, or has not answered for so long.
    """
    waits = _Waits(where, patience)
    while True:
        try:
            return call()
        except Exception as error:
            waits.after(error)


def carried_on(begin: Callable[[_Item | None], Iterator[_Item]], where: str) -> Iterator[_Item]:
    """The items of a listing or a reader, begun again behind the last one whenever a fault passes.

    Args:
        begin: called with the last item, None at first; returns those that follow it.
        where: the URL, for the message.

    Raises:
        StoreError: as in `retried`; patience begins anew with every item.
        Exception: what is no fault of a store.
    """
    last: _Item | None = None
    waits = _Waits(where)
    while True:
        try:
            for item in begin(last):
                last, waits = item, _Waits(where)
                yield item
            return
        except Exception as error:
            if not is_fault(error):
                raise
            waits.after(error)


class _Waits:
    """The waits between tries of one request."""

    def __init__(self, where: str, patience: float | None = None) -> None:
        self._where, self._longest = where, _FIRST
        self._patience = PATIENCE if patience is None else patience
        self._end = time.monotonic() + self._patience

    def after(self, error: Exception) -> None:
        """Wait, or raise what there is to say."""
        if isinstance(error, (*_ANSWERS, MienError)):
            raise error
        if not passes(error):
            raise StoreError(_refusal(error, self._where)) from error
        wait = random.uniform(0, self._longest)  # noqa: S311 no secret
        if time.monotonic() + wait >= self._end:
            raise StoreError(
                f"{self._where}: the store does not answer as it should ({_words(error)}), and did not for "
                f"{self._patience:.0f} seconds; expected that to pass: the same command continues later"
            ) from error
        time.sleep(wait)
        self._longest = min(_LONGEST, 2 * self._longest)


def is_fault(error: Exception) -> bool:
    """Whether an error is of the store and the way to it, and not of what was read there."""
    return passes(error) or isinstance(error, PermissionError) or type(error).__name__ in _NO_CREDENTIALS


def passes(error: Exception) -> bool:
    """Whether the fault of a request may be gone a little later: throttling, a time-out, a lost connection."""
    if type(error).__name__ in _NO_CREDENTIALS or isinstance(error, (PermissionError, *_ANSWERS)):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno not in _PERMANENT
    # Without a number, an OSError is as likely to be about what a file holds.
    clients = type(error).__module__.partition(".")[0] in _CLIENTS
    return clients or isinstance(error, (TimeoutError, ConnectionError))


def _refusal(error: Exception, where: str) -> str:
    words = _words(error)
    if type(error).__name__ in _NO_CREDENTIALS or any(word in words.lower() for word in _REFUSED):
        return f"{where}: the store refuses the credentials ({words}); renew them, and the same command continues"
    return f"{where}: the store refuses this ({words}); expected a place that can be read, and for output written"


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:160]
