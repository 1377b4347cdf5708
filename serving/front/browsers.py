"""What keeps the pages of others from calling through a reader's browser.

A browser that shows somebody's page sends requests for it to any address that its machine reaches. It says whose page
asks (``Origin``, ``Sec-Fetch-Site``), and it can be led to take this address for that of the page itself (DNS
rebinding), which shows in ``Host``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from ...export.bundle.errors import AccessDenied

# A token in a cookie, for what a browser asks by itself: pictures, films and pages bring no header of ours.
COOKIE = "framesift"
_COOKIE = COOKIE.encode()
_FOREIGN = (b"cross-site", b"same-site")
_SAFE = ("GET", "HEAD")
# Every browser says one of these, whatever a page's script wants: of the last it can change the value alone. It is all
# that shows in a GET by plain HTTP to the page's own name, which may have been led here. Clients of gRPC, probes and
# Prometheus say none of them.
_OF_BROWSERS = frozenset((b"origin", b"sec-fetch-site", b"accept-language"))


class Browsers:
    """Checks requests.

    Args:
        names: by which the door is known, beside its address and ``localhost``.
        known: callers need tokens. A page that was led here by its own name has none, so names are not looked at.
    """

    def __init__(self, names: frozenset[str], *, known: bool) -> None:
        self._names, self._known = names | {"localhost"}, known

    def check(self, method: str, headers: Mapping[bytes, bytes], *, page: bool = False) -> None:
        """Refuse what a page of somebody else asks for.

        Args:
            page: what is asked for is a page, to which others may link.

        Raises:
            AccessDenied: it was asked for by such a page, or for a name that the door does not have.
        """
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._known and not self._has(host):
            bare = _bare(host)[:100]
            raise AccessDenied(f"this server is not called {bare!r}: use its address, or start it with --name {bare}")
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != host.encode("latin-1"):
            raise AccessDenied(f"a page of {origin[:100].decode('latin-1')} may not call this server")
        linked = page and method in _SAFE and headers.get(b"sec-fetch-mode") == b"navigate"
        if headers.get(b"sec-fetch-site") in _FOREIGN and not linked:
            raise AccessDenied("a page of somebody else may not call this server")

    def check_if_one(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        """The same for what programs ask for by any name: refused to a browser alone.

        Raises:
            AccessDenied: as ``check``.
        """
        if not _OF_BROWSERS.isdisjoint(headers):
            self.check(method, headers)

    def _has(self, host: str) -> bool:
        name = _bare(host)
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def authorization(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The token in a request's cookie, as the header that stands for it; None where there is none."""
    # The library's reader unpacks quotes, which no token has, in a time that is quadratic in their number.
    for part in headers.get(b"cookie", b"").split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == _COOKIE:
            return b"Bearer " + value
    return None


def _bare(host: str) -> str:
    """A host without its port, in small letters."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower().rstrip(".")
