# SPDX-License-Identifier: Apache-2.0
"""`make bench`: measure, print, and keep under bench/results/."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time

from bench import chart, peers, report
from bench.workplace import Workplace

#: Modules of this package, each with `measure`, in the order in which they run.
THEMES = ("commandline", "shims", "engines", "daemon", "limits")
_RESULTS = peers.ROOT / "bench" / "results"


def main(argv: list[str]) -> int:
    """Run the benchmark; 0, or 1 where something could not be measured, or 2."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=main.__doc__)
    parser.add_argument(
        "--only", metavar="THEME,...", default=",".join(THEMES), help=", ".join(THEMES)
    )
    parser.add_argument("--rounds", type=int, default=40, help="attempts of each contender")
    parser.add_argument("--most", type=int, default=1000, help="containers at once")
    parser.add_argument(
        "--quick", action="store_true", help="3 rounds, 20 containers: is all there?"
    )
    parser.add_argument("--name", default="latest", help="of the files in bench/results/")
    options = parser.parse_args(argv)
    themes = options.only.split(",")
    if unknown := set(themes) - set(THEMES):
        parser.error(f"--only: {', '.join(sorted(unknown))}: not among {', '.join(THEMES)}")
    if os.geteuid():
        sys.stderr.write("bench: most of it needs root's rights: try again as root\n")
        return 2
    rounds, most = (3, 20) if options.quick else (options.rounds, options.most)
    begin, machine = time.time(), peers.machine()
    with Workplace(rounds, most) as place:
        for theme in themes:
            sys.stderr.write(f"{theme} ...\n")
            try:
                importlib.import_module(f"bench.{theme}").measure(place)
            except (OSError, RuntimeError, AssertionError) as error:
                place.results.missing[theme] = str(error)
        results = place.results
    machine["seconds"] = round(time.time() - begin)
    _RESULTS.mkdir(exist_ok=True)
    document = report.document(results, machine)
    (_RESULTS / f"{options.name}.json").write_text(json.dumps(document, indent=1) + "\n")
    (_RESULTS / f"{options.name}.svg").write_text(chart.svg(results))
    sys.stdout.write(report.text(results))
    sys.stdout.write(
        f"\nbench/results/{options.name}.json, .svg: the same for programs, as a picture\n"
    )
    return 1 if results.missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
