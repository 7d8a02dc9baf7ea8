"""One server of the kind that the session is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.serving.clients import Client
from tests.serving.servers import Served, mlserver_repository, ray_serve
from tests.serving_models import MODELS

Connect = Callable[[str, str], Client]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", choices=["mlserver", "ray"], required=True)


@pytest.fixture(scope="session")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--server"))


@pytest.fixture(scope="session")
def served(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Every model that the server can carry, each with batching asked for."""
    folder = tmp_path_factory.mktemp(kind)
    models = {name: model for name, model in MODELS.items() if kind == "ray" or name != "bf16"}
    start = ray_serve if kind == "ray" else mlserver_repository
    with start(models, folder) as server:
        yield server


@pytest.fixture(params=["json", "binary", "grpc"])
def transport(request: pytest.FixtureRequest, kind: str) -> str:
    if kind == "mlserver" and request.param == "binary":
        pytest.skip("MLServer has no binary tensors over HTTP")
    return str(request.param)


@pytest.fixture
def connect(served: Served) -> Iterator[Connect]:
    """(model, transport) -> a client, closed in the end."""
    with ExitStack() as stack:

        def open_client(name: str, transport: str) -> Client:
            client = Client(served.endpoints[name], transport)
            stack.callback(client.close)
            return client

        yield open_client
