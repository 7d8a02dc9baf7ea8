"""The servers of a session: each serves every model of tests/serving_models.py that it can carry."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import onnx

from tests.servers.clients import Endpoint
from tests.servers.processes import free_ports, running

MAX_BYTES = 2**20
MAX_ROWS = 16  # of a run that requests share
_SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Served:
    """Models by name; `mark` is in the environment of Ray's processes and in no other's.

    runs: a file with the number of rows of each run, a line each. processes: the ids of `ort-rrelu serve`, by
    the model's name.
    """

    endpoints: Mapping[str, Endpoint]
    runs: Path
    mark: str = ""
    processes: Mapping[str, int] = field(default_factory=dict)

    def noted_rows(self) -> list[int]:
        """The rows of each run until now."""
        return [int(line) for line in self.runs.read_text().split()] if self.runs.exists() else []

    def replicas(self, name: str) -> list[int]:
        """The process ids of a model's replicas."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
            except OSError:  # no process, or one that has just ended
                continue
            if (
                command.startswith(f"ray::ServeReplica:{name}:".encode())
                and self.mark.encode() in environment
            ):
                found.append(int(folder.name))
        return found


def is_ready(*urls: str) -> bool:
    """Whether models answer that they are ready."""
    try:
        for url in urls:
            with urllib.request.urlopen(f"http://{url}/ready", timeout=10):
                pass
    except (urllib.error.URLError, OSError):
        return False
    return True


def _noting(runs: Path) -> dict[str, str]:
    """The environment of a server that notes the rows of its runs."""
    paths = [str(Path(__file__).parent / "noted"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "NOTED_RUNS": str(runs)}


@contextmanager
def ort_rrelu_serve(
    models: Mapping[str, onnx.ModelProto], folder: Path, **limits: float | None
) -> Iterator[Served]:
    """`ort-rrelu serve`, one process a model; None is a limit's default."""
    given = {"max_bytes": MAX_BYTES} | limits
    options = [
        text
        for name, value in given.items()
        if value is not None
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    endpoints, processes = {}, {}
    runs = folder / "runs"
    with ExitStack() as stack:
        for name, model in models.items():
            path, log = folder / f"{name}.onnx", folder / f"{name}.log"
            onnx.save(model, path)
            http, grpc = free_ports(2)
            command = [str(_SCRIPTS / "ort-rrelu"), "serve", str(path), *options]
            ports = ["--http-port", str(http), "--grpc-port", str(grpc)]
            url = f"127.0.0.1:{http}/v2/models/{name}"
            ready = partial(is_ready, url)
            process = stack.enter_context(running([*command, *ports], log, ready, _noting(runs)))
            processes[name] = process.pid
            endpoints[name] = Endpoint(name, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}")
        yield Served(endpoints, runs, processes=processes)


@contextmanager
def mlserver_repository(
    models: Mapping[str, onnx.ModelProto], folder: Path, workers: int = 1
) -> Iterator[Served]:
    """`mlserver start` on a folder of models, with MLServer's own settings."""
    http, grpc, metrics = free_ports(3)
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": workers,
        "metrics_dir": str(folder / ".metrics"),
        "environments_dir": str(folder / ".envs"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, model in models.items():
        (folder / name).mkdir()
        onnx.save(model, folder / name / "model.onnx")
        one = {
            "name": name,
            "implementation": "ort_rrelu.serving.mlserver.Runtime",
            "parameters": {
                "uri": str(folder / name / "model.onnx"),
                "extra": {"threads": 1, "max_rows": MAX_ROWS},
            },
            "max_batch_size": 32,
            "max_batch_time": 0.05,
        }
        (folder / name / "model-settings.json").write_text(json.dumps(one))
    urls = [f"127.0.0.1:{http}/v2/models/{name}" for name in models]
    log, runs = folder / "log", folder / "runs"
    command = [str(_SCRIPTS / "mlserver"), "start", str(folder)]
    with running(command, log, lambda: is_ready(*urls), _noting(runs)):
        endpoints = {name: Endpoint(name, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}") for name in models}
        yield Served(endpoints, runs)


@contextmanager
def ray_serve(
    models: Mapping[str, onnx.ModelProto],
    folder: Path,
    replicas: Mapping[str, int],
    max_batch_time: float = 0.05,
    **limits: float | None,
) -> Iterator[Served]:
    """`serve run` on one file, in a Ray of its own; an application for each model, one replica or more.

    None is a limit's default.
    """
    limited = {"max_bytes": MAX_BYTES, "max_rows": MAX_ROWS} | limits
    given = {name: value for name, value in limited.items() if value is not None}
    http, grpc = free_ports(2)
    applications: list[dict[str, object]] = []
    for name, model in models.items():
        onnx.save(model, folder / f"{name}.onnx")
        arguments: dict[str, object] = {
            "model": str(folder / f"{name}.onnx"),
            **given,
            "max_batch_time": max_batch_time,
        }
        deployment: dict[str, object] = {
            "name": "Served",
            "num_replicas": replicas.get(name, 1),
            "ray_actor_options": {"num_cpus": 0.05},
        }
        applications.append(
            {
                "name": name,
                "route_prefix": f"/{name}",
                "import_path": "ort_rrelu.serving.ray:app",
                "args": arguments,
                "deployments": [deployment],
            }
        )
    servicer = "ort_rrelu.serving.grpc_protocol.add_GRPCInferenceServiceServicer_to_server"
    config = {
        "proxy_location": "HeadOnly",
        "http_options": {"host": "127.0.0.1", "port": http},
        "grpc_options": {"port": grpc, "grpc_servicer_functions": [servicer]},
        "applications": applications,
    }
    file, log, runs = folder / "serve.yaml", folder / "log", folder / "runs"
    file.write_text(json.dumps(config))  # JSON is YAML
    # Short: the names of Ray's sockets are in it, and may have 107 characters.
    own = tempfile.mkdtemp(prefix="rr", dir="/tmp")
    env = _noting(runs) | {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": own, "RAY_USAGE_STATS_ENABLED": "0"}
    urls = [f"127.0.0.1:{http}/{name}/v2/models/{name}" for name in models]
    try:
        with running([str(_SCRIPTS / "serve"), "run", str(file)], log, lambda: is_ready(*urls), env):
            endpoints = {
                name: Endpoint(name, f"127.0.0.1:{http}/{name}", f"127.0.0.1:{grpc}", {"application": name})
                for name in models
            }
            yield Served(endpoints, runs, own)
    finally:
        shutil.rmtree(own, ignore_errors=True)
