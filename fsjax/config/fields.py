"""A field of a configuration: its default, what is allowed, one line of help."""

import ast
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fsjax.errors import InputError

SEED = 2**31 - 1
"""The largest seed."""

Free = Literal["never", "resume", "evaluation", "always"]


@dataclass(frozen=True)
class Field:
    """One field. The type of its default is its type; a whole number also does where a number is asked for.

    Attributes:
      default: bool, int, float, str or tuple.
      help: what it means, in one line.
      low: the least number allowed.
      high: the largest one.
      above: every number allowed is larger than this.
      below: every number allowed is smaller than this.
      choices: of a word; () allows all.
      each: what an item of a tuple may be.
      least: how many items a tuple, or characters a text, has at least.
      repeats: whether a tuple may hold an item twice.
      free: when the value of a run that has begun may be replaced: "never", when it goes on ("resume"), when
        it is evaluated ("evaluation"), or "always".
    """

    default: Any
    help: str
    low: int | float | None = None
    high: int | float | None = None
    above: int | float | None = None
    below: int | float | None = None
    choices: tuple[str, ...] = ()
    each: "Field | None" = None
    least: int = 0
    repeats: bool = True
    free: Free = "never"

    def check(self, name: str, value: Any) -> None:
        """Makes sure that a value is allowed.

        Raises:
          InputError: naming the field, the value and what would do.
        """
        if not self._admits(value):
            raise self._refusal(name, value)

    def read(self, name: str, text: str) -> Any:
        """Returns the value that a text on a command line means, e.g. "3,4" of a tuple of numbers.

        Raises:
          InputError: as `check`, and for a text that means none.
        """
        try:
            value = self._parsed(text)
        except ValueError:
            raise self._refusal(name, text) from None
        self.check(name, value)
        return self._converted(value)

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        match self.default:
            case bool():
                return "True or False"
            case str() if self.choices:
                *first, last = map(repr, self.choices)
                return f"{', '.join(first)} or {last}" if first else last
            case str():
                return "a text that is not empty" if self.least else "a text"
            case tuple():
                least = f" of {self.least} or more" if self.least else ""
                twice = "" if self.repeats else ", none twice"
                return f"a tuple{least}{twice}, each {self._item.allowed}"
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        to = "and at most" if self.low is None else "to"
        bounds = (("from", self.low), ("above", self.above), (to, self.high), ("and below", self.below))
        return " ".join([kind, *(f"{word} {_written(bound)}" for word, bound in bounds if bound is not None)])

    @property
    def _item(self) -> "Field":
        assert self.each is not None, "a tuple's field says what its items may be"
        return self.each

    def _admits(self, value: Any) -> bool:
        if isinstance(self.default, bool) or isinstance(value, bool):
            return isinstance(self.default, bool) and isinstance(value, bool)
        if isinstance(self.default, tuple):
            return (
                isinstance(value, tuple | list)
                and len(value) >= self.least
                and all(map(self._item._admits, value))
                and (self.repeats or all(value.count(item) == 1 for item in value))
            )
        if isinstance(self.default, str):
            known = not self.choices or value in self.choices
            return isinstance(value, str) and len(value) >= self.least and "\0" not in value and known
        return isinstance(value, int if isinstance(self.default, int) else int | float) and self._spans(value)

    def _spans(self, value: int | float) -> bool:
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def _parsed(self, text: str) -> Any:
        match self.default:
            case bool():
                return ("false", "true").index(text.lower()) == 1
            case int():
                return int(text)
            case float():
                return float(text)
            case tuple():
                return _items(text)
        return text

    def _converted(self, value: Any) -> Any:
        if isinstance(self.default, tuple):
            return tuple(map(self._item._converted, value))
        return float(value) if isinstance(self.default, float) else value

    def _refusal(self, name: str, value: Any) -> InputError:
        return InputError(f"{name} is {value!r}: give {self.allowed}.")


def check_fields(table: Mapping[str, Field], values: Mapping[str, Any], prefix: str = "") -> None:
    """Makes sure that all values are those of fields and allowed; not every field needs to be given.

    Args:
      table: the fields by name.
      values: by name.
      prefix: goes before the names in sentences, e.g. "model.backbone_options.".

    Raises:
      InputError: for an unknown name, naming the nearest, and as `Field.check`.
    """
    for name, value in values.items():
        if name not in table:
            known = [prefix + field for field in table]
            raise InputError(f"The configuration has no field {prefix}{name}{nearest(prefix + name, known)}")
        table[name].check(prefix + name, value)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns how a sentence about an unknown name ends: with the most similar one, by its last part too."""
    names = sorted(known)
    last = {field.rpartition(".")[2]: field for field in names}
    near = difflib.get_close_matches(name, names, 1, 0.6)
    near = near or [last[n] for n in difflib.get_close_matches(name.rpartition(".")[2], last, 1, 0.6)]
    return f": did you mean {near[0]}?" if near else "."


def as_text(items: Sequence[str]) -> str:
    """Returns what `Field.read` reads as these words.

    >>> as_text(["cat", "wild dog"])
    'cat,wild dog'
    >>> as_text(["1", "2"])
    "('1', '2')"
    """
    plain = ",".join(items)
    return plain if _items(plain) == tuple(items) else repr(tuple(items))


def _items(text: str) -> tuple[Any, ...]:
    """Reads "3,4", "(3, 4)", "rgb,fusion2" or "(('cat', 'dog'), ('cow',))"; words need no quotes."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return tuple(word.strip() for word in text.split(","))
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _written(bound: int | float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
