"""What a method's variables are called."""

from typing import Any

Variables = dict[str, Any]
"""{"backbone": {"params": what is trained, and the network's own state}, "head": parameters of the head}."""
