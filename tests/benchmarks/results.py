"""The results of one run: times by case, with the machine and the versions that they belong to."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ort_rrelu import library
from ort_rrelu.files import replacing
from tests.benchmarks.contenders import Case

_PACKAGES = ("ort-rrelu", "onnxruntime", "torch", "numpy")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


def machine() -> dict[str, Any]:
    """Where and with what."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "instruction_set": library.build_info()["instruction_set"],
        "compiler": library.build_info()["compiler"],
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "commit": commit.stdout.strip(),
    }


def network_key(exporter: str, mode: str, threads: int) -> str:
    """The name of a whole network's time."""
    return f"{exporter}, {mode}, {threads} threads"


@dataclass(frozen=True)
class Results:
    """Best time of each case in seconds, of each network, the rates of each instruction set, and ratios.

    memory: network -> the peak of a training step, ours over that of torch's RReLU. digits: whose modules ->
    the speed of a training step of the digits network, over that with torch's.
    """

    machine: Mapping[str, Any]
    seconds: Mapping[Case, float]
    networks: Mapping[str, float]
    instruction_sets: Mapping[str, Mapping[str, float]]
    memory: Mapping[str, float]
    digits: Mapping[str, float]

    @classmethod
    def of_pytest(
        cls,
        report: Path,
        instruction_sets: Mapping[str, Mapping[str, float]],
        memory: Mapping[str, float],
        digits: Mapping[str, float],
    ) -> Results:
        """From the JSON of pytest-benchmark."""
        seconds, networks = {}, {}
        for entry in json.loads(report.read_text("utf-8"))["benchmarks"]:
            info, best = entry["extra_info"], entry["stats"]["min"]
            if "network" in info:
                networks[network_key(info["network"], info["mode"], info["threads"])] = best
            else:
                seconds[Case(**info)] = best
        return cls(machine(), seconds, networks, instruction_sets, memory, digits)

    def save(self, path: Path) -> None:
        """As JSON."""
        cases = [asdict(case) | {"seconds": seconds} for case, seconds in self.seconds.items()]
        lines = ",\n    ".join(json.dumps(case) for case in cases)
        rest = {
            "machine": self.machine,
            "networks": self.networks,
            "instruction_sets": self.instruction_sets,
            "memory": self.memory,
            "digits": self.digits,
        }
        text = json.dumps(rest, indent=2).removesuffix("\n}") + f',\n  "cases": [\n    {lines}\n  ]\n}}\n'
        with replacing(path) as temporary:
            Path(temporary).write_text(text, "utf-8")
