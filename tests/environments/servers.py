"""MLServer, Ray Serve, `ort-rrelu serve`."""

from __future__ import annotations

import nox

from tests.environments.install import PYTEST, built_wheel, install


def _test_serving(session: nox.Session, server: str) -> None:
    # Servers and clients share two cores: threads that wait in a loop would take them away.
    env = {"OMP_NUM_THREADS": "1"}
    arguments = session.posargs or ["tests/servers"]
    session.run("python", "-m", "pytest", "-q", "--disable-warnings", "--server", server, *arguments, env=env)


@nox.session(tags=["alone"])
def serving(session: nox.Session) -> None:
    """MLServer, from the library's tests to the example of docs/serving.md as pasted."""
    install(session, f"{built_wheel(session)}[serve,demo]", *PYTEST)
    _test_serving(session, "mlserver")


@nox.session(default=False, tags=["servers"])
@nox.parametrize("what", ["fuzz", "faults"])
def serving_long(session: nox.Session, what: str) -> None:
    """`ort-rrelu serve`: requests by chance, and faults. `make fuzz-serving`, `make test-faults`."""
    install(session, f"{built_wheel(session)}[serve]")
    session.run("python", "-m", f"tests.servers.{what}", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(tags=["alone"])
def serving_ray(session: nox.Session) -> None:
    """Ray Serve, which wants another fastapi than MLServer."""
    # 2.73 takes bfloat16 from ml_dtypes, an older one; 2.69, which goes with MLServer, does not.
    packages = ["tritonclient==2.73.0", "ml_dtypes==0.5.4", *PYTEST]
    install(session, f"{built_wheel(session)}[serve-ray]", *packages)
    _test_serving(session, "ray")
