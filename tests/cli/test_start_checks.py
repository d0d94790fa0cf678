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
    """Its path counts from the folder of the settings file."""
    toml = tmp_path / "etc" / "tokensvc.toml"
    toml.parent.mkdir()
    toml.write_text(
        """
        [[issuers]]
        name = "acme"
        issuer = "https://id.acme.example"
        audience = "chat"
        public_keys_file = "missing.pem"
        """
    )
    text = f"issuers: acme: public_keys_file: {toml.parent}/missing.pem cannot be read"
    refused_by_both(tokensvc, text, TOKENSVC_CONFIG=str(toml))
    (tmp_path / "missing.pem").touch()  # in the current folder
    refused_by_both(tokensvc, text, TOKENSVC_CONFIG=str(toml))


@pytest.mark.sec(13)
def test_open_sign_up_without_a_prefix_and_a_client_that_mints_exclude_each_other(tokensvc):
    """Whichever comes second is refused; each way out that the message names works."""
    accounts = {"TOKENSVC_ACCOUNTS__ENABLED": "true"}
    opened = {**accounts, "TOKENSVC_ACCOUNTS__SIGN_UP": "open"}
    backend = ("clients", "create", "backend", "--scope", "tokens:mint")
    reader = ("clients", "create", "reader", "--scope", "users:read")
    change = ("clients", "update", "svc.reader", "--add-scope", "tokens:mint")
    assert tokensvc(*reader, **opened).code == 0
    for command in (backend, change):
        refused = tokensvc(*command, **opened)
        assert (refused.code, "Set `accounts.user_id_prefix`" in refused.err) == (1, True)
    assert tokensvc(*backend, **accounts).code == 0
    refused_by_both(tokensvc, "svc.backend has the scope tokens:mint", **opened)
    prefixed = {**opened, "TOKENSVC_ACCOUNTS__USER_ID_PREFIX": "chat-"}
    for more in (prefixed, {**accounts, "TOKENSVC_ACCOUNTS__SIGN_UP": "invitation"}):
        assert tokensvc("clients", "update", "svc.backend", "--vouches", **more).code == 0
        assert "exclude" not in tokensvc("doctor", **more).out
    remove = ("clients", "update", "svc.backend", "--add-scope", "users:read")
    ended = tokensvc(*remove, "--remove-scope", "tokens:mint", **opened)
    assert (ended.code, ended.err) == (0, "")
    assert "FAIL  client" not in tokensvc("doctor", **opened).out


def test_all_faults_of_the_keys_are_reported_together(tokensvc):
    """Another secret of a key in use, and no active key."""
    assert tokensvc("stream-keys", "add", STREAM_API_KEY, stdin=STREAM_API_SECRET).code == 0
    other = {"STREAM_API_SECRET": "another-stream-secret-of-more-than-32-bytes"}
    ended = tokensvc("token", "mint", "john", **other)
    assert "STREAM_API_SECRET is not the secret that the ring has" in ended.err
    assert "No Stream key is active" in ended.err
