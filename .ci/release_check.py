"""Whether a tag may be released: it is the version of pyproject.toml, and nothing is left to be filled in.

usage: release_check.py TAG [BRANCH], in the root of the repository; the commit there must be on that branch
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import tomllib
from pathlib import Path


def obstacles(tag: str, pyproject: str, changelog: str) -> list[str]:
    """What stands against a release under this tag, and what to do about each."""
    project = tomllib.loads(pyproject)["project"]
    version = project["version"]
    found = []
    if tag != f"v{version}":
        found.append(
            f"the tag is {tag}, but pyproject.toml has version {version}: tag v{version}, or change that"
        )
    return [*found, *_of_changelog(version, changelog), *_of_addresses(project.get("urls", {}))]


def _of_changelog(version: str, changelog: str) -> list[str]:
    heading = re.search(r"^## (.*)$", changelog, re.M)
    day = re.fullmatch(rf"{re.escape(version)}, (\d{{4}}-\d\d-\d\d)", heading[1]) if heading else None
    if not day:
        shown = heading[1] if heading else "nothing"
        return [
            f"CHANGELOG.md begins with {shown!r}: its first heading must be the version and the day, "
            f"such as '## {version}, 2030-01-31'"
        ]
    try:
        datetime.date.fromisoformat(day[1])
    except ValueError:
        return [f"CHANGELOG.md says {day[1]}, which is no day: write the day of the release"]
    return []


def _of_addresses(urls: dict[str, str]) -> list[str]:
    home = urls.get("Repository")
    if not home:
        return ["[project.urls] of pyproject.toml has no Repository: write its address there"]
    found = []
    if "://example." in home:
        found.append(
            f"the repository {home} is a placeholder: write its address into [project.urls] of pyproject.toml"
        )
    return found + [
        f"{name} of [project.urls] is {url}, which is not in the repository {home}"
        for name, url in urls.items()
        if url != home and not url.startswith(f"{home}/")
    ]


def off_branch(branch: str) -> list[str]:
    """What stands against it if the checked-out commit is not on the branch."""
    command = ["git", "merge-base", "--is-ancestor", "HEAD", branch]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if not result.returncode:
        return []
    if result.returncode == 1:
        return [f"its commit is not on {branch}: merge it, and tag the commit that is there"]
    return [f"whether its commit is on {branch} is not known: {result.stderr.strip()}"]


def _text(name: str) -> str:
    try:
        return Path(name).read_text("utf-8")
    except FileNotFoundError:
        sys.exit(f"there is no {name} in {Path.cwd()}: run this in the root of the repository")


def main(tag: str, *branches: str) -> None:
    """Exit with what stands against the release, if anything does."""
    found = obstacles(tag, _text("pyproject.toml"), _text("CHANGELOG.md"))
    found += [obstacle for branch in branches for obstacle in off_branch(branch)]
    if found:
        sys.exit("\n- ".join([f"{tag} cannot be released:", *found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
