from __future__ import annotations

import pytest
from typer.testing import CliRunner

from services.gateway.__main__ import program


@pytest.fixture
def init(redis_server, bus, monkeypatch, tmp_path):
    """Calls the command on an empty Redis and a database of its own."""
    monkeypatch.setenv("CITYBRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BUS_URL", redis_server.url)
    return lambda *words: CliRunner().invoke(program.commands, ["init", *words])


def test_the_first_admin_key_is_told_once(init):
    assert init().output.startswith("the first admin key, shown this once: cb_")
    assert init().output == "the schema is up to date; there are keys already\n"


def test_a_key_file_is_its_owner_s_alone(init, tmp_path):
    file = tmp_path / "keys" / "admin.key"
    assert init("--key-file", str(file)).output == f"the first admin key is in {file}\n"
    assert file.read_text().startswith("cb_")
    assert file.stat().st_mode & 0o077 == 0
