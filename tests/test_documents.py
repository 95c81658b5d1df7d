"""What the documents show works."""

from tickgate.host.config import Config


def test_the_configuration_file_of_the_manual_is_a_configuration(repository):
    manual = (repository / "docs" / "cli.md").read_text()
    text = manual.split("```toml\n")[1].split("```")[0]
    config = Config.from_text(text)
    assert [symbol.name for symbol in config.symbols] == ["AAPL"]
