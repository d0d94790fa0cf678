"""With the settings of `docs/migrating.md`, users of Stream's Firebase extension keep their IDs."""

from testing.service import ROOT
from tests.docs.pages import blocks
from tokensvc.config.loader import load
from tokensvc.core import user_ids

UID = "f8WDlAf7qrXqZ0nTtVHs7Vq9Kpl2"


def test_firebase_user_keeps_the_id_of_the_extension(tmp_path):
    (shown,) = blocks(ROOT / "docs" / "migrating.md", "toml")
    (tmp_path / "tokensvc.toml").write_text(shown)
    environ = {"TOKENSVC_CONFIG": str(tmp_path / "tokensvc.toml"), "STREAM_API_SECRET": "s" * 40}
    settings = load({**environ, "STREAM_API_KEY": "k1"})
    (issuer,) = settings.issuers
    mapped = user_ids.map_subject(
        UID,
        mapping=issuer.user_id_mapping,
        prefix=issuer.user_id_prefix,
        issuer=issuer.issuer,
        alphabet=settings.user_ids.alphabet,
    )
    assert mapped == UID
