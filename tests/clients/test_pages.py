"""The pages that principals open, in a real browser: what is in sight, and whether it can be read."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from conftest import Service, until
from test_browser import CHROMIUM
from websockets.sync.client import ClientConnection, connect

PHONE = (390, 844)
DESK = (1280, 800)
SCHEMES = ("light", "dark")

# Each text with too little contrast to what is behind it (WCAG 2.2, 1.4.3), and each control whose
# edge has (1.4.11).
UNREADABLE = """(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) +
  0.05); const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parts(colour)[3] ?? 1) === 1) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const bad = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.getClientRects().length) continue;
    const found = contrast(getComputedStyle(element).color, behind(element));
    if (found < 4.5) bad.push([texts.currentNode.data.trim(), found]);
  }
  for (const control of document.querySelectorAll('button, a.button')) {
    const found = contrast(getComputedStyle(control).borderTopColor, behind(control.parentElement));
    if (found < 3) bad.push([control.textContent, found]);
  }
  return bad;
})()"""

# What of the page is not in sight before anybody scrolls: what the principal decides on, and the
# decision.
OUT_OF_SIGHT = """(() => {
  const form = document.querySelector('form.decide');
  const top = form.getBoundingClientRect().top;
  const hidden = [...form.querySelectorAll('button')]
    .filter((button) => button.getBoundingClientRect().bottom > innerHeight);
  for (let at = form.previousElementSibling; at; at = at.previousElementSibling) {
    if (at.getBoundingClientRect().bottom > top + 1) hidden.push(at);
  }
  return hidden.map((element) => element.textContent);
})()"""

OVERFLOWS = "document.documentElement.scrollWidth > innerWidth"


class Tab:
    """A tab, driven by the DevTools protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.ids = count(1)
        self.call("Page.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        wanted = next(self.ids)
        self.socket.send(json.dumps({"id": wanted, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(timeout=60))
            if answer.get("id") == wanted:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def evaluate(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def look(self, size: tuple[int, int], scheme: str) -> None:
        width, height = size
        is_phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=is_phone,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.loaded()

    def loaded(self) -> None:
        until(
            "the page is there",
            lambda: self.evaluate("document.readyState === 'complete' && !!document.body") or None,
        )

    def press(self, selector: str) -> None:
        """Clicks, and waits for the page that comes."""
        self.evaluate("window.isBefore = true")
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        until(
            "the next page comes",
            lambda: self.evaluate("window.isBefore !== true && !!document.body") or None,
        )
        self.loaded()

    def text(self) -> str:
        text: str = self.evaluate("document.body.innerText")
        return text

    def check(self, name: str) -> None:
        """Nothing on the page is hard to read or cut off, on a phone and at a desk, by day and by
        night.
        """
        for size in (PHONE, DESK):
            for scheme in SCHEMES:
                self.look(size, scheme)
                assert self.evaluate(UNREADABLE) == [], (name, size, scheme)
                assert not self.evaluate(OVERFLOWS), (name, size, scheme)
                if folder := os.environ.get("GRANTEX_SCREENSHOTS"):
                    picture = self.call("Page.captureScreenshot")["data"]
                    path = Path(folder) / f"{name}-{size[0]}-{scheme}.png"
                    path.write_bytes(base64.b64decode(picture))


@contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    browser = subprocess.Popen(
        [*CHROMIUM, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port_file = profile / "DevToolsActivePort"
        port = until(
            "the browser listens",
            lambda: port_file.read_text().split("\n")[0] if port_file.exists() else None,
        )
        tabs = until(
            "the browser answers",
            lambda: httpx.get(f"http://127.0.0.1:{port}/json/list").json() or None,
        )
        url = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(url, max_size=None) as socket:
            yield Tab(socket)
    finally:
        browser.kill()
        browser.wait()


def call(
    service: Service, key: str, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.request(
        method, f"{service.base}{path}", json=body, headers=headers
    ).raise_for_status()
    result: dict[str, Any] = answer.json()
    return result


def test_a_consent_page_shows_all_that_is_decided_on(service: Service, tmp_path: Path) -> None:
    made = (
        httpx.post(f"{service.base}/v1/signup", json={"name": "Acme Travel"})
        .raise_for_status()
        .json()
    )
    key = made["apiKey"]
    scopes = ["https://www.example.com/auth/calendar.readonly", "travel:book", "payments"]
    names = [
        {
            "scope": scopes[0],
            "name": "Read your calendar",
            "description": "Titles, times and places",
        },
        {"scope": "travel:book", "name": "Book flights and hotels"},
    ]
    call(service, key, "PUT", "/v1/scopes", {"scopes": names})
    agent = {"name": "Travel agent", "description": "Plans your trips and books what you agree to."}
    agent_id = call(service, key, "POST", "/v1/agents", agent)["agentId"]
    ask = {
        "agentId": agent_id, "principalId": "ada@example.com", "scopes": scopes, "expiresIn": "30d",
        "budget": {"initialBudget": "500", "currency": "EUR"},
    }  # fmt: skip
    with chromium(tmp_path / "profile") as tab:
        link = call(
            service,
            key,
            "POST",
            "/v1/authorize",
            {**ask, "redirectUri": "https://travel.example/cb"},
        )
        tab.look(PHONE, "light")
        tab.open(link["consentUrl"])
        assert tab.evaluate(OUT_OF_SIGHT) == []
        for text in (
            "Read your calendar",
            "Book flights",
            "500.00 EUR",
            "travel.example",
            "pass this access",
        ):
            assert text in tab.text()
        tab.check("consent")

        # A long request keeps its buttons in sight.
        many = [f"files.folder{number}:read" for number in range(40)]
        long = call(service, key, "POST", "/v1/authorize", {**ask, "scopes": many})
        tab.look(PHONE, "light")
        tab.open(long["consentUrl"])
        bottom = tab.evaluate(
            "document.querySelector('button.stop').getBoundingClientRect().bottom"
        )
        assert bottom <= PHONE[1]
        tab.check("consent-long")

        for decision, title in (("approve", "You approved this"), ("deny", "You denied this")):
            link = call(service, key, "POST", "/v1/authorize", ask)
            tab.open(link["consentUrl"])
            tab.press(f"button[value={decision}]")
            tab.check(f"{decision}-answer")
            tab.open(link["consentUrl"])
            assert title in tab.text()
            tab.check(f"{decision}-again")


def test_a_principal_sees_the_tree_and_is_asked_before_it_ends(
    service: Service, tmp_path: Path
) -> None:
    def agent(name: str) -> str:
        made: str = service.post("/v1/agents", {"name": name})["agentId"]
        return made

    def grant(agent_id: str, *scopes: str) -> dict[str, Any]:
        ask = {"agentId": agent_id, "principalId": "ada@example.com", "scopes": scopes}
        code = service.post("/v1/authorize", ask)["code"]
        return service.post("/v1/token", {"agentId": agent_id, "code": code})

    def pass_on(parent: dict[str, Any], agent_id: str, *scopes: str) -> dict[str, Any]:
        ask = {"parentGrantToken": parent["grantToken"], "subAgentId": agent_id, "scopes": scopes}
        return service.post("/v1/grants/delegate", ask)

    url = "https://www.example.com/auth/calendar.readonly"
    names = [
        {"scope": url, "name": "Read your calendar"},
        {"scope": "travel:book", "name": "Book trips"},
    ]
    call(service, service.key, "PUT", "/v1/scopes", {"scopes": names})
    travel, hotel, price = agent("Travel agent"), agent("Hotel finder"), agent("Price comparer")
    top = grant(travel, url, "travel:book")
    service.post(
        "/v1/budget/allocate", {"grantId": top["grantId"], "initialBudget": 500, "currency": "EUR"}
    )
    service.post("/v1/budget/debit", {"grantId": top["grantId"], "amount": "122.5"})
    below = pass_on(top, hotel, "travel:book")
    pass_on(below, price, "travel:book")
    service.revoke(pass_on(top, price, "travel:book")["grantId"])
    service.revoke(grant(hotel, "travel:book")["grantId"])
    grant(agent("Newsletter reader"), "mail:read")
    with chromium(tmp_path / "profile") as tab:
        tab.open(
            service.post("/v1/principal-sessions", {"principalId": "ada@example.com"})[
                "dashboardUrl"
            ]
        )
        assert "122.50 EUR used of 500.00 EUR" in tab.text()
        tab.evaluate("document.querySelector('details').open = true")
        tab.check("dashboard")
        tab.press(f"a[href$='{top['grantId']}']")
        assert "passed on from it, twice: to Hotel finder, Price comparer" in tab.text()
        assert "377.50 EUR" in tab.text()
        tab.look(PHONE, "light")
        assert tab.evaluate(OUT_OF_SIGHT) == []
        tab.check("revoke")
        tab.press("button.stop")
        assert "Travel agent" not in tab.text().split("Access that has ended")[0]
        tab.press("form[action$=sign-out] button")
        assert "Signed out" in tab.text()
        tab.check("signed-out")
