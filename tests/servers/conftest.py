"""One server of the kind that the session is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ort_rrelu.serving.images import image_classifier
from tests.servers.clients import Client
from tests.servers.servers import Served, mlserver_repository, ray_serve
from tests.serving_models import MODELS, parse

BODY_TIMEOUT = 5  # seconds, of Ray's applications
Connect = Callable[[str, str], Client]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", choices=["mlserver", "ray"], required=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files named after a server are for its session."""
    other = {"mlserver": "ray", "ray": "mlserver"}[config.getoption("--server")]
    return True if collection_path.name.startswith(f"test_{other}_") else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The transports that the server has; MLServer has no binary tensors over HTTP."""
    server = metafunc.config.getoption("--server")
    transports = ["json", "binary", "grpc"] if server == "ray" else ["json", "grpc"]
    if "transport" in metafunc.fixturenames:
        metafunc.parametrize("transport", transports)
    if "raw_transport" in metafunc.fixturenames:  # tritonclient has 16-bit types as bytes only
        metafunc.parametrize("raw_transport", transports[1:])


@pytest.fixture(scope="session")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--server"))


@pytest.fixture(scope="session")
def served(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A model of each kind that the server can carry, each with batching asked for."""
    network = parse(
        "g (float[batch,1,4,4] x) => (float[batch,16] y) { z = Flatten (x) \n y = ort_rrelu.RRelu (z) }"
    )
    models = {name: MODELS[name] for name in ("eval", "train", "steps", "centred", "numbers", "lookup")}
    models["image"] = image_classifier(network)
    models["other"] = MODELS["bfloat16" if kind == "ray" else "strings"]
    folder = tmp_path_factory.mktemp(kind)
    with ExitStack() as stack:
        if kind == "ray":
            yield stack.enter_context(ray_serve(models, folder, {"eval": 2}, body_timeout=BODY_TIMEOUT))
        else:
            yield stack.enter_context(mlserver_repository(models, folder))


@pytest.fixture
def connect(served: Served) -> Iterator[Connect]:
    """(model, transport) -> a client, closed in the end."""
    with ExitStack() as stack:

        def open_client(name: str, transport: str) -> Client:
            client = Client(served.endpoints[name], transport)
            stack.callback(client.close)
            return client

        yield open_client
