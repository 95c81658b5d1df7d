"""What the documents show works, and what refers to them finds its section."""

import re

import pytest

from tickgate.host.config import Config
from tickgate.sim.docs import DOCUMENTS, outdated
from tickgate.sim.exchange.accounts import read_accounts


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_generated_document_is_what_it_is_made_of_today(repository, document):
    difference = outdated(document, repository)
    assert not difference, f"not current: make docs\n{difference}"


def test_the_configuration_file_of_the_manual_is_a_configuration(repository):
    manual = (repository / "docs" / "cli.md").read_text()
    text = manual.split("```toml\n")[1].split("```")[0]
    config = Config.from_text(text)
    assert [symbol.name for symbol in config.symbols] == ["AAPL"]


def test_every_section_that_the_code_refers_to_is_there(repository):
    headings = set(
        re.findall(
            r"^## (.*)$", (repository / "docs" / "architecture.md").read_text(), re.MULTILINE
        )
    )
    parts = ("boards", "hdl", "host", "sim", "spec")
    referred = {
        name
        for part in parts
        for source in (repository / part).rglob("*.py")
        for name in re.findall(r'architecture\.md,\s+"([^"]*)"', source.read_text())
    }
    assert "The book" in referred
    assert referred <= headings


def test_the_accounts_of_the_exchange_s_manual_are_accounts(repository, tmp_path):
    manual = (repository / "docs" / "exchange.md").read_text()
    path = tmp_path / "accounts.toml"
    path.write_text(manual.split("```toml\n")[1].split("```")[0])
    assert list(read_accounts(path)) == ["TRADER"]
