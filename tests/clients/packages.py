"""The SDKs as their users get them: packed, and installed into an empty project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SNIPPETS = HERE / "snippets"
# The documents' fragments take these as given.
TYPESCRIPT_HEAD = """import { Grantex } from '@grantex/sdk';
const grantex = new Grantex({ apiKey: process.env.GRANTEX_API_KEY });
"""
GO_MAIN = """package main

import (
	"context"
	"fmt"
	"log"
	"os"

	grantex "grantex.dev/go"
)

func main() {
	ctx := context.Background()
	client := grantex.NewClient(os.Getenv("GRANTEX_API_KEY"))
	_ = log.Ldate
"""


def shell(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What a command prints; its errors where it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


# The language of a program in the documents, and its file in the projects.
FIRST_GRANT = {"sh": "sh", "ts": "ts", "python": "py", "go": "go", "rust": "rs"}


def blocks(document: Path, language: str, heading: str = "") -> list[str]:
    """The code of a language that a document shows, or one of its sections (`## heading`)."""
    text = document.read_text()
    if heading:
        text = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"^```{language}(?:,\w+)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def first_grant(language: str) -> dict[str, str]:
    """The two programs of "Your first grant" in this language."""
    document = ROOT / "docs" / "first-grant.md"
    programs = {}
    for name, heading in {"sandbox": "In a sandbox", "live": "Live, with PKCE"}.items():
        (programs[name],) = blocks(document, language, heading)
    return programs


def typescript(project: Path) -> None:
    """The tarball in an empty project; the documents' programs compiled with `tsc --strict`."""
    sdk = ROOT / "sdk" / "typescript"
    if not (sdk / "node_modules").exists():
        shell("npm", "ci", "--no-audit", "--no-fund", cwd=sdk)
    shell("npm", "pack", "--pack-destination", project, cwd=sdk)
    tarball = next(project.glob("*.tgz"))
    (project / "package.json").write_text('{"private": true, "type": "module"}')
    versions = [
        "typescript@5.9.3",
        "@types/node@18.19.130",
        "node@18.20.8",
        "deno@2.9.6",
        "bun@1.4.5",
    ]
    shell("npm", "install", "--no-audit", "--no-fund", tarball, *versions, cwd=project)
    for snippet in (SNIPPETS / "typescript").glob("*.ts"):
        text = snippet.read_text()
        (project / snippet.name).write_text(text if "import {" in text else TYPESCRIPT_HEAD + text)
    # The subscription of the document, that nobody ends.
    subscribed = (project / "subscribe.ts").read_text().replace("unsubscribe();", "")
    (project / "subscribed.ts").write_text(subscribed)
    shutil.copy(sdk / "examples" / "follow.ts", project)
    for name, text in first_grant("ts").items():
        (project / f"{name}.ts").write_text(text)
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node"]
    shell("node_modules/.bin/tsc", *options, *sorted(project.glob("*.ts")), cwd=project)


def destinations_node(project: Path) -> None:
    """The tarball with this platform's binary in an empty project; the guide's programs for
    `import` and `require`.
    """
    sdk = ROOT / "sdk" / "destinations-node"
    if not (sdk / "node_modules").exists():
        shell("npm", "ci", "--no-audit", "--no-fund", cwd=sdk)
    if not list(sdk.glob("*.node")):
        shell("npm", "run", "build:debug", cwd=sdk)
    shell("npm", "pack", "--pack-destination", project, cwd=sdk)
    (project / "package.json").write_text('{"private": true, "type": "module"}')
    versions = ["typescript@5.9.3", "@types/node@18.19.130", "node@18.20.8"]
    shell(
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        next(project.glob("*.tgz")),
        *versions,
        cwd=project,
    )
    guide = SNIPPETS / "destinations"
    basic = (guide / "basic.ts").read_text()
    # Where the guide has it: before the start, which ends with the process.
    basic = basic.replace(
        "// Start streaming", (guide / "shutdown.ts").read_text() + "// Start streaming"
    )
    (project / "basic.ts").write_text(basic)
    required = basic.replace("await source.start()", "source.start()")
    (project / "basic.cts").write_text(required)
    custom = (guide / "custom.ts").read_text()
    for comment, code in {
        "// Forward to your system": "console.log(event.type);",
        "// Flush any buffered events": "console.log('flushed');",
        "// Clean up resources": "console.log('closed');",
    }.items():
        custom = custom.replace(comment, code)
    head = "import { EventSource } from '@grantex/destinations';\n"
    tail = """
const source = new EventSource({ apiKey: process.env.GRANTEX_API_KEY! });
source.addDestination(new MyDestination());
process.once('SIGTERM', () => source.stop());
await source.start();
"""
    (project / "custom.ts").write_text(head + custom + tail)
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node"]
    shutil.copy(guide / "custom.ts", project / "unchanged.ts")
    # The binary as a platform's package has it, for where the main package's own is another
    # platform's.
    (sdk / "artifacts").mkdir(exist_ok=True)
    shutil.copy(next(sdk.glob("*.node")), sdk / "artifacts")
    shell("node", "scripts/platforms.mjs", project / "platforms", cwd=sdk)
    shutil.rmtree(sdk / "artifacts")
    names = ["basic.ts", "basic.cts", "custom.ts", "unchanged.ts"]
    shell("node_modules/.bin/tsc", *options, *names, cwd=project)


def python(project: Path) -> None:
    """The wheel in an environment of its own; the examples type-checked against it."""
    sdk = ROOT / "sdk" / "python"
    shell(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        project,
        sdk,
        cwd=project,
    )
    shell(sys.executable, "-m", "venv", "venv", cwd=project)
    shell("venv/bin/pip", "install", "--quiet", next(project.glob("*.whl")), cwd=project)
    for name, text in (
        (path.name, path.read_text()) for path in (SNIPPETS / "python").glob("*.py")
    ):
        text = text.replace("gx_live_...", os.environ["GRANTEX_DOCUMENT_KEY"])
        if name != "monitor.py":
            # The document's `async with` stands where only a shell for asyncio takes it.
            head, body = text.split("\n\n", 1)
            lines = [f"    {line}".rstrip() for line in body.splitlines()]
            text = "\n".join(
                ["import asyncio", head, "async def main():", *lines, "asyncio.run(main())"]
            )
        (project / name).write_text(text)
    subscribed = (
        (project / "subscribe.py").read_text().replace("unsubscribe()", "await asyncio.sleep(3600)")
    )
    (project / "subscribed.py").write_text(subscribed)
    readme = blocks(sdk / "README.md", "python", "Streams")
    (project / "monitor_with_cursor.py").write_text(readme[-1])
    for name, text in first_grant("python").items():
        (project / f"{name}.py").write_text(text)
    for example in ("follow.py", "follow_sync.py"):
        shutil.copy(sdk / "examples" / example, project)
        check = [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--python-executable",
            "venv/bin/python",
            example,
        ]
        shell(*check, cwd=project)


def go(project: Path) -> None:
    """The module's own files as a dependency of an empty module."""
    sdk = project / "sdk"
    ignored = shutil.ignore_patterns("*_test.go", "testdata", "examples")
    shutil.copytree(ROOT / "sdk" / "go", sdk, ignore=ignored)
    shell("go", "mod", "init", "example.com/empty", cwd=project)
    shell(
        "go",
        "mod",
        "edit",
        "-require",
        "grantex.dev/go@v0.1.0",
        "-replace",
        "grantex.dev/go=./sdk",
        cwd=project,
    )
    shutil.copytree(ROOT / "sdk" / "go" / "examples" / "follow", project / "follow")
    for name in ("stream", "subscribe"):
        folder = project / name
        folder.mkdir()
        fragment = (SNIPPETS / "go" / f"{name}.go.txt").read_text()
        (folder / "main.go").write_text(f"{GO_MAIN}{fragment}}}\n")
    for name, text in first_grant("go").items():
        (project / name).mkdir()
        (project / name / "main.go").write_text(text)
    (project / "worker").mkdir()
    readme = blocks(ROOT / "sdk" / "go" / "README.md", "go", "Streams")
    (project / "worker" / "main.go").write_text(readme[-1])
    for name in ("follow", "stream", "subscribe", "sandbox", "live", "worker"):
        shell("go", "build", "-o", f"bin/{name}", f"./{name}", cwd=project)


def rust(project: Path) -> None:
    """The packed crates as dependencies of an empty crate."""
    packing = [
        "package",
        "--quiet",
        "--allow-dirty",
        "--no-verify",
        "-p",
        "grantex-types",
        "-p",
        "grantex",
    ]
    shell("cargo", *packing, cwd=ROOT)
    patches = []
    for crate in ("grantex-types", "grantex"):
        shell("tar", "xzf", ROOT / "target" / "package" / f"{crate}-0.1.0.crate", cwd=project)
        patches.append(f'{crate} = {{ path = "../{crate}-0.1.0" }}')
    empty = project / "empty"
    (empty / "src").mkdir(parents=True)
    shutil.copy(ROOT / "crates" / "grantex" / "examples" / "follow.rs", empty / "src" / "main.rs")
    (empty / "src" / "bin").mkdir()
    for name, text in first_grant("rust").items():
        (empty / "src" / "bin" / f"first_grant_{name}.rs").write_text(text)
    shutil.copy(ROOT / "Cargo.lock", empty)
    (empty / "Cargo.toml").write_text(
        "\n".join(
            [
                '[package]\nname = "follow"\nedition = "2024"\n[workspace]\n[dependencies]\ngrantex = "0.1.0"',
                'futures-util = { version = "0.3", default-features = false }',
                'tokio = { version = "1", features = ["macros", "rt"] }',
                # What the first grant's verifier and address take.
                'base64 = "0.23"\nsha2 = "0.11"\nurl = "2"\ngetrandom = "0.4"',
                "[patch.crates-io]",
                *patches,
                # As in the workspace, so that what is built there is used.
                '[profile.dev]\ndebug = "line-tables-only"',
                "[profile.dev.package.aws-lc-sys]\nopt-level = 2",
            ]
        )
    )
    shell("cargo", "build", "--quiet", cwd=empty, CARGO_TARGET_DIR=str(ROOT / "target"))


def followers(folder: Path) -> dict[str, Sequence[str | Path]]:
    """The command of each language's follower, in the projects below `folder`."""
    script = folder / "typescript" / "follow.js"
    runtimes = folder / "typescript" / "node_modules" / ".bin"
    return {
        "rust": [ROOT / "target" / "debug" / "follow"],
        "typescript": ["node", script],
        "typescript, the oldest Node": [runtimes / "node", script],
        "typescript, Deno": [runtimes / "deno", "run", "--allow-all", "--quiet", script],
        "typescript, Bun": [runtimes / "bun", script],
        "python": [folder / "python" / "venv" / "bin" / "python", folder / "python" / "follow.py"],
        "python, sync": [
            folder / "python" / "venv" / "bin" / "python",
            folder / "python" / "follow_sync.py",
        ],
        "go": [folder / "go" / "bin" / "follow"],
    }
