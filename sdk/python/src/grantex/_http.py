"""Proxies and certificates of the environment, read at the first call and only for the service's host.

The HTTP library reads all of them when a client is created, and fails on entries that do not
concern the service.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from typing import Any, Optional
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from ._errors import ConfigurationError
from ._redact import redacted, redacted_url

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)


def transport_options(base_url: str) -> dict[str, Any]:
    """The transport's options for this base URL; raises `ConfigurationError` that says what to change."""
    verify: Any = False
    if base_url.lower().startswith("https:"):
        verify = _certificates()
    return {"verify": verify, "limits": LIMITS, "proxy": _proxy(base_url)}


def made(transport: Any, base_url: str) -> Any:
    """A transport of this class for the service at this base URL."""
    options = transport_options(base_url)
    try:
        return transport(**options)
    except ImportError:
        raise ConfigurationError(
            f"the environment names a SOCKS proxy, {redacted_url(str(options['proxy']))!r}: "
            "install httpx[socks], or list the service's host in NO_PROXY"
        ) from None
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"the environment's proxy {redacted_url(str(options['proxy']))!r} cannot be used "
            f"({redacted(str(error))}): change it, or list the service's host in NO_PROXY"
        ) from None


def _certificates() -> ssl.SSLContext:
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        if file or folder:
            return ssl.create_default_context(cafile=file or None, capath=folder or None)
        return httpx.create_ssl_context()
    except OSError as error:
        names = " and ".join(
            f"{name}={value!r}"
            for name, value in (("SSL_CERT_FILE", file), ("SSL_CERT_DIR", folder))
            if value
        )
        raise ConfigurationError(f"the certificates of {names} cannot be read: {error}") from None


def _proxy(base_url: str) -> Optional[str]:
    proxies = getproxies()
    parts = urlsplit(base_url)
    found = proxies.get(parts.scheme.lower()) or proxies.get("all")
    if not found or _is_excepted(parts.hostname or "", parts.port, proxies.get("no", "")):
        return None
    return found if "://" in found else f"http://{found}"


def _is_excepted(host: str, port: Optional[int], excepted: str) -> bool:
    """Whether `NO_PROXY` names the host: by itself, a domain above it, an address or a range of them.

    An entry that cannot be read is ignored.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for entry in (entry.strip().lower() for entry in excepted.split(",")):
        if entry == "*":
            return True
        name, its_port = _split(entry)
        if not name or (its_port and its_port != str(port or "")):
            continue
        if address is None:
            name = name.lstrip("*").lstrip(".")
            if host == name or host.endswith(f".{name}"):
                return True
            continue
        try:
            if address in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:
            continue
    return False


def _split(entry: str) -> tuple[str, str]:
    """The host of an entry, and its port if it has one."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.lstrip(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""
