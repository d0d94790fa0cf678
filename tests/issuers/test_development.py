"""The issuer of `make run`."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ManualClock
from tests.issuers.conftest import MakeIssuers
from tokensvc.core.errors import Code, Refusal
from tokensvc.issuers.development import DevelopmentIssuer

URL = "http://127.0.0.1:8000/development-issuer"


def development(folder: Path) -> DevelopmentIssuer:
    return DevelopmentIssuer(folder / "var" / "development-issuer.key", URL, "tokensvc")


def test_issued_token_is_accepted(
    tmp_path: Path, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuer = development(tmp_path)
    caller = make_issuers(issuer.issuer_settings()).authenticate(
        issuer.issue("demo-user", int(clock.now), 3600)
    )
    assert (caller.user_id, caller.issuer) == ("demo-user", "development")
    assert caller.signed_in_at == int(clock.now)


def test_issued_token_expires(
    tmp_path: Path, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    issuer = development(tmp_path)
    token = issuer.issue("demo-user", int(clock.now), 60)
    issuers = make_issuers(issuer.issuer_settings())
    clock.now += 60 + 10
    with pytest.raises(Refusal) as caught:
        issuers.authenticate(token)
    assert caught.value.code is Code.CREDENTIALS_EXPIRED


def test_private_key_is_created_once_with_mode_0600(
    tmp_path: Path, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    token = development(tmp_path).issue("demo-user", int(clock.now), 60)
    again = development(tmp_path)
    assert make_issuers(again.issuer_settings()).authenticate(token).user_id == "demo-user"
    key_file = tmp_path / "var" / "development-issuer.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert b"PRIVATE" not in key_file.with_name(f"{key_file.name}.pub").read_bytes()


def test_processes_that_start_together_share_one_key(
    tmp_path: Path, make_issuers: MakeIssuers, clock: ManualClock
) -> None:
    with ThreadPoolExecutor(8) as pool:
        starts = [pool.submit(development, tmp_path) for _ in range(8)]
        made = [start.result() for start in starts]
    issuers = make_issuers(made[0].issuer_settings())
    for number, issuer in enumerate(made):
        token = issuer.issue(f"user-{number}", int(clock.now), 60)
        assert issuers.authenticate(token).user_id == f"user-{number}"
    assert len(list((tmp_path / "var").iterdir())) == 2
