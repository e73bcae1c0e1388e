"""Tables of text: columns as wide as their longest entry, numbers at the right, in at most 100 columns."""

from collections.abc import Sequence

WIDTH = 100
LONGEST = 28
_GAP, _INDENT = "  ", "  "


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Returns the lines of a table, split below each other where it is wider than `WIDTH`.

    Args:
        headings: of the columns; a heading may have several lines.
        rows: texts, as many as there are columns.
        left: the columns whose texts begin at the left. The first column is repeated in every part.
    """
    cells = [[shortened(cell) for cell in row] for row in rows]
    lines_of = [heading.split("\n") for heading in headings]
    height = max(map(len, lines_of))
    heads = [[""] * (height - len(lines)) + lines for lines in lines_of]
    columns = [[*head, *(row[i] for row in cells)] for i, head in enumerate(heads)]
    widths = [max(map(len, column)) for column in columns]
    written: list[str] = []
    for part in _parts(widths):
        aligned = [
            [cell.ljust(widths[i]) if i in left else cell.rjust(widths[i]) for cell in columns[i]]
            for i in part
        ]
        written += [(_INDENT + _GAP.join(row)).rstrip() for row in zip(*aligned, strict=True)]
    return written


def _parts(widths: Sequence[int]) -> list[list[int]]:
    """Returns which columns stand side by side, the first one in every part."""
    parts: list[list[int]] = [[0]]
    used = len(_INDENT) + widths[0]
    for i, width in enumerate(widths[1:], 1):
        if used + len(_GAP) + width > WIDTH and len(parts[-1]) > 1:
            parts.append([0])
            used = len(_INDENT) + widths[0]
        parts[-1].append(i)
        used += len(_GAP) + width
    return parts


def shortened(text: str, most: int = LONGEST) -> str:
    """Returns a text of at most `most` characters, the end of a longer one being cut off."""
    return text if len(text) <= most else text[: most - 1] + "…"


def percent(share: float) -> str:
    """Returns a share in percent, with as many digits as tell small ones apart.

    >>> percent(0.1234), percent(0.00123), percent(float("nan"))
    ('12.3%', '0.12%', '-')
    """
    if share != share:
        return "-"
    return f"{100 * share:.2f}%" if 0 < share < 0.01 else f"{100 * share:.1f}%"
