"""Serves a page on which an object is painted on photos, and outlined in others.

    python -m fsjax.app                                    DINOv2-small's weights, fetched once
    python -m fsjax.app --model=runs/prnet_shapes_fold0    what a training has left
    python -m fsjax.app --model=resnet50.npz --port=8000

The address is printed; open it in a browser, and end the page with Ctrl-C. Only this computer can reach it,
unless --host says otherwise. Photos stay in the memory of this process: nothing is written to the disk, and
nothing is loaded from or sent to anywhere else.
"""

import ipaddress
import sys

from absl.flags import FlagValues

from fsjax import cli
from fsjax.app.model import described
from fsjax.app.server import Server
from fsjax.app.work import Work
from fsjax.errors import InputError
from fsjax.segmenter import Segmenter, loading

FLAGS = {
    "model": "A run's folder, a file of weights or an exported model, a hub's repository, or weights by "
    "name, as dinov2-base or imagenet; by default model.weights, or those of model.backbone, as a "
    "--config.FIELD gives them, and without any dinov2-small (Apache-2.0), or imagenet, on ResNet-50, where "
    "that cannot be had.",
    "config": "The configuration's file, where the model is weights; by default PRNet on their network.",
    "host": "The address to listen at; by default 127.0.0.1, which only this computer reaches.",
    "port": "The port; by default 7860, and 0 is any free one.",
}
HOST, PORT = "127.0.0.1", "7860"
LAST_PORT = 65535

STOPPED = "Stopped. All photos and masks of the page are gone."


def program(argv: list[str]) -> None:
    """Loads the model and serves the page until it is interrupted."""
    flags, settings = cli.parse(argv, __doc__, FLAGS)
    host, port = _address(flags)
    with Server(host, port) as server:
        model, config, why = cli.chosen_model(flags.model, flags.config, settings)
        config, method, variables = loading.load(model, config)
        about = " ".join(filter(None, [described(model, config, method.backbone), why]))
        server.work = Work(Segmenter.configured(config, method, variables), about)
        if not server.is_local:
            print(f"Whoever reaches {host} over the network can use this page, and sees photos unencrypted.")
        print(f"The page is at {server.address} (Ctrl-C ends it).", flush=True)
        try:
            server.serve_forever()
        finally:
            server.work.end()


def _address(flags: FlagValues) -> tuple[str, int]:
    """Returns the host and port to listen at.

    Raises:
      InputError: the host is no address, or the port no number of one.
    """
    host = HOST if flags.host in ("", "localhost") else flags.host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise InputError(f"--host is {host!r}: give an IP address, as {HOST}.") from None
    port = flags.port or PORT
    if not (port.isascii() and port.isdecimal() and int(port) <= LAST_PORT):
        raise InputError(f"--port is {port!r}: give a number from 0 to {LAST_PORT}.")
    return host, int(port)


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv, stopped=STOPPED)


if __name__ == "__main__":
    sys.exit(main())
