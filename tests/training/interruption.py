"""Trainings that stop in the middle, in this process."""

from contextlib import contextmanager

import pytest

from fsjax.training.curves import Curves


@contextmanager
def interrupted_before(step, monkeypatch):
    """The training in the block is interrupted when this step is done, before its line is kept."""
    add = Curves.add

    def stop(self, now, *args, **more):
        if now == step:
            raise KeyboardInterrupt
        add(self, now, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Curves, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            yield
