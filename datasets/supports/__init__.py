"""People's supports, queries and truth, as predict.py is given them: nothing of it is prepared before.

`read_supports` knows what `datasets.folders` knows, and more: photos and masks in one folder, by their names,
and masks in black and white wherever they lie. `list_queries` names photos that nobody has opened yet.
`read_truth` finds the masks of such photos.
"""

from datasets.supports.queries import Query, list_queries
from datasets.supports.reading import Support, Supports, read_supports
from datasets.supports.truth import TrueMask, Truth, read_truth

__all__ = [
    "Query",
    "Support",
    "Supports",
    "TrueMask",
    "Truth",
    "list_queries",
    "read_supports",
    "read_truth",
]
