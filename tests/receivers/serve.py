#!/usr/bin/env python3
"""Real receivers to test against: Apache Kafka (KRaft), an S3 server, a BigQuery emulator.

    serve.py kafka [NODES] | s3 | bigquery | install

Installs what it needs under target/receivers (Maven Central, the Go proxy, PyPI; Java and Maven from Debian's
packages), starts on free ports of 127.0.0.1 with empty data, and prints one line of JSON with the
addresses. It then takes commands, one a line, and answers each with a line of JSON; when standard
input ends, it ends all that it started. Commands of kafka: `topic NAME PARTITIONS`, `kill NODE`,
`revive NODE`. Of s3: `bucket NAME`, `locked NAME` (with Object Lock and a default retention).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / "target" / "receivers"
VERSITYGW = "v1.8.0"
BQEMULATOR = "1.4.0"
# The emulator insists on the spatial extension, which is packaged up to this version of DuckDB.
DUCKDB = "1.5.5"
# A start on a machine that is busy with builds takes long.
PATIENCE = 180.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def installing(name: str) -> Iterator[Path | None]:
    """The folder to install into; `None` where it is done. One process at a time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = CACHE / name
        if (folder / ".done").exists():
            yield None
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
        (folder / ".done").touch()


def run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(
        command,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")


def from_debian(command: str, *packages: str) -> None:
    if shutil.which(command):
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    run(*root, "apt-get", "update", "-qq")
    run(*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)


class Servers:
    """Processes in a folder of their own, which both end with this one."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="grantex-receiver-"))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.logs: list[IO[bytes]] = []

    def spawn(self, name: str, *command: str | Path, **environment: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        self.logs.append(log)
        self.processes[name] = subprocess.Popen(
            command,
            env=os.environ | environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def await_port(self, name: str, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            ended = self.processes[name].poll() is not None
            if ended or time.monotonic() > deadline:
                log = (self.folder / f"{name}.log").read_text(errors="replace")
                sys.exit(f"{name} does not listen on {port}\n{log[-3000:]}")
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def end(self) -> None:
        for process in self.processes.values():
            process.terminate()
        deadline = time.monotonic() + 5
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            process.kill()
            process.wait()
        for log in self.logs:
            log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Kafka(Servers):
    """One broker, or three of which one may be killed while `acks=all` still succeeds."""

    USER, PASSWORD = "forwarder", "forwarder-secret"

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.install()
        self.nodes = range(1, nodes + 1)
        self.plain = {node: free_port() for node in self.nodes}
        self.secure = {node: free_port() for node in self.nodes}
        self.control = {node: free_port() for node in self.nodes}
        self.certificate()
        cluster = subprocess.run(
            self.java("kafka.tools.StorageTool", "random-uuid"),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for node in self.nodes:
            config = self.configure(node)
            scram = [
                f"--add-scram=SCRAM-SHA-{bits}=[name={self.USER},password={self.PASSWORD}]"
                for bits in (256, 512)
            ]
            run(
                *self.java(
                    "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config), *scram
                )
            )
            self.start(node)
        for node in self.nodes:
            self.await_port(f"kafka{node}", self.plain[node])
        self.admin("--list")

    @staticmethod
    def install() -> None:
        from_debian("java", "default-jre-headless")
        with installing("kafka-4.1.1") as folder:
            if folder:
                from_debian("mvn", "maven")
                pom = HERE / "kafka-jars.xml"
                run(
                    "mvn",
                    "-q",
                    "-B",
                    "-f",
                    pom,
                    "dependency:copy-dependencies",
                    f"-DoutputDirectory={folder}",
                )

    @staticmethod
    def java(*command: str, heap: str = "-Xmx128m", level: str = "error") -> list[str]:
        quiet = f"-Dorg.slf4j.simpleLogger.defaultLogLevel={level}"
        return ["java", heap, quiet, "-cp", f"{CACHE / 'kafka-4.1.1'}/*", *command]

    def certificate(self) -> None:
        """A certificate authority, and the brokers' certificate from it."""
        key, own, ca = (
            self.folder / "broker.key",
            self.folder / "broker.pem",
            self.folder / "ca.pem",
        )
        subject = ["-newkey", "rsa:2048", "-nodes", "-days", "30"]
        run(
            "openssl",
            "req",
            "-x509",
            *subject,
            "-subj",
            "/CN=tests",
            "-keyout",
            self.folder / "ca.key",
            "-out",
            ca,
        )
        names = self.folder / "names"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        request = self.folder / "request"
        run("openssl", "req", *subject, "-subj", "/CN=localhost", "-keyout", key, "-out", request)
        signer: list[str | Path] = [
            "-CA",
            ca,
            "-CAkey",
            self.folder / "ca.key",
            "-CAcreateserial",
            "-extfile",
            names,
        ]
        run("openssl", "x509", "-req", "-in", request, *signer, "-days", "30", "-out", own)
        (self.folder / "keystore.pem").write_text(key.read_text() + own.read_text())

    def configure(self, node: int) -> Path:
        replicas, in_sync = (3, 2) if len(self.nodes) == 3 else (1, 1)
        voters = ",".join(f"{other}@127.0.0.1:{self.control[other]}" for other in self.nodes)
        modules = "org.apache.kafka.common.security"
        plain_login = (
            f'{modules}.plain.PlainLoginModule required user_{self.USER}="{self.PASSWORD}";'
        )
        plain, secure = (
            f"PLAINTEXT://127.0.0.1:{self.plain[node]}",
            f"SASL_SSL://127.0.0.1:{self.secure[node]}",
        )
        settings = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": voters,
            "listeners": f"{plain},{secure},CONTROLLER://127.0.0.1:{self.control[node]}",
            "advertised.listeners": f"{plain},{secure}",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.folder / "keystore.pem",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": plain_login,
            "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
            "log.dirs": self.folder / f"data{node}",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": 3,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.dedupe.buffer.size": 2097152,
            "log.segment.bytes": 67108864,
        }
        path = self.folder / f"kafka{node}.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return path

    def start(self, node: int) -> None:
        properties = str(self.folder / f"kafka{node}.properties")
        self.spawn(
            f"kafka{node}", *self.java("kafka.Kafka", properties, heap="-Xmx256m", level="warn")
        )

    def admin(self, *command: str) -> None:
        run(
            *self.java(
                "org.apache.kafka.tools.TopicCommand",
                "--bootstrap-server",
                self.brokers(self.plain),
                *command,
            )
        )

    @staticmethod
    def brokers(ports: dict[int, int]) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in ports.values())

    def addresses(self) -> dict[str, str]:
        return {
            "brokers": self.brokers(self.plain),
            "secure_brokers": self.brokers(self.secure),
            "ca_file": str(self.folder / "ca.pem"),
            "username": self.USER,
            "password": self.PASSWORD,
        }

    def command(self, words: list[str]) -> None:
        match words:
            case ["topic", name, partitions]:
                self.admin(
                    "--create", "--if-not-exists", "--topic", name, "--partitions", partitions
                )
            case ["kill", node]:
                self.kill(f"kafka{node}")
            case ["revive", node]:
                self.start(int(node))
                self.await_port(f"kafka{node}", self.plain[int(node)])
            case _:
                sys.exit(f"no command: {words}")


class S3(Servers):
    """versitygw over a folder: objects are files under `data`/BUCKET."""

    KEY, SECRET = "testkey", "testsecret123"

    def __init__(self) -> None:
        super().__init__()
        self.install()
        self.port = free_port()
        data, sidecar = self.folder / "data", self.folder / "meta"
        data.mkdir()
        sidecar.mkdir()
        server = CACHE / f"versitygw-{VERSITYGW}" / "versitygw"
        address = f"127.0.0.1:{self.port}"
        keys = {"ROOT_ACCESS_KEY": self.KEY, "ROOT_SECRET_KEY": self.SECRET}
        self.spawn(
            "s3", server, "--quiet", "--port", address, "posix", "--sidecar", sidecar, data, **keys
        )
        self.await_port("s3", self.port)

    @staticmethod
    def install() -> None:
        with installing(f"versitygw-{VERSITYGW}") as folder:
            if folder:
                module = f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW}"
                run("go", "install", module, GOBIN=str(folder))

    def addresses(self) -> dict[str, str]:
        return {
            "endpoint": f"http://127.0.0.1:{self.port}",
            "access_key_id": self.KEY,
            "secret_access_key": self.SECRET,
            "data": str(self.folder / "data"),
        }

    def put(self, path: str, body: str, *options: str) -> None:
        signed = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{self.KEY}:{self.SECRET}"]
        digest = hashlib.sha256(body.encode())
        checksum = f"x-amz-checksum-sha256: {base64.b64encode(digest.digest()).decode()}"
        content = [
            "-H",
            f"x-amz-content-sha256: {digest.hexdigest()}",
            "-H",
            checksum,
            "--data-binary",
            body,
        ]
        url = f"http://127.0.0.1:{self.port}/{path}"
        run("curl", "-sS", "--fail-with-body", *signed, "-X", "PUT", *content, *options, url)

    def command(self, words: list[str]) -> None:
        match words:
            case ["bucket", name]:
                (self.folder / "data" / name).mkdir(exist_ok=True)
            case ["locked", name]:
                self.put(name, "", "-H", "x-amz-bucket-object-lock-enabled: true")
                kept = "<Mode>COMPLIANCE</Mode><Days>1</Days>"
                rule = f"<Rule><DefaultRetention>{kept}</DefaultRetention></Rule>"
                enabled = f"<ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}"
                lock = f"<ObjectLockConfiguration>{enabled}</ObjectLockConfiguration>"
                self.put(f"{name}?object-lock=", lock)
            case _:
                sys.exit(f"no command: {words}")


class BigQuery(Servers):
    """bqemulator: the REST API and the Storage Write API over DuckDB, in memory, without
    credentials.
    """

    PROJECT, DATASET = "tests", "events"

    def __init__(self) -> None:
        super().__init__()
        self.install()
        self.rest, self.grpc = free_port(), free_port()
        home = CACHE / f"bqemulator-{BQEMULATOR}" / "home"
        ports = ["--rest-port", str(self.rest), "--grpc-port", str(self.grpc)]
        emulator = CACHE / f"bqemulator-{BQEMULATOR}" / "bin" / "bqemulator"
        options = ["--project", self.PROJECT, "--log-level", "warning"]
        quiet = {"HOME": str(home), "BQEMU_ENABLE_FORMAT_EXTENSIONS": "false"}
        self.spawn("bigquery", emulator, "start", *ports, *options, **quiet)
        self.await_port("bigquery", self.rest)
        self.await_port("bigquery", self.grpc)

    @staticmethod
    def install() -> None:
        with installing(f"bqemulator-{BQEMULATOR}") as folder:
            if folder:
                run(sys.executable, "-m", "venv", folder)
                packages = [
                    f"bqemulator=={BQEMULATOR}",
                    f"duckdb=={DUCKDB}",
                    f"duckdb-extension-spatial=={DUCKDB}",
                ]
                run(folder / "bin" / "pip", "install", "-q", *packages, "numpy")
                built = next(
                    folder.glob("lib/python3*/site-packages/duckdb_extension_spatial/extensions")
                )
                extension = built / f"v{DUCKDB}" / "spatial.duckdb_extension"
                home = folder / "home" / ".duckdb" / "extensions" / f"v{DUCKDB}" / "linux_amd64"
                home.mkdir(parents=True)
                shutil.copy(extension, home)

    def addresses(self) -> dict[str, str]:
        return {
            "endpoint": f"http://127.0.0.1:{self.rest}",
            "storage_endpoint": f"http://127.0.0.1:{self.grpc}",
            "project_id": self.PROJECT,
        }

    def command(self, words: list[str]) -> None:
        sys.exit(f"no command: {words}")


def main() -> None:
    # What was started ends also where this process is told to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    servers: Kafka | S3 | BigQuery
    match sys.argv[1:]:
        case ["install"]:
            for kind in (Kafka, S3, BigQuery):
                kind.install()
            return
        case ["kafka", *nodes]:
            servers = Kafka(int(nodes[0]) if nodes else 1)
        case ["s3"]:
            servers = S3()
        case ["bigquery"]:
            servers = BigQuery()
        case _:
            sys.exit(__doc__)
    try:
        print(json.dumps(servers.addresses()), flush=True)
        for line in sys.stdin:
            servers.command(line.split())
            print("{}", flush=True)
    finally:
        servers.end()


if __name__ == "__main__":
    main()
