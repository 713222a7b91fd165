"""The generator of the synchronous client."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "make_sync.py"


def test_a_rule_that_matches_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_sync", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", ["make_sync.py", "--check"])
    script.main()
    monkeypatch.setattr(script, "WORDS", [*script.WORDS, ("no file has this text", "")])
    with pytest.raises(SystemExit, match="no file has this text"):
        script.main()
