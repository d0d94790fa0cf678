"""
Write `stream_tokens.json`: tokens that Stream's own Python SDK makes from given claims.

    python tests/vectors/make_stream_tokens.py

The claims are chosen, the tokens are the SDK's: nothing of this service is used.
"""

import json
from pathlib import Path
from typing import Any

from stream_chat import StreamChat

PATH = Path(__file__).with_name("stream_tokens.json")

SECRETS = (
    "a-secret-of-exactly-32-bytes-000",
    "k3zbc6tmtdsqqdbeygrbmxwupqsedtszxzhbvsgwcsgpd7tbehgk2yyvw2esz9wf",
    "ein-längeres-Geheimnis-mit-Umlauten-äöü",
)
USER_IDS = ("john", "0", "a@b-c_d", "firebase_41bcd", "z" * 255, "John", "-", "@" * 7)
TIMES = ((1_794_999_995, 1_795_003_600), (1, 61), (2_147_483_647, 4_102_444_800))


def vectors() -> list[dict[str, Any]]:
    """Return every combination of secret, user and times with its token."""
    return [
        {
            "secret": secret,
            "user_id": user_id,
            "iat": issued_at,
            "exp": expires_at,
            "token": StreamChat("key", secret).create_token(user_id, expires_at, issued_at),
        }
        for secret in SECRETS
        for user_id in USER_IDS
        for issued_at, expires_at in TIMES
    ]


def main() -> None:
    PATH.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
