"""What is to be done, checked: every field of a configuration, and how configurations are kept.

config = fsjax.config.default()
config.train.steps = 100
fsjax.config.check(config)
"""

from fsjax.config.argument import apply, parse
from fsjax.config.checking import check, check_names, default, trains
from fsjax.config.differences import check_equal, check_evaluation_owns, check_resumable
from fsjax.config.fields import Field, check_fields
from fsjax.config.protocols import PROTOCOLS, departures, follow
from fsjax.config.table import SECTIONS_LEFT_FREE, TABLE
from fsjax.config.versions import VERSION, Found, Selected, store, upgrade

__all__ = [
    "PROTOCOLS",
    "SECTIONS_LEFT_FREE",
    "TABLE",
    "VERSION",
    "Field",
    "Found",
    "Selected",
    "apply",
    "check",
    "check_equal",
    "check_evaluation_owns",
    "check_fields",
    "check_names",
    "check_resumable",
    "default",
    "departures",
    "follow",
    "parse",
    "store",
    "trains",
    "upgrade",
]
