"""How long fsjax's programs take beside PyTorch's, which do equal work.

    python -m benchmarks.against_pytorch
    python -m benchmarks.against_pytorch --cases=prnet_step_r50,cycle --repeats=9 --out=against
    python -m benchmarks.against_pytorch --quick --compile=0    # small forms of all cases, in a minute

PyTorch's networks, heads and steps are written for this (in_pytorch), and begin with fsjax's weights. Losses,
gradients' norms, changes of parameters, features and counted pixels are compared first: where they differ by
more than `values.TOLERANCES`, nothing is timed, and the exit code is 2. Dropout is left out of what is
compared, and is in what is timed.

Each library, and each way of using PyTorch (eager or torch.compile, either layout of features), has a process
of its own and all cores, and only one is at work at a time. They are run in turns; a turn is as many calls as
last a second, and the first turn does not count. The ratio is fsjax's median over that of PyTorch's best way.
Memory is the largest that a process ever held, compiling included; fsjax's does not load PyTorch. Operations
are those of fsjax's program with plain convolutions, as XLA counts them before it optimises, for the rates of
both, although a CPU multiplies less. On a GPU both use it. `pip install '.[parity]'` brings PyTorch.
"""

import argparse
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.against_pytorch.cases import CASES, chosen
from benchmarks.against_pytorch.table import as_json, heading, processes, ratios
from benchmarks.against_pytorch.turns import Result, timed
from fsjax.errors import InputError

DTYPES = ("float32", "bfloat16")


def variants(compiles: bool) -> list[str]:
    """Returns the ways of using PyTorch; without a C++ compiler, as torch.compile needs, says so.

    Raises:
      InputError: PyTorch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            "PyTorch is not installed: pip install '.[parity]', or time fsjax alone with --pytorch=0."
        )
    ways = ["eager"]
    if compiles and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        print("torch.compile is left out: there is no C++ compiler.")
    elif compiles:
        ways.append("compile")
    return [f"{way}{layout}" for way in ways for layout in ("", ", channels_last")]


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """Returns the options, their names checked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against_pytorch", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    usual = ", ".join(name for name, case in CASES.items() if not case.usual)
    parser.add_argument("--cases", default="", help=f"names, of {', '.join(CASES)}; all but {usual}.")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or both: of convolutions.")
    parser.add_argument("--repeats", type=int, default=7, help="turns that count.")
    parser.add_argument("--pytorch", type=int, default=1, help="0 times fsjax alone.")
    parser.add_argument("--compile", type=int, default=1, help="0 leaves torch.compile out.")
    parser.add_argument("--quick", action="store_true", help="small forms, which show that it works.")
    parser.add_argument("--peak_tflops", type=float, help="of the device, for the share that is reached.")
    parser.add_argument("--out", default="", help="FILE.json and FILE.md are written.")
    return parser.parse_args(argv)


def run(flags: argparse.Namespace) -> Iterator[Result]:
    """Yields what was timed, each case as soon as it is also printed.

    Raises:
      InputError: for an unknown case or dtype, no PyTorch, or values that differ.
    """
    cases, dtypes = chosen(flags.cases), flags.dtype.split(",")
    unknown = [dtype for dtype in dtypes if dtype not in DTYPES]
    if unknown or flags.repeats < 1:
        raise InputError(f"--dtype takes {' and '.join(DTYPES)}, and --repeats 1 or more.")
    if flags.out and not Path(flags.out).resolve().parent.is_dir():
        raise InputError(f"There is no folder for --out={flags.out}: make it.")
    ways = variants(bool(flags.compile)) if flags.pytorch else []
    for case in cases:
        for dtype in dtypes:
            result = timed(case.small() if flags.quick else case, dtype, ways, flags.repeats)
            print("\n".join(processes([result])[2:]), file=sys.stderr, flush=True)
            yield result


def main(argv: Sequence[str] | None = None) -> int:
    flags, results, failed = options(argv), [], 0
    try:
        for result in run(flags):
            results.append(result)
    except InputError as error:
        print(error, file=sys.stderr)
        failed = 2
    if results:  # those before one that failed, too
        _report(flags, results)
    return failed


def _report(flags: argparse.Namespace, results: Sequence[Result]) -> None:
    """Prints what was timed, and writes it to --out."""
    lines = [
        *heading(results[0].about), *ratios(results, flags.peak_tflops), "", *processes(results),
    ]  # fmt: skip
    print("\n".join(lines))
    if flags.out:
        Path(f"{flags.out}.md").write_text("\n".join(lines) + "\n")
        Path(f"{flags.out}.json").write_text(json.dumps(as_json(results), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
