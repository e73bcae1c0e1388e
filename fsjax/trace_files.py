"""What a trace of JAX's profiler holds: steps, and the operations that devices spent their time on.

The operations and their times come from the trace's JSON, and what part of the program each belongs to from
the programs that lie beside it as protocol buffers.
"""

import gzip
import json
import re
import zlib
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from fsjax.errors import InputError

PHASES = ("adaptation", "backbone", "supports", "head", "loss", "optimizer")
"""Names that programs give their parts by `jax.named_scope`."""

CONTROL = ("while", "conditional", "call")
"""Operations that hold others, which are counted themselves."""

_PHASE = re.compile(rf"(?<![\w.])({'|'.join(PHASES)})(?![\w.])")


class Row(NamedTuple):
    """Operations of one kind in one phase.

    Attributes:
      operation: JAX's name of it, or XLA's, where it comes from no single one of JAX's.
      phase: of `PHASES`, with ", gradient" behind it in the backward pass; "other".
      times: how often it ran.
      time: milliseconds in all.
    """

    operation: str
    phase: str
    times: int
    time: float


class Traced(NamedTuple):
    """A trace.

    Attributes:
      kind: of the steps: training, evaluation or prediction; "" where there are none.
      steps: milliseconds of each.
      loading: milliseconds that they waited for their items, all together.
      rows: the operations, the costliest first.
    """

    kind: str
    steps: Sequence[float]
    loading: float
    rows: Sequence[Row]


def newest(folder: str | Path) -> Path:
    """Returns the folder of the newest trace in a folder of --profile.

    Raises:
      InputError: there is none.
    """
    found = sorted(Path(folder).glob("plugins/profile/*/*.trace.json.gz"))
    if not found:
        raise InputError(f"There is no trace in {folder}: name the folder of --profile.")
    return max(found, key=lambda path: path.stat().st_mtime).parent


def read(place: Path) -> Traced:
    """Returns what is in a trace.

    Raises:
      InputError: it is damaged.
    """
    events: list[dict[str, Any]] = []
    scopes: dict[tuple[str, str], str] = {}
    try:
        for path in sorted(place.glob("*.trace.json.gz")):
            with gzip.open(path) as file:
                events += json.load(file)["traceEvents"]
        for path in sorted(place.glob("*.xplane.pb")):
            for operation, scope in _scopes(path.read_bytes()):
                scopes[operation] = _shared(scopes.get(operation, scope), scope)
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, zlib.error) as error:
        raise InputError(f"The trace in {place} is damaged ({error}): make another.") from error
    whole = sorted((event for event in events if event.get("ph") == "X"), key=lambda event: event["ts"])
    steps = [event for event in whole if "step_num" in event.get("args", {})]
    inside = [event for event in whole if event["name"] == "loading" and _within(event, steps)]
    return Traced(
        steps[0]["name"] if steps else "",
        [event["dur"] / 1000 for event in steps],
        sum(event["dur"] for event in inside) / 1000,
        _rows(_operations(whole), scopes),
    )


def _within(event: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> bool:
    return any(step["ts"] <= event["ts"] <= step["ts"] + step["dur"] for step in steps)


def _operations(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, float]]:
    """Yields the program, the name and the milliseconds of each operation.

    A CPU may begin an operation and go on: then another event says when it ended, maybe in another thread.
    """
    ends: dict[str, deque[float]] = defaultdict(deque)
    for event in events:
        if event["name"].startswith("end: "):
            ends[event["name"].removeprefix("end: ")].append(event["ts"])
    for event in events:
        arguments = event.get("args", {})
        name = arguments.get("hlo_op", "")
        if not name or name.split(".")[0] in CONTROL:
            continue
        end, ended = event["ts"] + event["dur"], ends[name]
        while ended and ended[0] < event["ts"]:
            ended.popleft()
        if ended:
            end = max(end, ended.popleft())
        yield arguments.get("hlo_module", ""), name, (end - event["ts"]) / 1000


def _rows(operations: Iterator[tuple[str, str, float]], scopes: Mapping[tuple[str, str], str]) -> list[Row]:
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for program, name, time in operations:
        scope = scopes.get((program, name), "")
        kind = (scope.rpartition("/")[2] if "/" in scope else "") or name.split(".")[0]
        times[kind, _phase(scope)].append(time)
    rows = [Row(kind, phase, len(found), sum(found)) for (kind, phase), found in times.items()]
    return sorted(rows, key=lambda row: -row.time)


def _shared(scope: str, other: str) -> str:
    """Returns what two scopes begin with: a trace names programs alone, and several may have one name."""
    if scope == other:
        return scope
    pairs = zip(scope.split("/"), other.split("/"), strict=False)
    return "".join(f"{one}/" for one, two in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _phase(scope: str) -> str:
    """Returns the innermost phase of a scope as "jit(step)/transpose(jvp(loss))/dot_general"."""
    found = _PHASE.findall(scope)
    if not found:
        return "other"
    return f"{found[-1]}, gradient" if "transpose(" in scope else str(found[-1])


def _scopes(data: bytes) -> Iterator[tuple[tuple[str, str], str]]:
    """Yields program, operation and scope, "" where it has none, from an XSpace.

    XSpace.planes 1, XPlane.event_metadata 4, a map whose values are 2, XEventMetadata.stats 5,
    XStat.bytes_value 6: an HloProto; its hlo_module 1, name 1, computations 3, instructions 2, name 1,
    metadata 7, op_name 2.
    """
    for value in _inside(data, 1, 4, 2, 5, 6):
        for module in _inside(value, 1):
            program = b"".join(_inside(module, 1)).decode()
            for instruction in _inside(module, 3, 2):
                name = next(_inside(instruction, 1)).decode()
                yield (program, name), b"".join(_inside(instruction, 7, 2)).decode()


def _inside(data: bytes, number: int, *more: int) -> Iterator[bytes]:
    """Yields the fields of a number, and of numbers within them, of a message on the wire."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            _, place = _varint(data, place)
            continue
        size = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            size, place = _varint(data, place)
        if kind == 2 and key >> 3 == number:
            value = data[place : place + size]
            yield from _inside(value, *more) if more else (value,)
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Returns a number of seven bits a byte, and where the next field begins."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
