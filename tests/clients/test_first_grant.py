"""The programs of "Your first grant", run as they stand in the document, and the principal's part
in them.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import packages
import pytest
from conftest import PATIENCE, Service, until

LANGUAGES = ["sh", "ts", "python", "go", "rust"]
READMES = {
    "ts": "sdk/typescript/README.md",
    "python": "sdk/python/README.md",
    "go": "sdk/go/README.md",
    "rust": "crates/grantex/README.md",
}
LIFECYCLE = [
    "grant.created",
    "token.issued",
    "budget.threshold",
    "budget.threshold",
    "grant.revoked",
]


def command(language: str, name: str, projects: Path, folder: Path) -> list[str]:
    """What runs a program of the document."""
    if language == "sh":
        script = folder / f"{name}.sh"
        script.write_text(packages.first_grant("sh")[name])
        return ["bash", str(script)]
    return {
        "ts": ["node", str(projects / "typescript" / f"{name}.js")],
        "python": [
            str(projects / "python" / "venv" / "bin" / "python"),
            str(projects / "python" / f"{name}.py"),
        ],
        "go": [str(projects / "go" / "bin" / name)],
        "rust": [str(packages.ROOT / "target" / "debug" / f"first_grant_{name}")],
    }[language]


def environment(service: Service, key: str) -> dict[str, str]:
    return {
        **os.environ,
        "GRANTEX_BASE_URL": service.base,
        "GRANTEX_API_KEY": key,
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_in_a_sandbox(language: str, service: Service, projects: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(language, "sandbox", projects, tmp_path),
        env=environment(service, service.key),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    log = service.log()
    assert [event["type"] for event in log] == LIFECYCLE
    assert f"revoked {log[0]['data']['grantId']}" in done.stdout
    assert "15.0000" in done.stdout


@pytest.mark.parametrize("language", READMES)
def test_the_readme_shows_the_same_program(language: str) -> None:
    readme = packages.ROOT / READMES[language]
    assert packages.first_grant(language)["sandbox"] in packages.blocks(
        readme, language, "The lifecycle"
    )


def test_the_root_readme_drives_the_same_lifecycle(service: Service) -> None:
    (program,) = packages.blocks(packages.ROOT / "README.md", "sh", "Drive the lifecycle")
    done = subprocess.run(
        ["bash", "-ec", program],
        env=environment(service, service.key),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [event["type"] for event in service.log()] == LIFECYCLE


class Asking:
    """A program that asks a principal for consent and waits for the address that the browser was
    sent to.
    """

    def __init__(self, command: list[str], service: Service, output: Path) -> None:
        made = (
            httpx.post(f"{service.base}/v1/signup", json={"name": "Acme"}).raise_for_status().json()
        )
        self.key: str = made["apiKey"]
        assert made["mode"] == "live" and self.key.startswith("gx_live_")
        self.base = service.base
        self.output = output
        with output.open("wb") as sink:
            self.process = subprocess.Popen(
                command,
                env=environment(service, self.key),
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    def consent_url(self) -> str:
        def look() -> str | None:
            assert self.process.poll() is None, self.output.read_text()
            found = re.search(r"http://\S+/consent\?req=areq_\w+", self.output.read_text())
            return found[0] if found else None

        return until("it asks for consent", look)

    def decide(self, decision: str) -> str:
        """The principal decides on the page; where the browser is sent."""
        with httpx.Client() as browser:
            page = browser.get(self.consent_url()).raise_for_status().text
            fields = {}
            for name in ("req", "token"):
                found = re.search(rf'name="{name}" value="([^"]+)"', page)
                assert found is not None, page
                fields[name] = html.unescape(found[1])
            answer = browser.post(f"{self.base}/consent", data={**fields, "decision": decision})
            assert answer.status_code == 303, answer.text
            return answer.headers["location"]

    def paste(self, address: str) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{address}\n".encode())
        self.process.stdin.close()
        return self.process.wait(PATIENCE)

    def grants(self) -> list[dict[str, str]]:
        headers = {"Authorization": f"Bearer {self.key}"}
        grants: list[dict[str, str]] = httpx.get(f"{self.base}/v1/grants", headers=headers).json()[
            "grants"
        ]
        return grants


@pytest.mark.parametrize("language", LANGUAGES)
def test_live_with_pkce(language: str, service: Service, projects: Path, tmp_path: Path) -> None:
    asking = Asking(command(language, "live", projects, tmp_path), service, tmp_path / "output")
    # A session needs an active grant of its principal.
    headers = {"Authorization": f"Bearer {asking.key}"}
    early = httpx.post(
        f"{service.base}/v1/principal-sessions", json={"principalId": "user-123"}, headers=headers
    )
    assert (early.status_code, early.json()["code"]) == (404, "NOT_FOUND")

    address = asking.decide("approve")
    parameters = parse_qs(urlsplit(address).query)
    metadata = httpx.get(f"{service.base}/.well-known/oauth-authorization-server").json()
    assert address.startswith("https://app.example/callback?")
    assert parameters.keys() == {"code", "state", "iss"} and parameters["code"][0].startswith(
        "gxc_"
    )
    assert parameters["iss"] == [metadata["issuer"]]

    assert asking.paste(address) == 0, asking.output.read_text()
    (grant,) = asking.grants()
    printed = asking.output.read_text()
    assert f"granted {grant['grantId']}" in printed
    dashboard = re.search(r"http://\S+/dashboard[^\s\"]*", printed)
    assert dashboard is not None, printed
    with httpx.Client(follow_redirects=True) as browser:
        assert "Calendar assistant" in browser.get(dashboard[0]).raise_for_status().text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_live_request_that_is_denied(
    language: str, service: Service, projects: Path, tmp_path: Path
) -> None:
    asking = Asking(command(language, "live", projects, tmp_path), service, tmp_path / "output")
    address = asking.decide("deny")
    parameters = parse_qs(urlsplit(address).query)
    assert parameters.keys() == {"error", "state", "iss"} and parameters["error"] == [
        "access_denied"
    ]
    assert asking.paste(address) != 0
    assert "access_denied" in asking.output.read_text()
    assert asking.grants() == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_to_another_request(
    language: str, service: Service, projects: Path, tmp_path: Path
) -> None:
    asking = Asking(command(language, "live", projects, tmp_path), service, tmp_path / "output")
    address = re.sub("state=[^&]+", "state=another", asking.decide("approve"))
    assert asking.paste(address) != 0
    assert "this answers another request" in asking.output.read_text()
    assert asking.grants() == []
