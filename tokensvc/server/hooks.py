"""Functions of the application that the worker calls; it knows nothing else of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

Environ: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
"""WSGI application (PEP 3333)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """
    A request that gets no response of the application.

    Attributes:
        error: Reason. Its text may quote the request, with the credential.
        status: Status of the response; 500 if the application failed, 503 if no thread was free.
        detail: What the client did wrong; empty for 500 and 503.
        client: IP address of the peer; empty if it has none.
    """

    error: Exception = field(repr=False)
    status: HTTPStatus
    detail: str
    client: str


@dataclass(frozen=True, slots=True)
class Hooks:
    """
    Functions of the application.

    Attributes:
        begin_deadline: Is called in the thread of a request before it runs, with the time at which
            the request had been received, on the monotonic clock.
        on_wait: Registers the function that the application calls before it waits for something
            outside the process.
        refuse: Logs and counts a failure, and returns the application that responds to it. It gets
            an environment with only `REQUEST_METHOD`.
        report_load: Is called about once a second with the numbers of threads that run a request
            and of open connections.
    """

    begin_deadline: Callable[[float], None]
    on_wait: Callable[[Callable[[], None]], None]
    refuse: Callable[[Failure], Application]
    report_load: Callable[[int, int], None]
