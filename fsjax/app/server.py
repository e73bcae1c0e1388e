"""The page's own web server: what it serves, to whom, and what it refuses.

It answers only to names of this computer, so that a web site cannot reach it under a name of its own (DNS
rebinding), and takes changes only from the page itself. The page may load nothing but what is served here.
"""

import ipaddress
import json
import logging
import re
import socket
import socketserver
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from fsjax.app.exchange import Answer, Request, in_json
from fsjax.app.session import RefusedError
from fsjax.app.work import IN_SESSION, Work
from fsjax.errors import InputError

LOG = logging.getLogger(__name__)

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/painter.js": ("painter.js", "text/javascript; charset=utf-8"),
    "/results.js": ("results.js", "text/javascript; charset=utf-8"),
    "/server.js": ("server.js", "text/javascript; charset=utf-8"),
}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

PATIENCE = 30.0
"""Seconds that a browser may take until it sends or takes something more."""

DISCARDED = 2
"""So many times the largest upload is read of one that is refused, so that the browser sees the answer."""

CHUNK = 2**16


class Server(ThreadingHTTPServer):
    """Listens at an address; `work` is set before it serves.

    Attributes:
      work: that is done.
      is_local: whether only this computer reaches it.
    """

    daemon_threads = True
    work: Work

    def __init__(self, host: str, port: int):
        """Begins to listen.

        Args:
          host: an IP address.
          port: 0 is any free one.

        Raises:
          InputError: the address is not this computer's, or the port is taken or not allowed.
        """
        self.is_local = ipaddress.ip_address(host).is_loopback
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise InputError(
                f"Port {port} of {host} cannot be listened at ({error.strerror}): name another with --port."
            ) from error

    def server_bind(self) -> None:
        """Binds; the usual one also looks the host's name up, perhaps in the network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        host = self.server_name
        if ipaddress.ip_address(host).is_unspecified:  # all of this computer's
            host = socket.gethostname()
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/"

    def answers_to(self, host: str) -> bool:
        """Says whether a name in a request's Host is this computer's."""
        name = re.sub(r":\d*$", "", host).lower()
        try:
            address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name == "localhost" or (not self.is_local and name == socket.gethostname().lower())
        return address.is_loopback or not self.is_local

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keeps quiet about browsers that go away."""
        LOG.debug("A connection broke off.", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """Answers one request and closes the connection."""

    server: Server
    server_version, sys_version = "fsjax", ""
    timeout = PATIENCE
    _left = 0

    def do_GET(self) -> None:
        """Answers."""
        self._answer()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _answer(self) -> None:
        try:
            answer = self._answered()
        except RefusedError as refused:
            answer = in_json({"error": refused.sentence}, refused.status)
        except InputError as error:
            answer = in_json({"error": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
        except (ConnectionError, TimeoutError):  # the browser has gone
            raise
        except Exception as error:
            answer = _told(error)
        self._discard()
        self._send(answer)

    def _answered(self) -> Answer:
        """Returns the answer.

        Raises:
          RefusedError: there is none.
          InputError: what was given is at fault.
        """
        self._left = self._length()
        self._check_sender()
        path, _, query = self.path.partition("?")
        if self.command == "GET" and path in FILES:
            name, kind = FILES[path]
            return Answer(resources.files("fsjax.app").joinpath(name).read_bytes(), kind)
        work = self.server.work
        if self._left > work.sessions.limits.upload:
            most = work.sessions.limits.upload / 2**20
            raise RefusedError(413, f"A photo may have {most:,.0f} MB at most: make it smaller.")
        request = Request(
            dict(parse_qsl(query)), unquote(self.headers.get("X-Name", "")), self._left, self._read
        )
        if (self.command, path) == ("POST", "/sessions"):
            return work.begin(request)
        session = re.fullmatch(r"/sessions/([\w-]+)((?:/[a-z.]+|/\d{1,9})*)", path, re.ASCII)
        if session is None:
            raise RefusedError(404, "There is nothing at this address.")
        name, rest = session.groups()
        if self.command == "DELETE" and not rest:
            work.sessions.end(name)
            return in_json({})
        done = IN_SESSION.get((self.command, re.sub(r"/\d+", "/N", rest)))
        if done is None:
            raise RefusedError(404, "There is nothing at this address.")
        return done(work, work.sessions.find(name), request, *map(int, re.findall(r"/(\d+)", rest)))

    def _length(self) -> int:
        """Returns how many bytes are sent behind the headers.

        Raises:
          RefusedError: that is not said in a way that is understood.
        """
        text = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"\d{1,15}", text, re.ASCII):
            raise RefusedError(411, "The request does not say how long it is.")
        return int(text)

    def _check_sender(self) -> None:
        """Makes sure that the page itself asks.

        Raises:
          RefusedError: somebody else does.
        """
        host = self.headers.get("Host", "")
        if not self.server.answers_to(host):
            raise RefusedError(403, f"Open the page as {self.server.address}, not under another name.")
        origin = self.headers.get("Origin")
        if self.command != "GET" and origin not in (None, f"http://{host}"):
            raise RefusedError(403, "Only the page itself may ask for this.")

    def _read(self) -> bytes:
        """Returns what is sent, to its end.

        Raises:
          RefusedError: it breaks off.
        """
        body = self.rfile.read(self._left)
        missing, self._left = self._left - len(body), 0
        if missing:
            raise RefusedError(400, "The upload broke off: send it again.")
        return body

    def _discard(self) -> None:
        """Reads what was sent and not asked for: closed before, the browser would not see the answer."""
        left = min(self._left, DISCARDED * self.server.work.sessions.limits.upload)
        while left > 0 and (read := self.rfile.read(min(left, CHUNK))):
            left -= len(read)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.file:
            name = quote(answer.file, safe="")
            self.send_header("Content-Disposition", f"attachment; filename*=UTF-8''{name}")
        self.end_headers()
        self.wfile.write(answer.body)

    def end_headers(self) -> None:
        """Adds the headers that every answer has."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no request that is understood."""
        sentence = message or HTTPStatus(code).phrase
        self._send(Answer(json.dumps({"error": f"{sentence}."}).encode(), "application/json", status=code))

    def log_message(self, format: str, *args: Any) -> None:
        """Logs only where debugging is asked for: addresses hold sessions' names."""
        LOG.debug(format, *args)


def _told(error: Exception) -> Answer:
    """Returns what is said of an error that nobody foresaw."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        sentence = "Memory is exhausted: use smaller photos, or fewer."
        return in_json({"error": sentence}, HTTPStatus.INSUFFICIENT_STORAGE)
    traceback.print_exception(error)
    what = f"This is a bug in fsjax ({type(error).__name__}): its traceback is in the terminal."
    return in_json({"error": what}, HTTPStatus.INTERNAL_SERVER_ERROR)
