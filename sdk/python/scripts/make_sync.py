"""Makes `grantex/_sync` from `grantex/_async`; `--check` writes nothing and fails if files differ.

A rule that matches nothing fails too: the text that it was written for has changed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "grantex"
MADE = ("_transport", "_stream", "_events", "_resources", "_verifier", "_client")
HEAD = "# Made by scripts/make_sync.py from _async/{}.py: change that.\n\n"
WORDS = [
    (r"async (def|with|for) ", r"\1 "),
    (r"\bawait ", ""),
    (r"AsyncIterator", "Iterator"),
    (r"AsyncEventStream", "EventStream"),
    (
        r"\n    def forget\(self\) -> None:\n.+?\n        self\._connection = None\n",
        "",
    ),
    (r"\n    def aclose\(self\) -> None:\n +\"\"\"The same as `close`\..+?self\.close\(\)\n", ""),
    (r"Leaving `async with`", "Leaving `with`"),
    (r"from collections.abc import Awaitable, ", "from collections.abc import "),
    (r"Awaitable\[None\]", "None"),
    (r"httpx\.Async(Client|HTTPTransport)", r"httpx.\1"),
    (r"\bAsync([A-Z])", r"Sync\1"),
    (r"\bGrantex\b(?! service)", "SyncGrantex"),
    (r"\bTokenVerifier\b", "SyncTokenVerifier"),
    (r"\ba(close|read)\(", r"\1("),
    (r"aiter_bytes", "iter_bytes"),
    (r"__a(enter|exit)__", r"__\1__"),
    (
        r"Ends subscriptions, waits for calls that were started and not awaited,",
        "Ends subscriptions,",
    ),
    (r"The request starts at once, .+? is logged\.\s+", ""),
]


def made(text: str, name: str, matches: Counter[str]) -> str:
    """The synchronous module; adds to `matches` how often each rule applied."""
    for pattern, replacement in WORDS:
        text, count = re.subn(pattern, replacement, text, flags=re.DOTALL)
        matches[pattern] += count
    text = HEAD.format(name) + text
    for command in (["check", "--select=I,F401", "--fix", "--quiet"], ["format", "--quiet"]):
        path = PACKAGE / "_sync" / f"{name}.py"
        ruff = [sys.executable, "-m", "ruff", *command, f"--stdin-filename={path}", "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return text


def main() -> None:
    stale = []
    matches: Counter[str] = Counter()
    for name in MADE:
        target = PACKAGE / "_sync" / f"{name}.py"
        text = made((PACKAGE / "_async" / f"{name}.py").read_text(), name, matches)
        if not target.exists() or target.read_text() != text:
            stale.append(target.name)
            if "--check" not in sys.argv:
                target.write_text(text)
    unused = [pattern for pattern, _ in WORDS if not matches[pattern]]
    if unused:
        sys.exit("rules that match nothing, to be corrected or removed:\n" + "\n".join(unused))
    if stale and "--check" in sys.argv:
        sys.exit(f"run scripts/make_sync.py: {', '.join(stale)} would change")


if __name__ == "__main__":
    main()
