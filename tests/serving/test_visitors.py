"""Who visits a shared page: cookies that nobody can forge, accounts, and limits."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import bcrypt
import gradio as gr
import pytest

from mmchat.errors import BusyError, OptionError
from mmchat.serving.visitors import AN_ADDRESS, Caller, Limits, Visitors, secret_of, signed_in


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_messages_within_a_minute_are_limited_for_each_visitor() -> None:
    clock = Clock()
    limits = Limits(a_minute=2, at_once=None, clock=clock)
    for wait in (0.0, 15.0):
        clock.now += wait
        with limits.answering(Caller("one")):
            pass
    with (
        pytest.raises(BusyError, match=r"^you have sent 2 messages within a minute: wait 45 s$"),
        limits.answering(Caller("one")),
    ):
        pytest.fail("let in")
    with limits.answering(Caller("two")):
        pass
    clock.now += 45.0
    with limits.answering(Caller("one")):
        pass


def test_answers_at_once_are_limited_for_each_visitor() -> None:
    limits = Limits(a_minute=None, at_once=1, clock=Clock())
    with limits.answering(Caller("one")):
        with pytest.raises(BusyError, match=r"^1 of your messages are being answered"), limits.answering(Caller("one")):
            pytest.fail("let in")
        with limits.answering(Caller("two")):
            pass
    with limits.answering(Caller("one")):
        pass


def test_whoever_drops_the_cookie_has_the_allowance_of_the_address() -> None:
    """Others who are there at the same address are the more, as behind the router of a school."""
    clock = Clock()
    limits = Limits(a_minute=2, at_once=None, clock=clock)
    for number in range(2 * AN_ADDRESS):
        with limits.answering(Caller(f"fresh {number}", "192.0.2.1")):
            pass
    told = rf"^your address has sent {2 * AN_ADDRESS} messages within a minute: wait 60 s$"
    with pytest.raises(BusyError, match=told), limits.answering(Caller("another", "192.0.2.1")):
        pytest.fail("let in")
    for other in (Caller("another", "192.0.2.2"), Caller("user:ada")):
        with limits.answering(other):
            pass
    clock.now += 60.0
    with limits.answering(Caller("another", "192.0.2.1")):
        pass


def test_answers_at_once_to_one_address_are_limited() -> None:
    limits = Limits(a_minute=None, at_once=1, clock=Clock())
    with ExitStack() as stack:
        for number in range(AN_ADDRESS):
            stack.enter_context(limits.answering(Caller(f"fresh {number}", "192.0.2.1")))
        told = rf"^{AN_ADDRESS} messages from your address are being answered: wait for one of them$"
        with pytest.raises(BusyError, match=told), limits.answering(Caller("another", "192.0.2.1")):
            pytest.fail("let in")
    assert not limits._running


def test_who_is_refused_has_asked_nothing() -> None:
    """Otherwise one who goes on asking would use up what others of the address may ask."""
    limits = Limits(a_minute=1, at_once=None, clock=Clock())
    for _ in range(AN_ADDRESS + 1):
        with suppress(BusyError), limits.answering(Caller("one", "192.0.2.1")):
            pass
    with limits.answering(Caller("two", "192.0.2.1")):
        pass


def request(visitor: str | None, username: str | None = None) -> gr.Request:
    session = {} if visitor is None else {"visitor": visitor}
    made = SimpleNamespace(client=SimpleNamespace(host="192.0.2.1"), scope={"session": session})
    return gr.Request(made, username=username)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("visitors", "asked", "caller"),
    [
        (Visitors(), request(None), Caller("192.0.2.1")),
        (Visitors(shared=True), request("x"), Caller("x", "192.0.2.1")),
        (Visitors(shared=True), request(None), Caller("192.0.2.1")),
        (Visitors(shared=True), request("x", "ada"), Caller("user:ada")),
        (Visitors(shared=True, framed=True), request("x"), Caller("x")),
    ],
)
def test_limits_are_for_whom_one_can_tell_apart(visitors: Visitors, asked: gr.Request, caller: Caller) -> None:
    assert visitors.caller(asked) == caller


def test_who_has_gone_is_forgotten() -> None:
    clock = Clock()
    limits = Limits(a_minute=5, at_once=5, clock=clock)
    for caller in range(100):
        with limits.answering(Caller(str(caller), f"192.0.2.{caller}")):
            pass
    clock.now += 61.0
    with limits.answering(Caller("last")):
        pass
    assert set(limits._asked) == {"last"}
    assert not limits._running


def test_accounts_are_lines_of_htpasswd() -> None:
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
    check = signed_in([f"ada:{hashed}", f"bob:$2y{hashed[3:]}\n"])
    assert check is not None
    assert check("ada", "open sesame")
    assert check("bob", "open sesame"), "htpasswd writes $2y$"
    assert not check("ada", "open")
    assert not check("eve", "open sesame")
    assert not check("eve", "")
    assert signed_in([]) is None


@pytest.mark.parametrize("line", ["", "ada", "ada:", ":$2b$04$", "ada:open sesame", "ada:{SHA}abc"])
def test_what_is_no_account_is_said(line: str) -> None:
    with pytest.raises(OptionError, match="an account is NAME:HASH as `htpasswd -nB NAME` prints it"):
        signed_in([line])


def test_the_secret_is_kept_and_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "data" / "cookies.key"
    secret = secret_of(path)
    assert len(secret) > 30
    assert secret_of(path) == secret
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(OptionError, match="cookies cannot be kept"):
        secret_of(path / "below")


@pytest.mark.parametrize(("framed", "site"), [(False, "lax"), (True, "none")])
def test_a_cookie_reaches_a_frame_of_another_site_only_where_the_page_stands_in_one(framed: bool, site: str) -> None:
    """Browsers send one of SameSite=None over https alone."""
    session, _ = Visitors(shared=True, framed=framed).middleware("secret")
    assert (session.kwargs["same_site"], session.kwargs["https_only"]) == (site, framed)
