"""Who visits a page that several people share: a signed cookie for each browser, sign-in, and limits for each.

On a page that listens on this machine alone there is one person, whose history the command line shares.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import bcrypt
import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from mmchat.errors import BusyError, OptionError

_COOKIE = "mmchat_visitor"
_YEAR_S = 365 * 24 * 3600
_MINUTE_S = 60.0
AN_ADDRESS = 10
"""How many visitors' worth one address may ask: a school calls from one, and so does a script that drops its cookie."""


class _Greeting:
    """Gives each browser that opens the page a name of its own, in its signed session."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/":
            scope["session"].setdefault("visitor", secrets.token_urlsafe(16))
        await self._app(scope, receive, send)


@dataclass(frozen=True)
class Caller:
    """Whom limits are for."""

    name: str
    address: str | None = None
    """Where a browser calls from that nothing but its cookie tells from others: without the cookie it is another."""


@dataclass(frozen=True)
class Visitors:
    """Tells visitors apart."""

    shared: bool = False
    """Whether each browser has conversations of its own; otherwise there is one person."""
    framed: bool = False
    """Whether the page stands in a frame of another site, over https, as a Space's does: a browser sends its cookie
    there only if the cookie says so."""

    def owner(self, request: gr.Request) -> str | None:
        """Whose conversations these are; None for a program that came without the cookie."""
        if request.username:
            return f"user:{request.username}"
        if not self.shared:
            return ""
        session: dict[str, Any] = request.request.scope.get("session", {}) if request.request else {}
        return session.get("visitor")

    def caller(self, request: gr.Request) -> Caller:
        """Whom limits are for: the owner, or a program without the cookie, by its address."""
        address = str(request.client.host)
        owner = self.owner(request)
        if not owner:
            return Caller(address)
        # In a frame all come from the address of the other site's proxy, and an account says itself who it is.
        return Caller(owner) if request.username or self.framed else Caller(owner, address)

    def middleware(self, secret: str) -> list[Middleware]:
        """What a server needs to tell browsers apart."""
        if not self.shared:
            return []
        session = Middleware(
            SessionMiddleware,
            secret_key=secret,
            session_cookie=_COOKIE,
            max_age=_YEAR_S,
            same_site="none" if self.framed else "lax",
            https_only=self.framed,
        )
        return [session, Middleware(_Greeting)]


class Limits:
    """How much one visitor may ask, and `AN_ADDRESS` times as much all of one address."""

    def __init__(self, a_minute: int | None, at_once: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """None is without a limit."""
        self._a_minute = a_minute
        self._at_once = at_once
        self._clock = clock
        self._lock = Lock()
        self._asked: dict[str, deque[float]] = defaultdict(deque)
        self._running: dict[str, int] = defaultdict(int)

    @contextmanager
    def answering(self, caller: Caller) -> Iterator[None]:
        """While an answer is given.

        Raises:
            BusyError: the caller, or others of the same address, have had as many as they may.
        """
        parties = {caller.name: 1}
        if caller.address is not None:
            parties[f"from {caller.address}"] = AN_ADDRESS
        self._enter(parties)
        try:
            yield
        finally:
            with self._lock:
                for party in parties:
                    self._running[party] -= 1
                    if not self._running[party]:
                        del self._running[party]

    def _enter(self, parties: Mapping[str, int]) -> None:
        """Each with how many times the limit it has."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            for party, times in parties.items():
                self._check(party, times, now)
            for party in parties:
                self._asked[party].append(now)
                self._running[party] += 1

    def _check(self, party: str, times: int, now: float) -> None:
        asked, running = self._asked[party], self._running.get(party, 0)
        if self._at_once is not None and running >= self._at_once * times:
            whose = "of your messages" if times == 1 else "messages from your address"
            raise BusyError(f"{running} {whose} are being answered: wait for one of them")
        if self._a_minute is not None and len(asked) >= self._a_minute * times:
            who, wait = "you have" if times == 1 else "your address has", asked[0] + _MINUTE_S - now
            raise BusyError(f"{who} sent {len(asked)} messages within a minute: wait {wait:.0f} s")

    def _forget(self, now: float) -> None:
        """What was asked more than a minute ago, and callers of whom nothing is left."""
        for caller, asked in list(self._asked.items()):
            while asked and asked[0] <= now - _MINUTE_S:
                asked.popleft()
            if not asked and not self._running.get(caller):
                del self._asked[caller]
                self._running.pop(caller, None)


def signed_in(accounts: Sequence[str]) -> Callable[[str, str], bool] | None:
    """A check of name and password, for `gradio.Blocks.launch`.

    Args:
        accounts: lines as `htpasswd -nB NAME` prints them, NAME:HASH with bcrypt; none leaves the page open.

    Raises:
        OptionError: an account is no such line.
    """
    hashes = dict(_account(line) for line in accounts)
    if not hashes:
        return None
    nobody = bcrypt.hashpw(b"", bcrypt.gensalt(10))

    def check(name: str, password: str) -> bool:
        """A name that is unknown takes as long as one that is not."""
        right = bcrypt.checkpw(password.encode()[:72], hashes.get(name, nobody))
        return right and name in hashes

    return check


def _account(line: str) -> tuple[str, bytes]:
    name, colon, hashed = line.strip().partition(":")
    try:
        bcrypt.checkpw(b"", hashed.encode())
    except ValueError:
        name = ""
    if not name or not colon:
        raise OptionError("an account is NAME:HASH as `htpasswd -nB NAME` prints it, with bcrypt")
    return name, hashed.encode()


def secret_of(path: Path) -> str:
    """What cookies are signed with: the content of a file of this person's alone, which is made if it is not there.

    Raises:
        OptionError: it cannot be read or made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(32), encoding="ascii")
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise OptionError(f"{path}: the secret of the page's cookies cannot be kept: {error.strerror}") from error
