"""One server of the kind that the session is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ort_rrelu.serving.images import image_classifier
from tests.serving.clients import Client
from tests.serving.servers import Served, mlserver_repository, ray_serve
from tests.serving_models import MODELS, parse

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
    network = parse(
        "g (float[batch,1,4,4] x) => (float[batch,16] y) { z = Flatten (x) \n y = ort_rrelu.RRelu (z) }"
    )
    models = {name: MODELS[name] for name in ("eval", "train", "numbers")}
    models |= {
        "image": image_classifier(network),
        "other": MODELS["bfloat16" if kind == "ray" else "strings"],
    }
    with ExitStack() as stack:
        if kind == "ray":
            yield stack.enter_context(ray_serve(models, folder, {"eval": 2}))
        else:
            yield stack.enter_context(mlserver_repository(models, folder))


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
