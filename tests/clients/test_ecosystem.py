"""Published Python packages for this protocol against the running service."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import HERE, Service

FOLDER = HERE / "ecosystem"
PYTHON = FOLDER / ".venv" / "bin" / "python"


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter of a virtual environment of their own: one of them has the name of our SDK."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER / ".venv"], check=True)
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", str(FOLDER / "requirements.txt")], check=True)
    return str(PYTHON)


@pytest.mark.parametrize("check", ["offline", "online", "fastapi", "openai-agents", "adk"])
def test_a_published_package(service: Service, python: str, check: str) -> None:
    program = [python, str(FOLDER / "program.py"), service.base, service.key, check]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
