"""A server on 127.0.0.1 that answers as a model hub does, and its cache, for tests without a network."""

import hashlib
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HERE = "127.0.0.1"


class Hub(ThreadingHTTPServer):
    """Files by their paths, and what was asked for.

    Attributes:
      files: path -> contents, e.g. of "/timm/resnet50.tv_in1k/resolve/main/model.safetensors".
      refusals: path -> status and the hub's own code of an error.
      sent: path -> what GET sends in place of a file's contents.
      asked: method and path of each request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__((HERE, 0), _Answers)
        self.files, self.refusals, self.sent, self.asked = {}, {}, {}, []
        self.endpoint = f"http://{HERE}:{self.server_port}"

    def add(self, repository, contents, name="model.safetensors", revision="main"):
        self.files[f"/{repository}/resolve/{revision}/{name}"] = contents


class _Answers(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.asked.append((self.command, self.path))
        contents = self.server.files.get(self.path)
        status, code = self.server.refusals.get(self.path, (404, "EntryNotFound"))
        self.send_response(200 if contents is not None else status)
        self.send_header("X-Repo-Commit", COMMIT)
        if contents is None:
            self.send_header("X-Error-Code", code)
        else:
            self.send_header("ETag", f'"{hashlib.sha256(contents).hexdigest()}"')
            sent = self.server.sent.get(self.path, contents) if self.command == "GET" else contents
            self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if contents is not None and self.command == "GET":
            self.wfile.write(sent)

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *arguments):
        """Says nothing."""


@contextmanager
def serving():
    """Yields a running hub; it may be stopped before the end, by its `shutdown` and `server_close`."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


@contextmanager
def in_place_of_the_hub(monkeypatch, cache):
    """Yields a running hub that huggingface_hub takes for its own, with nothing in the cache.

    Its settings are read from the environment when it is imported, which may have been long ago.
    """
    connect = socket.socket.connect

    def only_here(self, address):
        assert self.family == socket.AF_UNIX or address[0] == HERE, f"a test reaches for {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.setenv("NO_PROXY", HERE)
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        huggingface_hub.close_session()
        try:
            yield hub
        finally:
            huggingface_hub.close_session()
