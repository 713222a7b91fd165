"""The documents' Python, and what they say about types, by both type checkers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).parent.parent
ROOT = SDK.parent.parent
DOCUMENTS = [ROOT / "README.md", SDK / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CHECKERS = ["mypy", "pyright"]

BY_CLASS = """
from typing import assert_type

from grantex import (
    BudgetExhaustedData,
    BudgetExhaustedEvent,
    GrantCreatedData,
    GrantCreatedEvent,
    GrantexEvent,
)


def handle(event: GrantexEvent) -> None:
    if isinstance(event, BudgetExhaustedEvent):
        assert_type(event.data, BudgetExhaustedData)
    match event:
        case GrantCreatedEvent(data=data):
            assert_type(data, GrantCreatedData)
        case _:
            pass
"""
BY_TYPE = """
from grantex import GrantexEvent


def handle(event: GrantexEvent) -> None:
    if event.type == "budget.exhausted":
        print(event.data["initial"])
"""


def check(checker: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a checker says of the files in a folder, as strictly as it can be."""
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    command = {
        "mypy": ["mypy", "--strict", "--config-file=", "--python-version=3.11", "."],
        "pyright": ["pyright", f"--pythonpath={sys.executable}", "--project", "pyrightconfig.json"],
    }[checker]
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True
    )


@pytest.mark.parametrize("checker", CHECKERS)
def test_every_snippet_of_the_documents_is_well_typed(checker: str, tmp_path: Path) -> None:
    count = 0
    for document in DOCUMENTS:
        snippets = re.findall(
            r"^```python\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE
        )
        for number, snippet in enumerate(snippets):
            name = f"{document.parent.name}_{document.stem}_{number}.py".replace("-", "_")
            (tmp_path / name).write_text(snippet)
            count += 1
    assert count >= 7
    done = check(checker, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS)
def test_an_event_is_narrowed_by_its_class(checker: str, tmp_path: Path) -> None:
    (tmp_path / "by_class.py").write_text(BY_CLASS)
    done = check(checker, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_by_its_type_an_event_is_narrowed_by_pyright_alone(tmp_path: Path) -> None:
    """Where mypy does it too, the README and `GrantexEvent` may say so."""
    (tmp_path / "by_type.py").write_text(BY_TYPE)
    assert check("pyright", tmp_path).returncode == 0
    assert "typeddict-item" in check("mypy", tmp_path).stdout
