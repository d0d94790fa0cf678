"""The pages of `docs/clients/`: their code is that of `examples/`, and it parses."""

import re

import pytest
import tree_sitter
import tree_sitter_c_sharp
import tree_sitter_cpp
import tree_sitter_dart
import tree_sitter_java
import tree_sitter_kotlin
import tree_sitter_swift

from testing.page_snippets import PAGES, ROOT, snippets, with_snippets
from tests.docs.pages import all_blocks, name

EXAMPLES = ROOT / "examples"
GRAMMARS = {
    ".kt": tree_sitter_kotlin,
    ".java": tree_sitter_java,
    ".swift": tree_sitter_swift,
    ".dart": tree_sitter_dart,
    ".h": tree_sitter_cpp,
    ".cpp": tree_sitter_cpp,
    ".cs": tree_sitter_c_sharp,
}
UNREAL_MACROS = re.compile(rb"\b(USTRUCT|UPROPERTY|GENERATED_BODY)\(\)")
"""Of Unreal's header tool. The compiler does not see them, and the grammar does not know them."""

NO_CODE = {"sh", "console", "toml", "yaml", "json", ""}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_equal_their_files(page):
    """If not, run `python -m testing.page_snippets`."""
    text = page.read_text()
    assert text == with_snippets(text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_of_code_is_of_a_file(page):
    """Only commands, settings and JSON are not."""
    code = [language for language, _ in all_blocks(page) if language not in NO_CODE]
    assert len(code) == len(snippets(page.read_text()))


def test_every_part_of_an_example_is_on_a_page():
    shown = {pair for page in PAGES for pair in snippets(page.read_text())}
    parts = {
        (name(path), part)
        for path in EXAMPLES.rglob("*.*")
        if path.suffix != ".pyc"
        for part in re.findall(r"^[ \t]*// begin ([\w-]+)$", path.read_text(), re.MULTILINE)
    }
    assert parts <= shown


@pytest.mark.parametrize(
    "path", [path for path in sorted(EXAMPLES.rglob("*")) if path.suffix in GRAMMARS], ids=name
)
def test_example_parses(path):
    language = tree_sitter.Language(GRAMMARS[path.suffix].language())
    tree = tree_sitter.Parser(language).parse(UNREAL_MACROS.sub(b"", path.read_bytes()))
    assert not list(errors(tree.root_node))


def errors(node):
    """Yield the line and text of each node that is not of the language."""
    if node.is_error or node.is_missing:
        yield node.start_point.row + 1, node.text[:80]
    for child in node.children if node.has_error else []:
        yield from errors(child)


@pytest.mark.parametrize(
    "grammar", sorted(set(GRAMMARS.values()), key=str), ids=lambda item: item.__name__
)
def test_grammar_reports_an_error(grammar):
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    assert parser.parse(b"class A { ) }").root_node.has_error
