"""The pages are correct: their settings load, their links are valid, their tables are the code."""

import json
import re

import pytest

from testing.service import ROOT
from tests.docs.pages import FOR_AGENTS, PAGES, README, blocks, name
from tokensvc.config.loader import load
from tokensvc.core.user_ids import escape
from tokensvc.issuers.presets import expand
from tokensvc.issuers.settings import IssuerSettings
from tokensvc.tokens.signer import MintedToken

ALL_PAGES = sorted({*PAGES, *FOR_AGENTS, *ROOT.glob("*.md")})
WITH_SETTINGS = [README, ROOT / "docs" / "identity-providers.md", ROOT / "docs" / "accounts.md"]

EVERYDAY = {"access token", "account", "action", "delivery", "invitation", "session"}
EVERYDAY |= {"signing key", "user ID"}
"""Terms of the glossary that the README uses as everyone does."""


def test_readme_takes_five_minutes():
    """What is before the reference, with its commands and tables."""
    before, heading, _ = README.read_text().partition("\n## Reference\n")
    assert heading
    assert len(before.split()) < 1300


def test_readme_links_each_term_to_the_glossary_at_its_first_use():
    text = re.sub(r"```.*?```|`[^`]*`|<[^>]*>", "", README.read_text(), flags=re.DOTALL)
    text = re.sub(r"(?<=\])\((?!docs/glossary)[^)]*\)", "", text)
    rows = re.findall(r"^\| (.+?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    terms = set(re.findall(r"\*\*`?([^*`]+)`?\*\*", "\n".join(rows)))
    assert {"mint", "service client", "retiring"} | EVERYDAY <= terms
    for term in terms - EVERYDAY:
        first = re.search(rf".\b{re.escape(term)}[^|.]{{0,25}}", text, re.IGNORECASE | re.DOTALL)
        assert not first or re.match(r"\[[^]]+\]\(docs/glossary", first[0]), first[0]


def test_shown_response_has_the_members_of_a_real_one():
    (shown,) = blocks(README, "json")
    assert tuple(json.loads(shown)) == MintedToken.__struct_fields__


@pytest.mark.parametrize(
    "block", [block for page in WITH_SETTINGS for block in blocks(page, "toml")]
)
def test_settings_block_loads(tmp_path, block):
    """With the variables that the text requires."""
    (tmp_path / "tokensvc.toml").write_text(block)
    environ = {"TOKENSVC_CONFIG": str(tmp_path / "tokensvc.toml")}
    if "public_url" not in block:
        environ["TOKENSVC_PUBLIC_URL"] = "https://tokens.example.com"
    if "[stream]" in block:
        # In place of the placeholder of the page, which the service refuses.
        environ |= {"STREAM_API_KEY": "key-1", "STREAM_API_SECRET": "s" * 40}
    settings = load(environ)
    assert settings.issuers or settings.has_accounts


def preset_rows():
    """Return preset, sign-in time, claim, its value and the user ID of each row."""
    row = re.compile(
        r"^\|[^|]+\| `([^`]+)`[^|]*\|[^|]+\|[^|]+\| `(\w+)` \| `(\w+)` `(\S+)` → `(\S+)` \|.+\|$",
        re.MULTILINE,
    )
    found = row.findall(README.read_text().replace("\\|", "&pipe;"))
    return [tuple(cell.replace("&pipe;", "|") for cell in cells) for cells in found]


def test_table_of_presets_has_every_preset():
    with pytest.raises(ValueError, match="Known presets: ") as caught:
        expand("unknown:")
    known = str(caught.value).partition("Known presets: ")[2]
    providers = [preset.partition(":")[0] for preset, *_ in preset_rows()]
    assert providers == re.findall(r"(?:^|, )(\w+):", known)


@pytest.mark.parametrize("row", preset_rows(), ids=lambda row: row[0].partition(":")[0])
def test_row_of_a_preset_equals_the_code(row):
    preset, sign_in_time, claim, subject, user_id = row
    settings = IssuerSettings(preset=preset, audience="any")
    assert (settings.sign_in_time, settings.user_id_claim) == (sign_in_time, claim)
    mapped = escape(subject) if settings.user_id_mapping == "escape" else subject
    assert mapped == user_id


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_links_to_files_are_valid(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
