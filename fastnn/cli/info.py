"""The command `fastnn info`."""

import argparse
import json
import os
import sys
from typing import Any

from fastnn import BackendUnavailable, backends, get_backend
from fastnn.kernels.cpu import thread_count
from fastnn.kernels.dispatch.switch import DEFAULT, VARIABLE

from . import common


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
        "blocks": _blocks(),
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
    lines += _render_blocks(found["blocks"])
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


def _blocks() -> dict[str, Any] | None:
    """Caches, registers and measured rates, and the sizes of blocks of the compiled kernels; None without these."""
    if not any(line.available for line in backends() if line.name == DEFAULT):
        return None
    from fastnn.kernels.cpu import block_sizes, processor

    record = block_sizes.record() if block_sizes.is_used() else {}
    width, count = block_sizes.registers()
    return {
        "caches": processor.caches(),
        "registers": {"count": count, "bytes": width},
        "rates": record.get("rates"),
        "identifier": block_sizes.identifier(),
        "model": block_sizes.model()._asdict(),
        "tuned": record.get("dtypes", {}),
        "file": str(block_sizes.path()) if record else None,
    }


def _render_blocks(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    caches = ", ".join(f"{level} {common.in_bytes(count)}" for level, count in found["caches"].items())
    rates = "not measured; `fastnn warmup --tune` measures them"
    if found["rates"]:
        flops = (f"{rate / 1e9:.0f} GFLOP/s in {dtype}" for dtype, rate in found["rates"]["FLOP/s"].items())
        rates = ", ".join([f"{found['rates']['B/s'] / 1e9:.1f} GB/s of a copy", *flops])
    lines = [
        f"caches      {caches or 'not reported by the system'}",
        f"vectors     {found['registers']['count']} registers of {found['registers']['bytes']} bytes",
        f"peak rates  {rates}",
        f"blocks      {found['identifier']}: {', '.join(common.size(*pair) for pair in found['model'].items())}",
    ]
    for dtype, tuned in found["tuned"].items():
        lines.append(
            f"{'':11} {dtype} tuned on {tuned['date']} with {tuned['threads']} threads, kept in {found['file']}"
        )
        for name, one in tuned["classes"].items():
            what = f"{common.size(one['size'], one['value'])}, {one['gain']:.2f} times as fast"
            lines.append(f"{'':11} {dtype} {name}: {what}")
        if not tuned["classes"]:
            lines.append(f"{'':11} {dtype}: nothing was faster than the model")
    return lines


def _data() -> dict[str, str]:
    """The source of each data set; nothing is downloaded."""
    from fastnn.data_utils import cifar10

    locations = dict(cifar10.locations())
    looked = f"not in {' or '.join(map(str, locations.values()))}" if locations else "not found"
    missing = f"{looked}; downloaded when first used, or set {cifar10.VARIABLE}"
    if "cache" not in locations:
        missing = f"{looked}; this user has no home folder to download it into; set HOME or {cifar10.VARIABLE}"
    return {"shapes": "generated", "cifar10": str(cifar10.find_CIFAR10() or missing)}
