"""How programs end, besides 0: what their exit codes mean, see docs/stopping.md."""

BUG = 1
"""A bug in fsjax."""

INPUT_ERROR = 2
"""The input, the system or the loss is at fault, as a sentence says."""

PREEMPTED = 75
"""Nothing is: the same command is to be started again, and goes on. EX_TEMPFAIL of sysexits.h."""

INTERRUPTED = 130
"""The user has interrupted; as a shell says it."""

PIPE_CLOSED = 141
"""What is printed is no longer read; likewise."""
