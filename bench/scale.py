"""The cost of a mint with 1,000,000 revoked users against 1,000, on SQLite and on PostgreSQL."""

import argparse
from dataclasses import replace

from bench import interleaved, report
from bench.interleaved import CONNECTIONS
from bench.report import Target
from bench.scene import scene
from bench.systems import service

_FEW, _MANY = 1_000, 1_000_000
_LIMIT = 1.1
_POSTGRESQL_LIMIT = 1.4


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    interleaved.add_options(parser)
    parser.add_argument("--many", type=int, default=_MANY, help="number of revoked users")


def run(options: argparse.Namespace) -> int:
    """Measure both databases, and return 1 if a target is missed."""
    with interleaved.postgres_server() as postgres, scene() as here:
        systems = [
            service(f"{database}, {count:,} revoked", count, url)
            for database, urls in {
                "SQLite": ("", ""),
                "PostgreSQL": (postgres.fresh_url(), postgres.fresh_url()),
            }.items()
            for count, url in zip((_FEW, options.many), urls, strict=True)
        ]
        rounds = interleaved.measure(options, here, systems, postgres)
    rows = [
        (system.name, *report.figures(done), f"{report.median(one.others for one in done):.0f}")
        for system, done in zip(systems, rounds, strict=True)
    ]
    whole = [[replace(one, cpu=one.cpu + one.others) for one in done] for done in rounds]
    targets = [
        Target(
            f"CPU with PostgreSQL's, {systems[few + 1].name} / {systems[few].name}",
            report.ratios(whole[few + 1], whole[few]),
            _LIMIT,
        )
        for few in (0, 2)
    ]
    targets.append(
        Target(
            f"CPU of the service, {systems[2].name} / {systems[0].name}",
            report.ratios(rounds[2], rounds[0]),
            _POSTGRESQL_LIMIT,
        )
    )
    text = (
        f"One worker, {CONNECTIONS} connections, medians of {options.rounds} interleaved rounds."
        "\n\n" + report.table(("system", *report.FIGURES, "PostgreSQL CPU us"), rows)
    )
    return report.finish("scale", text, targets, record=options.record)
