"""Rules of positions, each against its own equations in loops, and the rotations of DINOv3."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.positions import (
    CODEBASES,
    periods,
    resized_table,
    rotated,
    rotations,
    table_rule,
)

GRID = 9


def keys(distance, a):
    """Keys' cubic kernel, piece by piece."""
    x = abs(distance)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def plain(line, count, offset):
    """PyTorch's bicubic resize without antialiasing, by scale_factor = (count + offset) / length."""
    length, out = len(line), []
    for i in range(count):
        place = (i + 0.5) * length / (count + offset) - 0.5
        first = int(np.floor(place))
        taps = [(first + k, keys(place - (first + k), -0.75)) for k in (-1, 0, 1, 2)]
        out.append(sum(w * line[min(max(cell, 0), length - 1)] for cell, w in taps))
    return np.array(out)


def widened(line, count, offset):
    """PyTorch's antialiased bicubic resize."""
    length, out = len(line), []
    scale = length / count
    support = 2 * max(scale, 1)
    for i in range(count):
        centre = (i + 0.5) * scale
        begin, end = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), length)
        weights = [keys((j + 0.5 - centre) / max(scale, 1), -0.5) for j in range(begin, end)]
        out.append(np.dot(weights, line[begin:end]) / sum(weights))
    return np.array(out)


def along_both(axis_rule, table, height, width, offset):
    rows = np.stack([axis_rule(table[:, k], height, offset) for k in range(table.shape[1])], axis=1)
    return np.stack([axis_rule(rows[i], width, offset) for i in range(height)])


RULES = {
    ("official", 0): (plain, 0.1),
    ("official", 4): (widened, 0),
    ("transformers", 0): (plain, 0),
    ("transformers", 4): (widened, 0),
    ("timm", 0): (widened, 0),
    ("timm", 4): (widened, 0),
}


@pytest.fixture(scope="module")
def table():
    return jnp.asarray(np.random.default_rng(0).normal(size=(GRID, GRID, 3)).astype(np.float32))


@pytest.mark.parametrize(("codebase", "registers"), RULES)
def test_every_rule_is_its_codebases(codebase, registers, table):
    axis_rule, offset = RULES[codebase, registers]
    sizes = [(4, 7), (9, 5), (12, 16), (1, 2)]
    rule = jnp.asarray(table_rule(codebase, registers))
    found = jax.jit(resized_table, static_argnums=1)(table, (16, 16), jnp.array(sizes), rule)
    for one, (height, width) in zip(found, sizes, strict=True):
        expected = along_both(axis_rule, np.asarray(table), height, width, offset)
        np.testing.assert_allclose(one[:height, :width], expected, atol=2e-5)


@pytest.mark.parametrize(("codebase", "registers"), RULES)
def test_the_tables_own_grid_gets_it_as_it_is(codebase, registers, table):
    rule = jnp.asarray(table_rule(codebase, registers))
    np.testing.assert_array_equal(
        resized_table(table, (GRID, GRID), jnp.array([[GRID, GRID]]), rule)[0], table
    )


def test_the_rules_differ_on_a_smooth_table():
    """By more than any rounding: which rule a model follows has to be said."""
    place = np.linspace(0, 3, 37)
    smooth = np.sin(place[:, None, None] * [1.0, 2.0, 5.0]) + np.cos(place[None, :, None] * [3.0, 1.0, 4.0])
    made = {
        codebase: np.asarray(
            resized_table(
                jnp.asarray(smooth, jnp.float32),
                (16, 16),
                jnp.array([[16, 16]]),
                jnp.asarray(table_rule(codebase, 0)),
            )
        )
        for codebase in CODEBASES
    }
    for one, other in (("official", "transformers"), ("transformers", "timm"), ("official", "timm")):
        assert np.linalg.norm(made[one] - made[other]) > 1e-3 * np.linalg.norm(made[one]), (one, other)


def test_rotations_are_those_of_the_equations():
    head, sizes = 8, [(3, 5), (4, 2)]
    cosine, sine = rotations((4, 5), jnp.array(sizes), jnp.asarray(periods("transformers", head)))
    for one, (height, width) in enumerate(sizes):
        for i in range(height):
            for j in range(width):
                angles = []
                for place in (2 * (i + 0.5) / height - 1, 2 * (j + 0.5) / width - 1):
                    angles += [2 * np.pi * place / 100 ** (2 * k / (head / 2)) for k in range(head // 4)]
                np.testing.assert_allclose(cosine[one, i, j], np.cos(angles * 2), atol=2e-6)
                np.testing.assert_allclose(sine[one, i, j], np.sin(angles * 2), atol=2e-6)


def test_a_rotation_turns_pairs_of_channels():
    rng = np.random.default_rng(0)
    x, angle = rng.normal(size=(1, 1, 1, 6)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    whole = np.concatenate([angle, angle])[None, None, None]
    found = rotated(jnp.asarray(x), jnp.cos(whole), jnp.sin(whole))[0, 0, 0]
    turned = (x[0, 0, 0, :3] + 1j * x[0, 0, 0, 3:]) * np.exp(1j * angle)
    np.testing.assert_allclose(found, np.concatenate([turned.real, turned.imag]), atol=1e-6)


def test_metas_periods_are_rounded_and_the_others_are_not():
    exact = 100 ** (np.arange(16) / 16)
    np.testing.assert_allclose(periods("transformers", 64), exact, rtol=1e-6)
    np.testing.assert_array_equal(periods("timm", 64), periods("transformers", 64))
    official = periods("official", 64)
    assert 1e-3 < np.abs(official / exact - 1).max() < 2**-8
    assert not (official.view(np.uint32) & 0xFFFF).any()  # a bfloat16 has no more bits
