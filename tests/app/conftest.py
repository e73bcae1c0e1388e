"""A server in this process, and how it is asked."""

import http.client
import io
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from fsjax.app.server import Server
from fsjax.app.session import Limits
from fsjax.app.work import Work
from fsjax.data.images import InputSettings
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.segmenter import Segmenter
from tests.models.backbones.test_vgg_weights import convolutions
from tests.models.tiny import linear_backbone

WIDTH = 4
KERNEL = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
SEGMENTER = Segmenter(
    PRNet(linear_backbone()),
    {"backbone": {"params": {"kernel": KERNEL}}, "head": {}},
    FusionSettings(),
    InputSettings(size=32),
)


def photo(seed: int, height: int = 32, width: int = 48) -> tuple[bytes, np.ndarray]:
    """A PNG of a red square left and a blue one right on grey, and the mask of both, 1 and 2."""
    mask = np.zeros((height, width), np.uint8)
    mask[8:20, 6:18], mask[8:20, 28:40] = 1, 2
    noise = np.random.default_rng(seed).integers(-20, 21, (height, width, 3))
    pixels = np.uint8([[90, 90, 90], [230, 40, 40], [40, 40, 230]])[mask] + noise
    encoded = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(encoded, "PNG")
    return encoded.getvalue(), mask


def runs(mask: np.ndarray) -> list[int]:
    """A mask as the page sends it."""
    return [int(number) for label in mask.ravel() for number in (label, 1)]


def pixels(encoded: bytes) -> np.ndarray:
    """A picture's values."""
    return np.asarray(Image.open(io.BytesIO(encoded)))


@dataclass
class Browser:
    """Asks a server."""

    server: Server
    session: str = ""

    def raw(self, method, path, body=b"", headers=None):
        """Returns the status, the headers and the body of an answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=30)) as line:
            line.request(method, path, body, headers or {})
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read()

    def ask(self, method, path, value=None, *, body=b"", **headers):
        """Returns the status and the value of an answer about this session, or its body if it is no JSON."""
        body = body if value is None else json.dumps(value).encode()
        status, found, answer = self.raw(method, f"/sessions/{self.session}{path}", body, headers)
        is_json = found["Content-Type"] == "application/json"
        return status, json.loads(answer) if is_json else answer

    def begin(self) -> "Browser":
        """Begins a session."""
        status, _, body = self.raw("POST", "/sessions")
        assert status == 201, body
        self.session = json.loads(body)["session"]
        return self

    def add(self, encoded: bytes, name: str = "photo.png") -> int:
        """Adds a photo, and returns its number."""
        status, value = self.ask("POST", "/photos", body=encoded, **{"X-Name": quote(name)})
        assert status == 201, value
        return value["photo"]

    def fit(self, *supports, classes=("red", "blue")):
        """Adds supports with their masks, fits to them, and returns their numbers and the answer."""
        numbers = []
        for encoded, mask in supports:
            numbers.append(self.add(encoded))
            assert self.ask("PUT", f"/photos/{numbers[-1]}/mask", {"runs": runs(mask)}) == (200, {})
        return numbers, self.ask("POST", "/fit", {"supports": numbers, "classes": classes})


@contextmanager
def serving(limits: Limits) -> Iterator[Server]:
    """Yields a server that is at work in a thread."""
    with Server("127.0.0.1", 0) as server:
        server.work = Work(SEGMENTER, "a toy", limits)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="package")
def model(tmp_path_factory):
    """The flags that name a model: a VGG-16 of a twentieth of its width, without sense."""
    file, rng = tmp_path_factory.mktemp("model") / "vgg16.npz", np.random.default_rng(4)
    weights = {name: rng.normal(size=shape, scale=0.3) for name, shape in convolutions(WIDTH)}
    np.savez(file, **{name: np.float32(value) for name, value in weights.items()})
    return [f"--model={file}", f"--config.model.backbone_options.width={WIDTH}", "--config.eval.size=49"]


@pytest.fixture(scope="module")
def server():
    with serving(Limits(sessions=1000)) as server:
        yield server


@pytest.fixture
def browser(server):
    return Browser(server).begin()
