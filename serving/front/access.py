"""Who a caller is, by what its request says, and whether it may make the call."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ...export.bundle.errors import AccessDenied
from .roles import CALLS, FREE, UNKNOWN
from .status import Code, Refusal
from .tokens import Caller, Tokens

_LOOK_S = 0.5
# Where there is no address: on a unix socket.
_LOCAL = "local"


class Access:
    """Tells callers.

    Args:
        tokens: the file of tokens; without one, callers are told by their addresses and may do everything.

    Raises:
        InvalidRequest: the tokens can't be read.
    """

    def __init__(self, tokens: Path | None) -> None:
        self._tokens = None if tokens is None else Tokens(tokens)

    def caller(self, peer: str, authorization: bytes | None, call: str = UNKNOWN) -> Caller:
        """Who sent a request, if it may make the call; of a call that is everybody's a stranger without any role.

        Args:
            peer: the client's address.
            call: its name in ``roles.CALLS``.

        Raises:
            Refusal: it needs a token, and has none that is known.
            AccessDenied: its token lacks the role.
        """
        if self._tokens is None:
            return Caller(peer or _LOCAL)
        roles = CALLS[call]
        if roles == FREE:
            return Caller(peer or _LOCAL, FREE)
        if (caller := self._tokens.caller(authorization)) is None:
            why = "needs a token" if authorization is None else "does not know this token"
            raise Refusal(Code.UNAUTHENTICATED, AccessDenied(f"the server {why}: set FRAMESIFT_TOKEN").wire())
        caller.check(roles, f"call {call}")
        return caller

    async def follow(self) -> None:
        """Read the tokens again whenever their file has changed."""
        while self._tokens is not None:
            self._tokens.refresh()
            await asyncio.sleep(_LOOK_S)
