"""A visit to the page where only the loopback exists, in a process of its own: `python -m tests.app.visit`.

It starts the program and the browser, does what a user does, and writes what came of it.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib

from tests.app.browser import ARROW_UP, Page

PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def told(event, arguments):
    if event == "open" and arguments[0] != os.devnull and (arguments[2] or 0) & WRITING:
        print("WRITES", arguments[0], flush=True)
sys.addaudithook(told)
from fsjax.app.__main__ import main
sys.exit(main(sys.argv))
"""
"""The program, and a line for each file that it opens to write to."""

BROKEN = "not a photo.jpg"
DROP = """
const data = new DataTransfer();
data.items.add(new File(["no photo"], "dropped.txt"));
arguments[0].dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
"""


def loopback_up() -> None:
    """Does what `ip link set lo up` does."""
    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket() as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, get_flags, request))[1]
        if not flags & up:
            fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", flags | up))


@contextmanager
def served(arguments: Sequence[str], folder: Path):
    """Yields the program, in folders of its own, and the page's address."""
    places = {name: folder / "server" / name.lower() for name in ("HOME", "TMPDIR", "CWD")}
    for place in places.values():
        place.mkdir(parents=True)
    root = str(Path(__file__).parents[2])
    environment = {
        **os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1", "JAX_PLATFORMS": "cpu",
        "HOME": str(places["HOME"]), "TMPDIR": str(places["TMPDIR"]),
        "MPLCONFIGDIR": matplotlib.get_configdir(),  # where its fonts are known
    }  # fmt: skip
    command = [sys.executable, "-c", PROGRAM, *arguments, "--port=0", "--config.compilation_cache="]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=places["CWD"],
        env=environment,
    ) as program:
        said = []
        for line in program.stdout:
            said.append(line)
            if "http://" in line:
                break
        else:
            raise RuntimeError("".join(said))
        try:
            yield program, next(word for word in said[-1].split() if word.startswith("http://"))
        finally:
            program.kill()


def paint(page: Page) -> dict:
    """Paints both supports, one with a brush and one by its outline; returns what is told meanwhile."""
    told = {}
    page.slide("size", 60)
    page.open(0)
    page.paint([(0.75, 0.25), (0.6, 0.25)])
    told["painted"] = page.get("painted").text
    page.get("undo").click()
    told["undone"] = page.get("painted").text
    page.get("canvas").write(f"{ARROW_UP} ")
    told["by_keys"] = page.get("painted").text
    page.get("clear").click()
    page.paint([(0.6, 0.25), (0.9, 0.25)])
    page.open(1)
    page.paint([(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7)], "outline")
    page.get("add-class").click()
    page.paint([(0.1, 0.9)])
    page.paint([(0.5, 0.5)], "eraser")
    for number, name in enumerate(("disc", "dot")):
        page.all(".class input[type=text]")[number].rewrite(name)
    return told


def visit(page: Page, photos: Path) -> tuple[dict, dict[str, bytes]]:
    """Does it; returns what is seen, and what is saved."""
    files = {}
    page.get("support-files").write(str(photos / BROKEN))
    page.wait("!document.getElementById('message').hidden")
    told = {"broken": page.get("message").text}
    page.run(DROP, page.get("queries").name)
    page.wait("document.getElementById('message').textContent.includes('dropped')")
    told["dropped"] = page.get("message").text
    page.add("support", sorted(photos.glob("support_*")))
    told |= paint(page)
    for number in (0, 1):
        page.open(number)
        files[f"painted_{number}.png"] = page.saved(page.get("save-mask"), f"support_{number}.png")
    page.add("query", sorted(photos.glob("query_*")))
    page.segment()
    told["message"], told["cards"] = page.get("message").text, [card.text for card in page.all(".card")]
    saving = page.all(".card a")
    files["found_0.png"] = page.saved(saving[0], "query_0.png")
    page.slide("presence", 1)
    told["absent"] = [card.text for card in page.all(".card")]
    files["absent_0.png"] = page.saved(page.all(".card a")[0], "query_0.png")
    page.slide("presence", 0)
    for view in page.all("#view input"):
        view.click()
        page.wait(
            "[...document.querySelectorAll('.card img')].every(one => one.complete && one.naturalWidth)"
        )
    files["all.zip"] = page.saved(page.get("save-all"), "found.zip")
    page.slide("threshold", 0.9)
    page.segment()
    files["certain_0.png"] = page.saved(page.all(".card a")[0], "query_0.png")
    told["loaded"] = page.run(
        "return performance.getEntriesByType('resource').map(one => new URL(one.name).origin)"
    )
    told["origin"] = page.run("return location.origin")
    told["console"] = page.log()
    return told, files


def main(photos: str, out: str, *arguments: str) -> None:
    """Visits the page, and writes what came of it into a folder."""
    folder = Path(out)
    loopback_up()
    with served(arguments, folder) as (program, address):
        with Page.opened(address, folder) as page:
            told, files = visit(page, Path(photos))
        program.send_signal(signal.SIGINT)
        rest, _ = program.communicate(timeout=60)
    told["exit"], told["said"] = program.returncode, rest
    told["interfaces"] = [name for _, name in socket.if_nameindex()]
    told["left"] = [str(path) for path in (folder / "server").rglob("*") if not path.is_dir()]
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
