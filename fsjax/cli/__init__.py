"""What the command-line programs share: flags, configurations, one-sentence errors, exit codes."""

from fsjax.cli.arguments import parse
from fsjax.cli.configs import (
    CONFIGS,
    configured,
    load_config,
    of_any_network,
    run_folder,
    set_fields,
)
from fsjax.cli.models import chosen_model
from fsjax.cli.running import STOPPED, run
from fsjax.exit_codes import BUG, INPUT_ERROR, INTERRUPTED, PIPE_CLOSED, PREEMPTED

__all__ = [
    "BUG", "CONFIGS", "INPUT_ERROR", "INTERRUPTED", "PIPE_CLOSED", "PREEMPTED", "STOPPED", "chosen_model",
    "configured", "load_config", "of_any_network", "parse", "run", "run_folder", "set_fields",
]  # fmt: skip
