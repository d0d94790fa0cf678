"""Where a mint spends its CPU time, and where Express does: what explains the ratios."""

import argparse
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import report
from bench.measure import Meter
from bench.mint_process import mint_process
from bench.scene import Scene, scene
from bench.systems import EXPRESS_FOLDER, PEERS, Stage, StartError, System, install_packages

_CONNECTIONS = 16
_WARM_UP = 2_000
_IDLE = "(idle)"
_NODE = "Node: HTTP, sockets, event loop"
_TOKEN = "stream-chat: createToken"
_PACKAGES = {
    "jose": "jose: jwtVerify",
    **dict.fromkeys(("stream-chat", "jsonwebtoken", "jws", "jwa", "ecdsa-sig-formatter"), _TOKEN),
}
"""Groups of the packages that are not Express's."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--mints", type=int, default=10_000, help="mints of each profile")


def run(options: argparse.Namespace) -> int:
    """Profile a mint of the service, and Express on each Node."""
    install_packages(EXPRESS_FOLDER)
    systems = [system for system in PEERS if system.name.startswith("Express")]
    with scene() as here:
        parts = [_profile_express(here, system, options.mints) for system in systems]
    calls = [_measure_calls(system) for system in systems]
    text = (
        "CPU time of a mint in one process without sockets, by a sample of the stack every "
        "millisecond. A package counts what it calls of the standard library.\n\n"
        f"{_mint_table(options.mints)}\n\n"
        f"Express with {_CONNECTIONS} connections, CPU microseconds per request; the main thread "
        "by V8's profiler. A package counts what it calls of Node.\n\n"
        f"{_table('part', systems, parts)}\n\n"
        "CPU microseconds of one call at a time, all threads.\n\n"
        f"{_table('call', systems, calls)}"
    )
    return report.finish("profile", text, [], record=options.record)


def _mint_table(mints: int) -> str:
    with mint_process(_WARM_UP + mints, "--samples={folder}/samples.json") as process:
        process.mint(_WARM_UP)
        process.mint(mints)
        process.end()
        result = json.loads((process.folder / "samples.json").read_text())
    counts, total = result["counts"], sum(result["counts"].values())
    cpu = result["seconds"] / mints * 1e6
    rows = [
        (step, f"{count / total:.0%}", f"{count / total * cpu:.0f}")
        for step, count in Counter(counts).most_common()
    ]
    return report.table(("step", "share", "us"), [*rows, ("all", "100%", f"{cpu:.0f}")])


def _profile_express(here: Scene, system: System, mints: int) -> dict[str, float]:
    """Return the microseconds per request of each part."""
    profile = here.folder / f"{system.name}.json"
    node, server = system.command
    preload = (EXPRESS_FOLDER / "profile.mjs").as_uri()
    profiled = replace(
        system,
        command=(node, "--import", preload, server),
        environ={**system.environ, "BENCH_PROFILE": str(profile)},
    )
    cores = sorted(os.sched_getaffinity(0))
    stage = Stage(here.folder, here.public_key_file, workers=1, cores=cores[:1])
    meter = Meter(here.credentials, cores[1:] or cores)
    with (
        stage.running(profiled) as running,
        meter.connected(running, _CONNECTIONS) as measured,
    ):
        measured.mint(_WARM_UP)
        os.kill(running.leader, signal.SIGUSR2)
        before = _cpu_of_threads(running.leader)
        measured.mint(mints)
        used = _cpu_of_threads(running.leader) - before
    main = used.pop(str(running.leader), 0) / mints
    parts = {part: share * main for part, share in _shares(json.loads(profile.read_text())).items()}
    return {
        **parts,
        "other threads: RSA, garbage": used.total() / mints,
        "all": main + used.total() / mints,
    }


def _cpu_of_threads(pid: int) -> Counter[str]:
    """Return the microseconds of CPU time of each thread."""
    return Counter(
        {
            thread.name: int((thread / "schedstat").read_text().split()[0]) // 1000
            for thread in Path(f"/proc/{pid}/task").iterdir()
        }
    )


def _shares(profile: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of each part of the main thread's time in a profile of V8."""
    nodes = {node["id"]: node for node in profile["nodes"]}
    parents = {child: one for one, node in nodes.items() for child in node.get("children", ())}
    times: Counter[str] = Counter()
    for sample, microseconds in zip(profile["samples"], profile["timeDeltas"], strict=True):
        part, one = "", sample
        while not part and one is not None:
            part, one = _part_of(nodes[one]["callFrame"]), parents.get(one)
        times[part or _NODE] += microseconds
    del times[_IDLE]
    return {part: spent / times.total() for part, spent in times.items()}


def _part_of(frame: Mapping[str, str]) -> str:
    """Return the part of a function, or "" if it belongs to its caller."""
    if frame["functionName"] in (_IDLE, "(garbage collector)"):
        return frame["functionName"]
    _, is_package, path = frame["url"].rpartition("/node_modules/")
    if is_package:
        return _PACKAGES.get(path.split("/")[0], "Express")
    if frame["url"].endswith("/server.js"):
        return "server.js"
    return "jose: jwtVerify" if "internal/crypto/webcrypto" in frame["url"] else ""


def _measure_calls(system: System) -> dict[str, float]:
    node, _ = system.command
    done = subprocess.run(
        [node, str(EXPRESS_FOLDER / "calls.mjs")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StartError(f"calls.mjs failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _table(title: str, systems: Sequence[System], figures: Sequence[Mapping[str, float]]) -> str:
    names = sorted(
        set().union(*figures), key=lambda name: (name == "all", -figures[-1].get(name, 0))
    )
    rows = [(name, *(f"{each.get(name, 0):.0f}" for each in figures)) for name in names]
    return report.table((title, *(system.name for system in systems)), rows)
