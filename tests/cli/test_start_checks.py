"""A start and `doctor` refuse the same, with the same text, and neither changes anything."""

import pytest

from testing.service import STREAM_API_KEY, STREAM_API_SECRET, free_port

pytestmark = pytest.mark.sec(61)


@pytest.fixture
def blocked(tmp_path):
    """Return the path of a file, below which no folder can be created."""
    path = tmp_path / "file"
    path.touch()
    return path


def refused_by_both(tokensvc, text, **settings):
    settings = {"TOKENSVC_BIND": f"127.0.0.1:{free_port()}", **settings}
    started, checked = tokensvc.process("serve", **settings), tokensvc("doctor", **settings)
    assert (started.code, checked.code) == (1, 1)
    assert text in started.err
    assert text in next(line for line in checked.out.splitlines() if line.startswith("FAIL"))
    for one in (started, checked):
        assert "Traceback" not in one.err
        assert STREAM_API_SECRET not in one.out + one.err


def test_folder_that_is_not_writable_is_refused(tokensvc, blocked):
    refused_by_both(
        tokensvc,
        f"Cannot create files in {blocked / 'var'}: Not a directory. Make it writable or change "
        "`database_url`.",
        TOKENSVC_DATABASE_URL=f"sqlite:///{blocked / 'var' / 'tokensvc.db'}",
    )


def test_folder_in_place_of_the_database_is_refused(tokensvc, tmp_path):
    refused_by_both(
        tokensvc,
        f"cannot write {tmp_path}: not a writable file",
        TOKENSVC_DATABASE_URL=f"sqlite:///{tmp_path}",
    )


@pytest.mark.parametrize("quote", ["'", '"'])
def test_secret_in_quotes_is_refused(tokensvc, quote):
    refused_by_both(
        tokensvc,
        "STREAM_API_SECRET: is enclosed in quotes: remove them (`docker --env-file` keeps them)",
        STREAM_API_SECRET=f"{quote}{STREAM_API_SECRET}{quote}",
    )


def test_missing_issuer_key_file_is_refused(tokensvc, tmp_path):
    toml = tmp_path / "tokensvc.toml"
    toml.write_text(
        """
        [[issuers]]
        name = "acme"
        issuer = "https://id.acme.example"
        audience = "chat"
        public_keys_file = "missing.pem"
        """
    )
    text = "issuers: acme: public_keys_file: missing.pem cannot be read"
    refused_by_both(tokensvc, text, TOKENSVC_CONFIG=str(toml))


def test_all_faults_of_the_keys_are_reported_together(tokensvc):
    """Another secret of a key in use, and no active key."""
    assert tokensvc("stream-keys", "add", STREAM_API_KEY, stdin=STREAM_API_SECRET).code == 0
    other = {"STREAM_API_SECRET": "another-stream-secret-of-more-than-32-bytes"}
    ended = tokensvc("token", "mint", "john", **other)
    assert "STREAM_API_SECRET is not the secret that the ring has" in ended.err
    assert "No Stream key is active" in ended.err
