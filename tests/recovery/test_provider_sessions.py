"""A session that a provider ended before the database was lost stays refused."""

import pytest

from testing.database_kinds import on_postgresql
from testing.doubles.events import logout_token, send_logout


@on_postgresql
@pytest.mark.sec(66)
def test_session_that_the_provider_ended_is_refused_after_the_replay(scene, replay):
    for sid in ("phone", "laptop"):
        scene.tokens[sid] = scene.issuer.token(sub="ada", sid=sid)
    scene.back_up()
    with scene.running():
        token = logout_token(scene.issuer, sub="ada", sid="phone")
        assert send_logout(scene.client(), token).status == 200
        assert scene.mint("phone").json["code"] == "sign_in_required"
    export = scene.folder / "audit.jsonl"
    export.write_text(scene.command("audit", "--json", "--limit", "1000").out)
    scene.lose_database()
    scene.restore()
    assert replay(export, "--complete")["applied"]["provider_session:ended"] == 1
    with scene.running():
        assert scene.mint("phone").json["code"] == "sign_in_required"
        assert scene.mint("laptop").status == 200
