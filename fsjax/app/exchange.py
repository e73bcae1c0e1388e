"""A request and its answer, and what requests may say; anything else is refused in a sentence."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fsjax.app.session import RefusedError
from fsjax.segmenter.overlay import WAY_COLORS

MOST_CLASSES = len(WAY_COLORS)
"""Each has a colour of its own."""

LONGEST_NAME = 100


@dataclass(frozen=True)
class Request:
    """What a browser asks for.

    Attributes:
      query: what stands behind the address's question mark.
      name: of the file that is sent.
      length: bytes that are sent.
      read: returns them.
    """

    query: Mapping[str, str]
    name: str
    length: int
    read: Callable[[], bytes]

    def json(self) -> dict[str, Any]:
        """Returns what is sent, an object in JSON.

        Raises:
          RefusedError: it is none.
        """
        try:
            value = json.loads(self.read())
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise RefusedError(400, "The request holds no JSON object.")
        return value

    def share(self, name: str) -> float:
        """Returns a number of the address from 0 to 1, 0 where it is not given.

        Raises:
          RefusedError: it is something else.
        """
        return share(name, _number(self.query.get(name, "0"))) or 0.0


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
      body: its bytes.
      kind: of media.
      file: under which name it is to be saved; "" where it is to be shown.
      status: of HTTP.
    """

    body: bytes
    kind: str
    file: str = ""
    status: int = 200


def in_json(value: Any, status: int = 200) -> Answer:
    """Returns an answer in JSON."""
    return Answer(json.dumps(value, allow_nan=False).encode(), "application/json", status=status)


def share(name: str, value: Any) -> float | None:
    """Returns a number from 0 to 1, or None where there is none.

    Raises:
      RefusedError: it is something else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise RefusedError(400, f"{name} is {value!r:.40}: give a number from 0 to 1.")
    return float(value)


def numbers(name: str, value: Any) -> list[int]:
    """Returns a list of different photos' numbers.

    Raises:
      RefusedError: it is something else.
    """
    sound = isinstance(value, list) and all(type(number) is int for number in value)
    if not sound or len(set(value)) < len(value):
        raise RefusedError(400, f"{name} is {value!r:.40}: give a list of different numbers.")
    return value


def class_names(value: Any) -> list[str]:
    """Returns the names of classes 1 to N.

    Raises:
      RefusedError: they are too many, without letters, too long, or not unlike one another.
    """
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise RefusedError(400, "classes is no list of names.")
    names = [cleaned(name) for name in value]
    if not 1 <= len(names) <= MOST_CLASSES:
        raise RefusedError(422, f"There are {len(names)} classes: the page takes 1 to {MOST_CLASSES}.")
    if not all(names):
        raise RefusedError(422, "A class has no name: give it one.")
    if len(set(names)) < len(names):
        raise RefusedError(422, "Two classes have the same name: give them different ones.")
    return names


def cleaned(name: str) -> str:
    """Returns a name without what is not to be printed, and not too long."""
    printed = "".join(letter for letter in name if letter.isprintable())
    return printed.strip()[:LONGEST_NAME]


def painted(runs: Any, size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """Returns a mask.

    Args:
      runs: its labels row by row, in pairs of a label and how often it follows: [0, 120, 1, 7, ...].
      size: its height and width.

    Raises:
      RefusedError: it is no mask of this size.
    """
    wrong = RefusedError(400, f"The mask is none of {size[0]} x {size[1]} pixels.")
    if not isinstance(runs, list) or len(runs) % 2 or not all(type(number) is int for number in runs):
        raise wrong
    labels, counts = runs[::2], runs[1::2]
    sound = all(0 <= label <= MOST_CLASSES for label in labels) and all(count > 0 for count in counts)
    if not sound or sum(counts) != size[0] * size[1]:
        raise wrong
    return np.repeat(np.array(labels, np.uint8), counts).reshape(size)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
