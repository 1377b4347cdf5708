"""Who may call what: tokens in a file, kept as hashes.

A line of the file is a caller's name, its roles, and the SHA-256 of its token:

    dashboard  search        sha256:9f86d081884c7d65...
    nightly    search,index  sha256:60303ae22b998861...
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import AccessDenied, InvalidRequest

_LOG = logging.getLogger(__name__)

SEARCH, INDEX, ADMIN = "search", "index", "admin"
ROLES = (SEARCH, INDEX, ADMIN)
_BEARER = b"bearer "
# What is hashed once has to be long and random: nobody chooses a token.
_TOKEN_BYTES = 32
_PREFIX = "fs_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LINE = re.compile(r"(?P<name>\S+)\s+(?P<roles>\S+)\s+sha256:(?P<digest>[0-9a-f]{64})")
_HELP = "make tokens with `framesift token`"


@dataclass(frozen=True)
class Caller:
    """Who calls: a token's name and roles, or an address that may do everything where there are no tokens."""

    name: str
    roles: frozenset[str] = frozenset(ROLES)

    def may(self, roles: frozenset[str]) -> bool:
        """Whether it has one of these roles; who administers has all."""
        return bool(self.roles & (roles | {ADMIN}))

    def check(self, roles: frozenset[str], what: str) -> None:
        """Let it do ``what`` if it has one of these roles; who administers has all.

        Raises:
            AccessDenied: it has none of them.
        """
        if not self.may(roles):
            wanted = " or ".join(sorted(roles | {ADMIN}))
            raise AccessDenied(f"the token of {self.name} may not {what}: that takes the role {wanted}")


class Tokens:
    """The tokens in a file, read again whenever it has changed.

    A change that can't be read leaves things as they are, is logged, and is tried again.

    Raises:
        InvalidRequest: there is no such file, or a line of it is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._callers = read_tokens(path)
        self._fault = ""

    def refresh(self) -> None:
        """Look whether the file has changed."""
        try:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._callers = read_tokens(self._path)
                # Not before: what could not be read now may be readable in a moment, and look the same.
                self._stamp = stamp
                _LOG.warning("%d tokens were read", len(self._callers))
            self._fault = ""
        except InvalidRequest as error:
            if str(error) != self._fault:
                _LOG.error("the tokens are left as they were: %s", error)
            self._fault = str(error)

    def caller(self, authorization: bytes | None) -> Caller | None:
        """Who sent a request with this header; None if that is not known."""
        if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
            return None
        digest = hashlib.sha256(authorization[len(_BEARER) :].strip()).digest()
        found = None
        # All are compared, each in constant time: how long it takes tells nothing.
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def read_tokens(path: Path) -> dict[bytes, Caller]:
    """The callers by the digests of their tokens.

    Raises:
        InvalidRequest: the file can't be read, or a line of it is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the tokens in {path} can't be read: {error}") from error
    found: dict[bytes, Caller] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = _LINE.fullmatch(line.strip())
        if parts is None:
            raise InvalidRequest(f"line {number} of {path} is no name, roles and sha256: {_HELP}")
        roles = check_roles(parts["roles"].split(","))
        found[bytes.fromhex(parts["digest"])] = Caller(check_name(parts["name"]), frozenset(roles))
    return found


def new_token(path: Path, name: str, roles: Sequence[str]) -> str:
    """Make a token, append its hash to the file, which is made if absent, and return it: it is kept nowhere.

    Raises:
        InvalidRequest: a name or role that can't be, a name that the file has already, or a file that can't be written.
    """
    check_name(name)
    check_roles(roles)
    if path.exists() and any(caller.name == name for caller in read_tokens(path).values()):
        raise InvalidRequest(f"{path} has a token of {name} already: remove its line first")
    token = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    line = f"{name} {','.join(roles)} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(0o600)
        before = path.read_text(encoding="utf-8")
        with path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + line if before and not before.endswith("\n") else line)
    except OSError as error:
        raise InvalidRequest(f"{path} can't be written: {error.strerror}") from error
    return token


def check_name(name: str) -> str:
    """The name itself.

    Raises:
        InvalidRequest: it is empty, long, or of other characters than letters, digits and ``._@-``.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no name for a caller: use up to 64 letters, digits and ._@-")
    return name


def check_roles(roles: Sequence[str]) -> Sequence[str]:
    """The roles themselves.

    Raises:
        InvalidRequest: there are none, or one is not known.
    """
    if unknown := [role for role in roles if role not in ROLES]:
        raise InvalidRequest(f"the role {unknown[0]!r} is unknown: there are {', '.join(ROLES)}")
    if not roles:
        raise InvalidRequest(f"a token needs a role: {', '.join(ROLES)}")
    return roles


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError as error:
        raise InvalidRequest(f"the tokens in {path} can't be read: {error.strerror}") from error
    # The time of the last change of state, which no program can set, also tells of new rights to read it.
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
