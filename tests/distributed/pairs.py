"""Real pairs of processes that run one command together over the loopback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax

REPOSITORY = Path(__file__).parents[2]
WITHIN = 300
"""Seconds after which a test gives up; what it waits for takes some."""


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_pair(*command, devices=2):
    """Starts a command as two processes of so many devices; returns them."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_COMPILATION_CACHE_DIR": str(Path(jax.config.jax_compilation_cache_dir).absolute()),
    }
    together = [f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2"]
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command), *together, f"--process_id={number}"],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]


def ended(pair):
    """Waits for both; returns the exit code, the output and the errors of each."""
    found = []
    try:
        for process in pair:
            out, err = process.communicate(timeout=WITHIN)
            found.append((process.returncode, out, err))
    finally:
        for process in pair:
            process.kill()
            process.communicate()
    return found


def last_line(said):
    """The last line of what a process has said; JAX's lines come before it, also on standard output."""
    return said.strip().rpartition("\n")[2]
