"""Tests of the source archive, where there is no network: nox's session `sdist`."""
