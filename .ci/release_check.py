"""Whether a tag may be released: it is the version of pyproject.toml, and nothing is left to be filled in.

usage: release_check.py TAG, in the root of the repository
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def obstacles(tag: str, pyproject: str, changelog: str) -> list[str]:
    """What stands against a release under this tag, and what to do about each."""
    project = tomllib.loads(pyproject)["project"]
    version, urls = project["version"], project["urls"]
    found = []
    if tag != f"v{version}":
        found.append(
            f"the tag is {tag}, but pyproject.toml has version {version}: tag v{version}, or change that"
        )
    heading = re.search(r"^## (.*)$", changelog, re.M)
    if not heading or not re.fullmatch(rf"{re.escape(version)}, \d{{4}}-\d\d-\d\d", heading[1]):
        shown = heading[1] if heading else "nothing"
        found.append(
            f"CHANGELOG.md begins with {shown!r}: its first heading must be the version and the day, "
            f"such as '## {version}, 2030-01-31'"
        )
    home = urls["Repository"]
    if "://example." in home:
        found.append(
            f"the repository {home} is a placeholder: write its address into [project.urls] of pyproject.toml"
        )
    found += [
        f"{name} of [project.urls] is {url}, which is not in the repository {home}"
        for name, url in urls.items()
        if url != home and not url.startswith(f"{home}/")
    ]
    return found


if __name__ == "__main__":
    (tag,) = sys.argv[1:]
    found = obstacles(tag, *(Path(name).read_text("utf-8") for name in ("pyproject.toml", "CHANGELOG.md")))
    if found:
        sys.exit("\n- ".join([f"{tag} cannot be released:", *found]))
