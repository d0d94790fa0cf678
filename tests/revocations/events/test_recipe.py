"""The function of the page for providers that send no events, run with Node."""

import os
import subprocess

from testing.node import NODE
from testing.service import ROOT
from testing.service_clients import make_client
from tests.docs.pages import blocks

PAGE = ROOT / "docs" / "identity-providers.md"


def test_hook_of_a_provider_suspends_the_user(world, tmp_path):
    """The subject is mapped as `escape` maps it."""
    created = make_client(world.database, "hook", "revocations:write")
    (recipe,) = blocks(PAGE, "js")
    program = tmp_path / "hook.mjs"
    program.write_text(f'{recipe}\nawait suspend("aB|3_é");\n')
    environ = {
        **os.environ,
        "TOKENSVC_URL": world.service.base_url,
        "TOKENSVC_CLIENT_ID": created.id,
        "TOKENSVC_CLIENT_SECRET": created.secret,
    }
    subprocess.run([NODE, program], env=environ, check=True)
    assert world.state("a_42_7c3_5f_c3_a9")["suspended"]
