"""`make bench`: every ratio the workbench promises, measured on this machine and printed as JSON beside its bar.

Each `bench_*.py` of this folder has `measure()`, which returns figures by name, and `BARS`, which says what some of them must hold:
``{"figure": ("<=", 1.15)}``. Each runs in a process of its own, one after the other; nothing else should run meanwhile.
`python -m tests.bench sweep window` runs only those. The exit code is 1 when a bar was missed.
"""

from __future__ import annotations

import importlib
import json
import operator
import subprocess
import sys
from pathlib import Path
from typing import Any

COMPARE = {"<=": operator.le, ">=": operator.ge}


def main(wanted: list[str]) -> int:
    """Run the benchmarks, print the report, return the exit code."""
    names = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    unknown = set(wanted) - set(names)
    if unknown:
        sys.stderr.write(f"no benchmark named {', '.join(sorted(unknown))}; there are {', '.join(names)}\n")
        return 2
    report: dict[str, Any] = {}
    missed = []
    for name in wanted or names:
        sys.stderr.write(f"{name} ...\n")
        run = subprocess.run([sys.executable, "-m", f"tests.bench.bench_{name}"], stdout=subprocess.PIPE, text=True)
        if run.returncode:
            report[name] = f"failed with exit code {run.returncode}"
            missed.append(name)
            continue
        figures = json.loads(run.stdout)
        bars = importlib.import_module(f"tests.bench.bench_{name}").BARS
        report[name] = figures | {"bars": {figure: f"{sign} {bar}" for figure, (sign, bar) in bars.items()}}
        missed += [f for f, (sign, bar) in bars.items() if not COMPARE[sign](figures[f], bar)]
    report["missed"] = missed
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
