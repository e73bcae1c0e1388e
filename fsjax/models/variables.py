"""What a method's variables are called."""

from typing import Any

Variables = dict[str, Any]
"""{"backbone": {"params", "batch_stats"}, "head": parameters of the head}."""
