"""The states of a key, which key signs for whom, and what an act makes of a ring. Pure."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from tokensvc.core.errors import Code, Refusal

MIN_SECRET_BYTES = 32
"""RFC 7518 section 3.2: an HS256 key is as long as its hash, or longer."""

API_KEY_PATTERN = r"^[!-~]{1,255}$"

_ENCRYPTION_KEY_BYTES = 32


class KeyState(StrEnum):
    """
    State of a key.

    `standby` and `retiring` keys sign for clients that name them, the `active` key also for clients
    that name none, a `retired` key for no client. Each step can be reversed except the last, which
    erases the secret.
    """

    STANDBY = "standby"
    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"


class StreamKeyInfo(msgspec.Struct, frozen=True):
    """
    A Stream key without its secret.

    Attributes:
        id: ID of the row. The same pair gets a new ID if it is added again.
        api_key: Public API key, which clients are built with.
        state: State of the key.
        fingerprint: Fingerprint of the secret. With `api_key` it identifies the pair.
        created_at: Time at which the key was added, in epoch seconds.
        activated_at: Time of the latest activation, in epoch seconds.
        retired_at: Time at which the secret was erased, in epoch seconds.
    """

    id: str
    api_key: str
    state: KeyState
    fingerprint: str
    created_at: int
    activated_at: int | None
    retired_at: int | None

    @property
    def pair(self) -> tuple[str, str]:
        """What a key is known by."""
        return self.api_key, self.fingerprint

    @property
    def is_live(self) -> bool:
        """Whether it signs for anybody."""
        return self.state is not KeyState.RETIRED


@dataclass(frozen=True, slots=True)
class StreamKey:
    """
    An API key of the Stream app with its secret.

    Attributes:
        api_key: Public; clients are built with it.
        secret: The HMAC key, the secret's UTF-8 bytes as the dashboard shows them.
        state: Not `retired`: a retired key has no secret.
    """

    api_key: str
    secret: bytes = field(repr=False)
    state: KeyState


def fingerprint(secret: bytes) -> str:
    """Give 16 hex digits that tell one secret from another and say nothing about either."""
    return hashlib.sha256(b"tokensvc key fingerprint\x00" + secret).hexdigest()[:16]


def decoded_encryption_key(text: str) -> bytes:
    """
    Give the bytes of an encryption key; a character that is none of its alphabet is not skipped.

    Raises:
        ValueError: Says what a key is, and nothing of the text.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if len(raw) != _ENCRYPTION_KEY_BYTES:
        raise ValueError(
            "is no Fernet key, 32 random bytes in URL-safe base64: "
            "openssl rand -base64 32 | tr '+/' '-_'"
        )
    return raw


class StreamKeyRing:
    """
    The keys that sign, as of one version of the ring.

    Args:
        version: The ring's version that `keys` were read at.
        keys: Those not retired, newest first.
        unreadable: API keys with a secret that this process cannot unwrap.
    """

    __slots__ = ("_by_api_key", "active", "keys", "unreadable", "version")

    def __init__(
        self, version: int, keys: Iterable[StreamKey], unreadable: Iterable[str] = ()
    ) -> None:
        self.version = version
        self.keys = tuple(keys)
        self.active: StreamKey | None = None
        self._by_api_key: dict[str, StreamKey] = {}
        for key in self.keys:
            if key.state is KeyState.ACTIVE:
                self.active = key
                self._by_api_key[key.api_key] = key
            else:
                self._by_api_key.setdefault(key.api_key, key)
        self.unreadable = frozenset(unreadable).difference(self._by_api_key)

    def named(self, api_key: str) -> StreamKey | None:
        """
        Give the key that signs for clients built with `api_key`: active, else the newest.

        Raises:
            Refusal: `temporarily_unavailable`: the key is in use, but not readable here.
        """
        if api_key in self.unreadable:
            raise unreadable_keys("the key that was named cannot be unwrapped")
        return self._by_api_key.get(api_key)


@dataclass(frozen=True, slots=True)
class Transition:
    """One key's step to another state."""

    key: StreamKeyInfo
    to: KeyState


def check_secret(secret: str) -> None:
    """
    Check that a Stream secret is long enough for HS256, and has no white space around it.

    Raises:
        ValueError: It is not valid. The text does not contain the secret.
    """
    if len(secret.encode("utf-8")) < MIN_SECRET_BYTES:
        raise ValueError(
            f"is shorter than {MIN_SECRET_BYTES} bytes (RFC 7518 section 3.2): copy it again from "
            "Stream's dashboard"
        )
    if secret != secret.strip():
        raise ValueError("has white space around it: copy it again from Stream's dashboard")


def check_pair(keys: Iterable[StreamKeyInfo], api_key: str, secret: bytes) -> None:
    """
    Refuse a pair that the ring must not take.

    Another secret for an `api_key` that is there is fine: Stream's dashboard has regenerated it.

    Raises:
        Refusal: `stream_key_invalid`.
    """
    if not re.fullmatch(API_KEY_PATTERN, api_key):
        raise invalid("The API key is 1 to 255 visible ASCII characters: copy it from Stream.")
    try:
        check_secret(secret.decode("utf-8"))
    except ValueError as error:
        raise invalid(f"The secret {error}.") from error
    pair = api_key, fingerprint(secret)
    same = next((key for key in keys if key.is_live and key.pair == pair), None)
    if same is not None:
        raise invalid(f"The ring has this very pair already: {same.id}, {same.state}.")


def activation_steps(keys: Sequence[StreamKeyInfo], key_id: str) -> tuple[Transition, ...]:
    """
    Give the moves that make a key the active one, in an order that never has two; none if it is.

    The former active key is retiring from then on. Older rows of the same `api_key` are retired:
    Stream knows one secret of it, and the newer is it. A newer one, not activated yet, stays.

    Args:
        keys: All of the ring, newest first.
        key_id: The key to be active.

    Raises:
        Refusal: `not_found`; `conflict` when the key is retired.
    """
    key = find(keys, key_id)
    if key.state is KeyState.ACTIVE:
        return ()
    if not key.is_live:
        raise Refusal(
            Code.CONFLICT,
            "The key is retired, its secret is erased: add the pair again, then activate that.",
        )
    older = keys[keys.index(key) + 1 :]
    superseded = [each for each in older if each.is_live and each.api_key == key.api_key]
    former = [each for each in keys if each.state is KeyState.ACTIVE and each not in superseded]
    return (
        *(Transition(each, KeyState.RETIRED) for each in superseded),
        *(Transition(each, KeyState.RETIRING) for each in former),
        Transition(key, KeyState.ACTIVE),
    )


def retirement_steps(keys: Sequence[StreamKeyInfo], key_id: str) -> tuple[Transition, ...]:
    """
    Give the move that ends a key; none if it has ended.

    Args:
        keys: All of the ring, newest first.
        key_id: The key to end.

    Raises:
        Refusal: `not_found`; `conflict` when the key is the active one.
    """
    key = find(keys, key_id)
    if key.state is KeyState.ACTIVE:
        raise Refusal(
            Code.CONFLICT,
            "The key is the only active one, and callers that name none would get no token: "
            "activate another key first.",
        )
    return (Transition(key, KeyState.RETIRED),) if key.is_live else ()


def warn_of_unnamed(moves: Iterable[Transition], unnamed_mints: int) -> str | None:
    """
    Warn of the clients that an activation would break, if there are any.

    A token is valid with its own API key alone, so a client that does not name the key that it was
    built with is refused by Stream (code 43) once another one signs.

    Args:
        moves: Of the activation.
        unnamed_mints: In the last 24 h.
    """
    moves = tuple(moves)
    after = {move.key.api_key for move in moves if move.to is KeyState.ACTIVE}
    before = {move.key.api_key for move in moves if move.key.state is KeyState.ACTIVE}
    if not unnamed_mints or not before or before == after:
        return None
    return (
        f"In the last 24 hours {unnamed_mints} tokens were minted for clients that named no "
        "api_key. Those that are built with the former key and do not take theirs from the answer "
        "are refused by Stream with code 43, which no SDK recovers from."
    )


def find(keys: Iterable[StreamKeyInfo], key_id: str) -> StreamKeyInfo:
    """
    Give the key of an id.

    Raises:
        Refusal: `not_found`.
    """
    for key in keys:
        if key.id == key_id:
            return key
    raise Refusal(Code.NOT_FOUND, "There is no such Stream key: the list has them all.")


def invalid(detail: str) -> Refusal:
    """Give the refusal of a pair that the ring does not take."""
    return Refusal(Code.STREAM_KEY_INVALID, detail)


def unreadable_keys(reason: str) -> Refusal:
    """Give the refusal of a process that lacks an encryption key."""
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The service cannot read its Stream keys. Contact the operator.",
        reason=reason,
        retry_after=30,
    )
