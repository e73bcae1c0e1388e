"""Configurations for tests."""

from typing import Any

from ml_collections import ConfigDict

from fsjax.config import default


def changed(values: dict[str, Any]) -> ConfigDict:
    """Returns the default configuration with some fields replaced, whatever their type."""
    fields = default().to_dict()
    for name, value in values.items():
        *sections, last = name.split(".")
        part = fields
        for section in sections:
            part = part.setdefault(section, {})
        part[last] = value
    return ConfigDict(fields)
