"""HTTP responses: what a client received, or what a double sends."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Response:
    """
    An HTTP response.

    Attributes:
        status: Status code.
        body: Bytes of the body. A value of another type is encoded as JSON.
        headers: Header fields.
    """

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.body, bytes):
            object.__setattr__(self, "body", json.dumps(self.body).encode())

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return str(self.body, "utf-8")

    @property
    def code(self) -> str:
        """Code of a problem. Fails if the response is not a problem."""
        assert self.headers["Content-Type"] == PROBLEM, (self.status, self.body)
        code: str = self.json["code"]
        return code
