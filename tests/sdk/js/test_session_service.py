"""The session of `clients/js` with a running service that has built-in accounts."""

import itertools

import pytest

from testing.sdk_driver import Driver, SdkError
from testing.world import World

PASSWORD = "correct horse battery staple"
numbers = itertools.count()


@pytest.fixture
def user_id(package: Driver, account_world: World) -> str:
    """Return a user who has signed up and in, and has a token provider."""
    user_id = f"user-{next(numbers)}"
    package.call("makeSession", url=account_world.service.base_url)
    created = package.call("signUp", userId=user_id, password=PASSWORD)
    assert created["user_id"] == user_id
    package.call("signIn", userId=user_id, password=PASSWORD)
    url = f"{account_world.service.base_url}/v1/token"
    package.call("makeProvider", url=url, ofSession=True)
    return user_id


def test_account_gets_tokens_until_it_signs_out(
    package: Driver, account_world: World, user_id: str
) -> None:
    """Over a refresh of the session. The stored token is of no use afterwards."""
    (token,) = package.call("callProvider")
    assert token.count(".") == 2
    (renewed,) = package.call("getCredential", refresh=True)
    assert package.call("callProvider")
    stored = package.call("seen")["stored"][-1]
    package.call("signOut")
    assert package.call("seen")["stored"][-1] is None
    headers = {"Authorization": f"Bearer {renewed}"}
    refused = account_world.anonymous.post("/v1/token", headers=headers)
    assert (refused.status, refused.code) == (401, "sign_in_required")
    package.call("makeSession", url=account_world.service.base_url, refreshToken=stored)
    with pytest.raises(SdkError) as ended:
        package.call("getCredential")
    assert (ended.value.code, ended.value.kind) == ("invalid_grant", "sign_in_again")


@pytest.mark.parametrize(
    ("action", "code"),
    [("POST revocations", "sign_in_required"), ("PUT suspension", "user_suspended")],
)
def test_operator_ends_the_session(
    package: Driver, account_world: World, user_id: str, action: str, code: str
) -> None:
    """The app is told once, and the stored token is removed."""
    package.call("callProvider")
    method, resource = action.split()
    done = account_world.operator.request(method, f"/v1/users/{user_id}/{resource}", json={})
    assert done.status == 200
    for _ in range(2):
        with pytest.raises(SdkError) as refused:
            package.call("callProvider")
        assert (refused.value.code, refused.value.kind) == (code, "sign_in_again")
    seen = package.call("seen")
    assert (seen["signedOut"], seen["sessionEnds"]) == ([code], [code])
    assert seen["stored"][-1] is None


def test_refused_sign_up_and_sign_in_have_the_reasons(
    package: Driver, account_world: World, user_id: str
) -> None:
    with pytest.raises(SdkError) as taken:
        package.call("signUp", userId=user_id, password=PASSWORD)
    assert (taken.value.code, taken.value.kind) == ("user_id_taken", "refused")
    with pytest.raises(SdkError) as wrong:
        package.call("signIn", userId=user_id, password="wrong password of this user")
    assert (wrong.value.code, wrong.value.kind) == ("credentials_invalid", "refused")
