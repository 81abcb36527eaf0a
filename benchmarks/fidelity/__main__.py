"""`python -m benchmarks.fidelity [DIR]`.

Compare this suite's agent with recordings of the authors' release.

Exit status: 0 if everything agrees, 1 if anything differs, 2 if there is nothing to check.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from benchmarks.fidelity.folders import FILES, check_folders
from benchmarks.fidelity.report import format_table

RECORDINGS = Path(__file__).resolve().parents[2] / "tests" / "recordings"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    what = "folder of recordings, or one recorded agent; those of the checkout if not given"
    parser.add_argument("folder", type=Path, nargs="?", help=what)
    given = parser.parse_args(argv).folder
    folder = given or RECORDINGS
    if not folder.is_dir():
        installed = (
            "the recordings come with a checkout, not with the installed package; give a folder: "
        )
        print(f"{'' if given else installed}{folder} is not a folder", file=sys.stderr)
        return 2
    # Accelerators round the factors of float32 products by default, which would exceed the
    # tolerance.
    jax.config.update("jax_default_matmul_precision", "highest")
    start, total, off = time.monotonic(), 0, []
    for heading, rows in check_folders(folder):
        print(f"\n{heading}\n{format_table(rows)}", flush=True)
        total += len(rows)
        off += [f"{heading}: {row.quantity}" for row in rows if not row.ok]
    if not total:
        names = ", ".join([*FILES, "an agent's *.ckpt with config.json and arrays.npz"])
        print(
            f"{folder} holds nothing that can be checked; looked for {names}, one level deep",
            file=sys.stderr,
        )
        return 2
    print(f"\n{total} quantities in {time.monotonic() - start:.0f} s, {len(off)} off")
    for name in off:
        print(f"  OFF  {name}")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
