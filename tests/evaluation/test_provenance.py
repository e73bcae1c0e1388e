"""What made a result, asked of real checkouts and of none."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import fsjax
from fsjax.evaluation import provenance as module
from fsjax.evaluation.provenance import digest_of_code, provenance, source_commit


def git(folder, *arguments):
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A checkout of one package; returns the package's file."""
    file = tmp_path / "checkout" / "package" / "__init__.py"
    file.parent.mkdir(parents=True)
    file.write_text("one = 1\n")
    git(file.parent, "init", "-q", str(file.parent.parent))
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-q", "-m", "first")
    return file


def test_it_can_be_written_and_names_every_version():
    made = provenance()
    assert json.loads(json.dumps(made)) == made
    assert made["fsjax"] == fsjax.__version__
    assert (made["jax"], made["numpy"]) == (jax.__version__, np.__version__)
    assert made["python"] == ".".join(map(str, sys.version_info[:3]))
    assert made["jaxlib"]
    assert made["flax"]
    assert (made["device"], made["devices"]) == ("cpu", 8)
    assert (made["commit"] is None) == (made["clean"] is None)


def test_a_checkout_has_a_commit_and_may_be_changed(checkout):
    commit = git(checkout.parent, "rev-parse", "HEAD")
    assert source_commit(checkout) == (commit, True)
    (checkout.parent / "results.json").touch()  # what a run writes is no change of the source
    assert source_commit(checkout) == (commit, True)
    checkout.write_text("one = 2\n")
    assert source_commit(checkout) == (commit, False)
    git(checkout.parent, "add", ".")
    assert source_commit(checkout) == (commit, False)


def test_variables_of_a_git_hook_do_not_mislead(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert source_commit(checkout)[1] is True


def test_a_package_installed_within_a_project_is_not_of_that_project(checkout):
    installed = checkout.parents[1] / "site-packages" / "fsjax" / "__init__.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert source_commit(installed) == (None, None)


def test_without_a_commit_a_checkout_or_git_there_is_none(checkout, tmp_path, monkeypatch):
    (tmp_path / "plain").mkdir()
    assert source_commit(tmp_path / "plain" / "file.py") == (None, None)
    git(tmp_path / "plain", "init", "-q")
    (tmp_path / "plain" / "file.py").touch()
    git(tmp_path / "plain", "add", ".")
    assert source_commit(tmp_path / "plain" / "file.py") == (None, None)
    assert source_commit(tmp_path / "nowhere" / "file.py") == (None, None)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert source_commit(checkout) == (None, None)


def test_a_git_that_hangs_is_not_waited_for(checkout, tmp_path, monkeypatch):
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(module, "SECONDS", 0.2)
    assert source_commit(checkout) == (None, None)


def test_code_that_is_not_committed_has_another_digest(checkout):
    folder, first = checkout.parent, digest_of_code(checkout.parent)
    (folder / "notes.txt").write_text("not code")
    assert digest_of_code(folder) == first
    checkout.write_text("one = 2\n")
    second = digest_of_code(folder)
    (folder / "part").mkdir()
    checkout.rename(folder / "part" / "__init__.py")
    assert len({first, second, digest_of_code(folder)}) == 3
