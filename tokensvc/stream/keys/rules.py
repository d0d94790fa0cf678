"""Which Stream key signs for a client, and the transitions of the ring of Stream keys. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tokensvc.core.errors import Code, Refusal
from tokensvc.standing.rules import RingVersion
from tokensvc.stream.keys.states import KeyInfo, KeyState, Transition, find, keys_unreadable
from tokensvc.vault.rules import fingerprint

MIN_SECRET_BYTES = 32
"""RFC 7518 section 3.2: an HS256 key is as long as its hash, or longer."""

API_KEY_PATTERN = r"^[!-~]{1,255}$"
_PLACEHOLDER = re.compile(r"your[-_].*|the-(new-)?secret-.*|<.*>|change-?me|\.{3}|…", re.IGNORECASE)
"""What documents show in place of a key or a secret."""


class StreamKeyInfo(KeyInfo, frozen=True):
    """
    A Stream key without its secret.

    Attributes:
        id: ID of the row. The same key gets a new ID if it is added again.
        api_key: Public API key, which clients are built with.
        fingerprint: Fingerprint of the secret. With `api_key` it identifies the key.
    """

    api_key: str


@dataclass(frozen=True, slots=True)
class StreamKey:
    """
    An API key of the Stream app with its secret. An `api_key` can have several secrets,
    one after another.

    Attributes:
        api_key: Public API key, which clients are built with.
        secret: HMAC key: the UTF-8 bytes of the secret that the dashboard shows.
        state: State of the key; not `retired`, since a retired key has no secret. It does not
            count for equality: a transition leaves the key the same.
    """

    api_key: str
    secret: bytes = field(repr=False)
    state: KeyState = field(compare=False)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the secret."""
        return fingerprint(self.secret)

    def find_in(self, keys: Iterable[StreamKeyInfo]) -> StreamKeyInfo | None:
        """Return the one of some keys that has this API key and this secret."""
        names = self.api_key, self.fingerprint
        return next((key for key in keys if (key.api_key, key.fingerprint) == names), None)


@dataclass(slots=True)
class StreamKeyRing:
    """
    The keys that sign, as of one version of the ring.

    Attributes:
        version: Version of the ring that has these keys.
        keys: Keys that are not retired, newest first.
        unreadable: API keys whose secret this process cannot decrypt.
        active: Key that signs for clients that name none.
        by_api_key: Key that signs for clients built with an API key: active, else the newest.
    """

    version: RingVersion
    keys: Sequence[StreamKey]
    unreadable: Collection[str] = ()
    active: StreamKey | None = field(init=False)
    by_api_key: Mapping[str, StreamKey] = field(init=False)

    def __post_init__(self) -> None:
        self.active = next((key for key in self.keys if key.state is KeyState.ACTIVE), None)
        active = [self.active] if self.active is not None else []
        # The last one of an API key stays: the active one, else the newest.
        self.by_api_key = {key.api_key: key for key in (*reversed(self.keys), *active)}
        self.unreadable = frozenset(self.unreadable).difference(self.by_api_key)

    def named(self, api_key: str) -> StreamKey | None:
        """
        Return the key that signs for clients built with `api_key`: active, else the newest.

        Raises:
            Refusal: `temporarily_unavailable`: this process cannot read the key.
        """
        if api_key in self.unreadable:
            raise keys_unreadable("the named key cannot be decrypted")
        return self.by_api_key.get(api_key)


def check_no_placeholder(text: str) -> None:
    """
    Check that a key or a secret is not the text that a document shows in its place.

    Raises:
        ValueError: It is one. The text does not contain it.
    """
    if _PLACEHOLDER.fullmatch(text):
        raise ValueError("is a placeholder: copy the value from Stream's dashboard")


def check_secret(secret: str, api_key: str) -> None:
    """
    Check that a Stream secret is long enough for HS256, and has no white space around it.

    Args:
        api_key: API key that belongs to it. It is public, so it must not be the secret.

    Raises:
        ValueError: It is not valid. The text contains neither.
    """
    check_no_placeholder(secret)
    is_short = len(secret.encode("utf-8")) < MIN_SECRET_BYTES
    if len(api_key) >= MIN_SECRET_BYTES and (is_short or api_key == secret):
        raise ValueError(
            "is given as the API key: exchange key and secret. In Stream's dashboard the API key "
            "is the shorter one"
        )
    if is_short:
        raise ValueError(
            f"is shorter than {MIN_SECRET_BYTES} bytes (RFC 7518 section 3.2): copy it again from "
            "Stream's dashboard"
        )
    if secret != secret.strip():
        raise ValueError("has white space around it: copy it again from Stream's dashboard")


def check_new_key(keys: Iterable[StreamKeyInfo], new: StreamKey) -> None:
    """
    Refuse a key that cannot be added to the ring.

    Another secret of a known `api_key` can be added: Stream's dashboard can regenerate it.

    Raises:
        Refusal: `stream_key_invalid`.
    """
    if not re.fullmatch(API_KEY_PATTERN, new.api_key):
        raise key_invalid("The API key is 1 to 255 visible ASCII characters: copy it from Stream.")
    try:
        check_no_placeholder(new.api_key)
    except ValueError as error:
        raise key_invalid(f"The API key {error}.") from error
    try:
        check_secret(new.secret.decode("utf-8"), new.api_key)
    except ValueError as error:
        raise key_invalid(f"The secret {error}.") from error
    same = new.find_in(key for key in keys if not key.is_retired)
    if same is not None:
        raise key_invalid(f"The key ring already has this Stream key: {same.id}, {same.state}.")


def activation_steps(
    keys: Sequence[StreamKeyInfo], key_id: str
) -> tuple[Transition[StreamKeyInfo], ...]:
    """
    Return the transitions that activate a key, in an order that never has two active keys.

    The previous active key becomes retiring. Older rows of the same `api_key` are retired: Stream
    knows one secret, and it is the newer one. A newer row that was not activated yet stays.

    Args:
        keys: All keys of the ring, newest first.
        key_id: ID of the key to activate.

    Returns:
        Transitions; empty if the key is active.

    Raises:
        Refusal: `not_found`; `conflict` when the key is retired.
    """
    key = find(keys, key_id)
    if key.state is KeyState.ACTIVE:
        return ()
    if key.is_retired:
        raise Refusal(
            Code.CONFLICT,
            "The key is retired and its secret erased: add the Stream key again, then activate the "
            "added key.",
        )
    older = keys[keys.index(key) + 1 :]
    superseded = [other for other in older if not other.is_retired and other.api_key == key.api_key]
    previous = [
        other for other in keys if other.state is KeyState.ACTIVE and other not in superseded
    ]
    return (
        *(Transition(other, KeyState.RETIRED) for other in superseded),
        *(Transition(other, KeyState.RETIRING) for other in previous),
        Transition(key, KeyState.ACTIVE),
    )


def warn_of_unnamed(
    transitions: Iterable[Transition[StreamKeyInfo]], unnamed_mints: int
) -> str | None:
    """
    Return a warning if an activation would break clients that name no API key.

    A token is valid with its own API key only. Once another key is active, Stream refuses (code 43)
    a client that was built with the previous key and does not name it.

    Args:
        transitions: Transitions of the activation.
        unnamed_mints: Number of mints of the last 24 hours that named no API key.
    """
    transitions = tuple(transitions)
    after = {step.key.api_key for step in transitions if step.to is KeyState.ACTIVE}
    before = {step.key.api_key for step in transitions if step.key.state is KeyState.ACTIVE}
    if not unnamed_mints or not before or before == after:
        return None
    return (
        f"In the last 24 hours {unnamed_mints} tokens were minted for clients that named no "
        "api_key. Stream will refuse those that were built with the previous key and do not use "
        "the api_key of the response (code 43, from which no SDK recovers)."
    )


def key_invalid(detail: str, reason: str = "") -> Refusal:
    """Return the refusal of a key. The reason is for operators only."""
    return Refusal(Code.STREAM_KEY_INVALID, detail, reason=reason)


def keys_to_try(ring: StreamKeyRing) -> list[StreamKey]:
    """Return all keys that are not retired, the active one first: Stream may accept another."""
    return sorted(ring.keys, key=lambda key: key.state is not KeyState.ACTIVE)
