"""Access control (W19, W21): API keys, the Host header, and web pages of other origins."""

from __future__ import annotations

import hmac
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from contracts.values.vocabulary import ClientIdentity
from pensieve.api.http.keys import KeyFile
from pensieve.core.errors import AuthenticationError

ANY_ORIGIN = "*"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,252}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccessRules:
    """`host` is the address that the server listens on. `cors_origins` are the web pages that may use it, and
    `allowed_hosts` further names that its clients know it by, in lower case. A client sends `api_key` or one of the
    named `keys`; without either setting, every client is accepted.
    """

    host: str
    api_key: str | None = None
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    keys: KeyFile | None = None

    def client(self, x_api_key: str | None, authorization: str | None, address: str) -> ClientIdentity:
        """Who sends a request. The key may be in either header; one that matches is enough.

        Raises:
            AuthenticationError: the server has keys, and neither header has one of them.
        """
        if self.api_key is None and self.keys is None:
            return ClientIdentity(address)
        scheme, _, token = (authorization or "").partition(" ")
        sent = [x_api_key, token.strip() if scheme.lower() == "bearer" else None]
        keys = [key for key in sent if key]
        if not keys:
            raise AuthenticationError("x-api-key: missing; send the key as x-api-key or as Authorization: Bearer")
        for key in keys:
            if (named := self.keys.find(key) if self.keys is not None else None) is not None:
                return ClientIdentity(named.name, named.namespace)
            if self.api_key is not None and hmac.compare_digest(key.encode(), self.api_key.encode()):
                return ClientIdentity(address)
        raise AuthenticationError("x-api-key: not a key of this server")

    def allows_host(self, host_header: str) -> bool:
        """Whether the Host header is that of this server. A page that uses DNS rebinding sends its own host name."""
        name = host_name(host_header)
        return not is_loopback(self.host) or is_loopback(name) or name in self.allowed_hosts

    def grants_origin(self, origin: str) -> bool:
        return origin in self.cors_origins or ANY_ORIGIN in self.cors_origins

    def is_own_origin(self, origin: str, host_header: str) -> bool:
        """Whether a page of this server itself sends the request: its origin is the Host that it was loaded from.

        That Host is an address or a name of this server. Any other name may be another site's, which it has pointed
        here (DNS rebinding).
        """
        scheme, _, authority = origin.partition("://")
        if scheme not in ("http", "https") or not authority or authority.lower() != host_header.lower():
            return False
        name = host_name(host_header)
        return name in self.allowed_hosts or is_loopback(name) or _is_address(name)


def is_loopback(host: str) -> bool:
    """localhost, 127.0.0.0/8 and ::1."""
    if host.lower().removesuffix(".") == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def why_refused(host_header: str) -> str:
    """What to do about a Host header that is not allowed, such as Docker's name for the machine it runs on."""
    name = host_name(host_header)
    if not _NAME.fullmatch(name):
        return "host: this server only accepts requests for localhost"
    return f"host: this server only accepts requests for localhost; to allow {name}, start it with --allow-host {name}"


def host_name(host_header: str) -> str:
    """The name in a Host header, in lower case, without the port and a final dot; empty if there is none."""
    try:
        name = urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return ""
    return "" if name.endswith("..") else name.removesuffix(".")
