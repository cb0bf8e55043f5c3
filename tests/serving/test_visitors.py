"""Who visits a shared page: cookies that nobody can forge, accounts, and limits."""

from __future__ import annotations

from pathlib import Path

import bcrypt
import pytest

from mmchat.errors import BusyError, OptionError
from mmchat.serving.visitors import Limits, Visitors, secret_of, signed_in


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_messages_within_a_minute_are_limited_for_each_visitor() -> None:
    clock = Clock()
    limits = Limits(a_minute=2, at_once=None, clock=clock)
    for wait in (0.0, 15.0):
        clock.now += wait
        with limits.answering("one"):
            pass
    with (
        pytest.raises(BusyError, match=r"^you have sent 2 messages within a minute: wait 45 s$"),
        limits.answering("one"),
    ):
        pytest.fail("let in")
    with limits.answering("two"):
        pass
    clock.now += 45.0
    with limits.answering("one"):
        pass


def test_answers_at_once_are_limited_for_each_visitor() -> None:
    limits = Limits(a_minute=None, at_once=1, clock=Clock())
    with limits.answering("one"):
        with pytest.raises(BusyError, match=r"^1 of your messages are being answered"), limits.answering("one"):
            pytest.fail("let in")
        with limits.answering("two"):
            pass
    with limits.answering("one"):
        pass


def test_who_has_gone_is_forgotten() -> None:
    clock = Clock()
    limits = Limits(a_minute=5, at_once=5, clock=clock)
    for caller in range(100):
        with limits.answering(str(caller)):
            pass
    clock.now += 61.0
    with limits.answering("last"):
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
