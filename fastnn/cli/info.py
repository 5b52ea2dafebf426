"""The command `fastnn info`."""

import argparse
import json
import os
import sys
from typing import Any

from fastnn import BackendUnavailable, backends, get_backend
from fastnn.kernels.cpu import thread_count
from fastnn.kernels.dispatch.switch import VARIABLE


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "info",
        help="show the available backends and the environment",
        description="Show versions, processor, backends and data sets found on this machine.",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=run_info)


def run_info(arguments: argparse.Namespace) -> int:
    """Print the environment; return the exit code."""
    found = collect()
    print(json.dumps(found, indent=2) if arguments.json else render(found))
    return 0


def collect() -> dict:
    """Collect everything that determines what can run and how fast."""
    from fastnn import environment

    return {
        "machine": environment.describe(),
        "executable": sys.executable,
        "backends": [line._asdict() for line in backends()],
        "active": _active(),
        "threads": _threads(),
        "data": _data(),
    }


def render(found: dict) -> str:
    """Format the result of `collect` as text."""
    environment, active = found["machine"], found["active"]
    versions = ", ".join(f"{name} {version or 'is not installed'}" for name, version in environment["versions"].items())
    lines = [
        f"versions    {versions}",
        f"processor   {environment['cpu']}, {environment['cores']} cores, {' '.join(environment['vector_features'])}",
        f"system      {environment['system']}",
    ]
    for position, line in enumerate(found["backends"]):
        status = f"not available: {line['reason']}; {line['remedy']}"
        if line["available"]:
            status = f"available: {line['device']}" if line["device"] else "available"
        lines.append(f"{'' if position else 'backends':11} {line['name']:11} {status}")
    lines.append(f"active      {active['error'] or active['name'] + ', from ' + active['origin']}")
    threads = found["threads"]
    lines.append(f"threads     {threads['error'] or str(threads['number']) + ', from ' + threads['origin']}")
    for position, (name, where) in enumerate(found["data"].items()):
        lines.append(f"{'' if position else 'data':11} {name:11} {where}")
    return "\n".join(lines)


def _active() -> dict[str, str | None]:
    """The backend that a command would use, and what selected it."""
    origin = f"the environment variable {VARIABLE}" if os.environ.get(VARIABLE) else "the default"
    try:
        return {"name": get_backend(), "origin": origin, "error": None}
    except (ValueError, BackendUnavailable) as error:
        return {"name": None, "origin": origin, "error": str(error)}


def _threads() -> dict[str, Any]:
    """The number of threads of the kernels, and what selected it."""
    try:
        return {**thread_count.default()._asdict(), "error": None}
    except ValueError as error:
        return {"number": None, "origin": thread_count.VARIABLE, "error": str(error)}


def _data() -> dict[str, str]:
    """The source of each data set; nothing is downloaded."""
    from fastnn.data_utils import cifar10

    locations = dict(cifar10.locations())
    looked = f"not in {' or '.join(map(str, locations.values()))}" if locations else "not found"
    missing = f"{looked}; downloaded when first used, or set {cifar10.VARIABLE}"
    if "cache" not in locations:
        missing = f"{looked}; this user has no home folder to download it into; set HOME or {cifar10.VARIABLE}"
    return {"shapes": "generated", "cifar10": str(cifar10.find_CIFAR10() or missing)}
