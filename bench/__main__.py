"""Command line of the bench."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.files import write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.runtime import environment
from bench.errors import NotRun, PeerFailed
from bench.harness import ROOT
from bench.report import Result, as_json, table
from bench.rows import ROWS
from bench.rows.inference import MODELS
from bench.session import QUICK, Scale, Session


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows, print the table, write the JSON. Returns 1 if a row crashed, else 0, whatever the ratios."""
    options = _parser().parse_args(arguments)
    names = options.only or list(ROWS)
    build = ROOT / "_build"
    cache = build / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache) as scratch:
        session = Session(
            scratch=Path(scratch),
            cache=cache,
            scale=QUICK if options.quick else Scale(),
            videos_folder=options.videos,
            use_torch=not options.no_torch,
            models=options.network or (),
        )
        results = [result for name in names for result in run_row(name, session)]
        facts = {**environment(), "kernel": platform.release(), "threads": session.threads, "quick": options.quick}
    write_json_atomic(options.json, as_json(results, facts))
    sys.stdout.write(f"\n{table(results)}\n\nratio: peer's time / ours, median of the clean rounds.\n")
    if options.quick:
        sys.stdout.write("--quick: small networks, one round. It shows that the rows run; the figures mean nothing.\n")
    sys.stdout.write(f"All of it is in {shown(options.json)}\n")
    return int(any(result.state == "crashed" for result in results))


def run_row(name: str, session: Session) -> list[Result]:
    """The results of a row, of which one may say that a peer is missing or that something broke."""
    results: list[Result] = []
    try:
        results.extend(ROWS[name](session))
    except NotRun as reason:
        results.append(Result(name, "", state="not run", note=str(reason)))
    except (PeerFailed, BookError) as reason:
        results.append(Result(name, "", state="crashed", note=str(reason)))
    except Exception as reason:  # whatever it is, the other rows are still worth having
        results.append(Result(name, "", state="crashed", note=f"{type(reason).__name__}: {reason}"))
    # Targets are about the full sizes.
    return [replace(result, target=None) for result in results] if session.scale is QUICK else results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the book's speed against real peers, as ratios within one run. "
        "Leave the machine alone meanwhile: rounds in which others used more than 8 % of it do not count.",
    )
    parser.add_argument("--only", action="append", choices=list(ROWS), help="this row only; may be given several times")
    parser.add_argument("--network", action="append", choices=MODELS, help="in the row family, this one only; likewise")
    parser.add_argument("--json", type=Path, default=ROOT / "_build" / "bench.json", help="where the results go")
    parser.add_argument(
        "--videos", type=Path, help="folder of videos for frames, access, packs, clips, loader and flow, not drawn ones"
    )
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out, and do not install it")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and one round, to see that it works")
    return parser


if __name__ == "__main__":
    sys.exit(main())
