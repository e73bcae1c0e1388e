"""Between two lines of its log the training's loop compiles nothing, and waits for no result."""

import jax
import numpy as np
import pytest

from fsjax import experiment
from fsjax.experiment import training
from fsjax.training.curves import read_metrics
from tests.runs import dpnet_config, prnet_config

LOG_EVERY = 3


class Unread:
    """An array on the devices that may be handed on, and looked at only when a line of the log is due."""

    def __init__(self, array, loop):
        self._array, self._loop = array, loop

    @property
    def __class__(self):
        return jax.Array

    def __getattr__(self, name):
        assert self._loop.due, f"{name} is asked for in step {self._loop.step}"
        return getattr(self._array, name)

    def __array__(self, *arguments, **keywords):
        assert self._loop.due, f"read in step {self._loop.step}"
        return np.asarray(self._array)


class Loop:
    """Makes steps whose results are `Unread`; counts what is compiled between the first and the last one."""

    def __init__(self, make, steps):
        self.step, self.compiled, self._make, self._steps = 0, 0, make, steps

    @property
    def due(self):
        return self.step % LOG_EVERY == 0 or self.step == self._steps

    def make_train_step(self, *arguments):
        step_of = self._make(*arguments)

        def step(state, fixed, batch):
            state = jax.tree.map(lambda x: x._array if type(x) is Unread else x, state)
            results = step_of(state, fixed, batch)
            self.step += 1
            jax.config.update("jax_transfer_guard", "allow" if self.due else "disallow")
            return jax.tree.map(lambda x: Unread(x, self), results)

        return step

    def listen(self, event, seconds, **more):
        if event == "/jax/core/compile/backend_compile_duration" and 0 < self.step < self._steps:
            self.compiled += 1


@pytest.mark.parametrize("make", [prnet_config, dpnet_config])
def test_the_steady_loop_neither_compiles_nor_reads(make, sources, tmp_path, monkeypatch):
    steps = make().train.steps
    loop = Loop(training.make_train_step, steps)
    monkeypatch.setattr(training, "make_train_step", loop.make_train_step)
    jax.monitoring.register_event_duration_secs_listener(loop.listen)
    try:
        experiment.train(
            make({"train.log_every": LOG_EVERY, "train.checkpoint_every": steps}), sources, tmp_path
        )
    finally:
        jax.config.update("jax_transfer_guard", "allow")
    assert loop.step == steps
    assert loop.compiled == 0


def test_the_learning_rate_of_each_step_is_written_down(whole):
    rates = [line["learning_rate"] for line in read_metrics(whole)]
    np.testing.assert_allclose(rates, [0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002], rtol=1e-6)
