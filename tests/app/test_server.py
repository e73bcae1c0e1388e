"""Whom the page's server answers, what it refuses, and what does not end it."""

import json
import re
import socket
from contextlib import closing
from importlib import resources

import pytest

from fsjax.app import server as server_module
from fsjax.app.__main__ import main
from fsjax.app.server import FILES, Handler, Server
from tests.app.conftest import Browser, photo


def is_sentence(text):
    return text[0].isupper() and text.endswith(".") and "\n" not in text


def sent(server, text, *, end=False):
    """Sends bytes as they are; returns what comes back until the server closes."""
    with closing(socket.create_connection(("127.0.0.1", server.server_port), timeout=30)) as line:
        line.sendall(text)
        if end:
            line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: line.recv(65536), b""))


@pytest.mark.parametrize("path", FILES)
def test_the_page_is_served_and_may_load_nothing_else(server, path):
    status, headers, body = Browser(server).raw("GET", path)
    name, kind = FILES[path]
    assert (status, headers["Content-Type"]) == (200, kind)
    assert body == resources.files("fsjax.app").joinpath(name).read_bytes()
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy.pop("img-src") == "'self' data: blob:"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert policy["default-src"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert b"Python" not in headers["Server"].encode()
    assert not re.search(rb"(?:https?:)?//[a-z0-9]", body.replace(b"(at(", b""))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost"}, 201),
        ({"Host": "127.0.0.1:1"}, 201),
        ({"Host": "[::1]:7860"}, 201),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "192.168.0.7:7860"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[fe80::1]:80"}, 403),
        ({"Host": "[[::1]"}, 403),
        ({"Host": "LocalHost:7"}, 201),
        ({"Host": "localhost:7", "Origin": "http://localhost:7"}, 201),
        ({"Host": "localhost:7", "Origin": "http://localhost:8"}, 403),
        ({"Host": "localhost:7", "Origin": "https://localhost:7"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Transfer-Encoding": "chunked"}, 411),
        ({"Content-Length": "-1"}, 411),
        ({"Content-Length": "1e3"}, 411),
    ],
)
def test_only_the_page_itself_may_ask(server, headers, status):
    found, _, body = Browser(server).raw("POST", "/sessions", None, headers)
    assert found == status
    assert ("error" in json.loads(body)) == (status != 201)
    assert "error" not in json.loads(body) or is_sentence(json.loads(body)["error"])


def test_other_sites_may_neither_read_nor_frame_it(browser):
    status, headers, _ = browser.raw("GET", f"/sessions/{browser.session}", headers={"Host": "evil.example"})
    assert status == 403
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/page.py"), ("GET", "/../server.py"), ("GET", "/%2e%2e/server.py"), ("GET", "/["),
        ("POST", "/"), ("GET", "/sessions"), ("GET", "/sessions/../x"), ("PUT", "/sessions"),
    ],
)  # fmt: skip
def test_there_is_nothing_elsewhere(server, method, path):
    status, _, body = Browser(server).raw(method, path)
    assert (status, is_sentence(json.loads(body)["error"])) == (404, True)


def test_a_session_that_is_unknown_or_ended_is_gone(browser):
    assert browser.ask("GET", "")[0] == 200
    assert browser.ask("DELETE", "")[0] == 200
    for method, path in (("GET", ""), ("POST", "/fit"), ("GET", "/photos/1")):
        status, value = browser.ask(method, path, {} if method == "POST" else None)
        assert (status, is_sentence(value["error"])) == (410, True)


@pytest.mark.parametrize(
    "text",
    [b"", b"\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PATCH / HTTP/1.1\r\n\r\n",
     b"GET /" + 70_000 * b"a", b"GET / HTTP/1.1\r\nHost", b"\x16\x03\x01\x02\x00"],
)  # fmt: skip
def test_what_is_no_request_ends_nothing(server, text):
    answer = sent(server, text, end=True)
    assert not answer or b'"error"' in answer
    assert Browser(server).begin().session


def test_an_upload_that_breaks_off_is_refused_and_leaves_nothing(browser):
    encoded, _ = photo(0)
    head = (
        f"POST /sessions/{browser.session}/photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n"
    )
    answer = sent(browser.server, head.encode() + encoded[:100], end=True)
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"The upload broke off: send it again." in answer
    session = browser.server.work.sessions.find(browser.session)
    assert (session.photos, session.taken) == ({}, 0)


def test_a_browser_that_sends_nothing_more_is_let_go(browser, monkeypatch):
    monkeypatch.setattr(Handler, "timeout", 0.1)
    head = (
        f"POST /sessions/{browser.session}/photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n"
    )
    assert sent(browser.server, head.encode() + b"\x89PNG") == b""
    assert sent(browser.server, b"GET / HT") == b""
    assert browser.ask("GET", "") == (200, {"photos": 0})
    assert browser.server.work.sessions.find(browser.session).taken == 0


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), OSError("encoder error -2")]
)
def test_what_the_system_refuses_is_answered(browser, monkeypatch, capsys, error):
    def fails(*arguments):
        raise error

    monkeypatch.setitem(server_module.IN_SESSION, ("POST", "/fit"), fails)
    status, value = browser.ask("POST", "/fit", {})
    is_bug = isinstance(error, OSError)
    assert status == (500 if is_bug else 507)
    assert value["error"].startswith("This is a bug in fsjax (OSError)" if is_bug else "Memory is exhausted")
    assert ("Traceback" in capsys.readouterr().err) == is_bug


def test_a_bug_is_told_and_ends_nothing(browser, monkeypatch, capsys):
    def fails(*arguments):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(server_module.IN_SESSION, ("POST", "/fit"), fails)
    status, value = browser.ask("POST", "/fit", {})
    assert status == 500
    assert value["error"] == "This is a bug in fsjax (ZeroDivisionError): its traceback is in the terminal."
    assert "by nothing" in capsys.readouterr().err
    assert browser.ask("GET", "")[0] == 200


# The program


def refused(capsys, *arguments):
    assert main(["app", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def test_the_program_refuses_in_a_sentence(capsys, server, tmp_path):
    taken = refused(capsys, f"--port={server.server_port}")
    assert taken.startswith(f"Port {server.server_port} of 127.0.0.1 cannot be listened at (")
    assert taken.endswith("): name another with --port.")
    assert refused(capsys, "--port=http") == "--port is 'http': give a number from 0 to 65535."
    assert refused(capsys, "--port=65536") == "--port is '65536': give a number from 0 to 65535."
    assert (
        refused(capsys, "--host=example.org") == "--host is 'example.org': give an IP address, as 127.0.0.1."
    )
    assert refused(capsys, "--host=192.0.2.1").startswith("Port 7860 of 192.0.2.1 cannot be listened at")
    assert "did you mean --port?" in refused(capsys, "--prot=1")
    assert str(tmp_path / "run") in refused(capsys, f"--model={tmp_path / 'run'}", "--port=0")


@pytest.mark.parametrize(("host", "wide"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_a_wider_address_is_warned_of(host, wide, capsys, monkeypatch, model):
    served = []

    def once(server):
        served.append((server.answers_to("192.168.0.7:1"), server.answers_to("evil.example")))
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", once)
    assert main(["app", *model, f"--host={host}", "--port=0"]) == 130
    said = capsys.readouterr()
    assert ("Whoever reaches" in said.out) == wide
    assert re.search(r"The page is at http://[\w.-]+:\d+/ \(Ctrl-C ends it\)\.", said.out)
    assert said.err.strip() == "Stopped. All photos and masks of the page are gone."
    assert served == [(wide, False)]
