"""Derives the names that a generated repository may not take, and notes them in cookiecutter.json.

All that repositories can depend on is installed together, once for each Python, and asked for its
distributions and modules; beside it stands what the repositories keep at their root.
"""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import CONTEXT, OPTIONS, TEMPLATE, bake_all

ASK = """
import json
from importlib.metadata import distributions, packages_distributions
names = [distribution.name for distribution in distributions()]
print(json.dumps([names, list(packages_distributions())]))
"""

type Taken = dict[str, list[str]]


def needs(root: Path) -> set[str]:
    """All that uv installs for the repository, or to build it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"].values()
    lists = (project["project"]["dependencies"], project["build-system"]["requires"], *groups)
    return {requirement for each in lists for requirement in each}


def own(root: Path) -> set[str]:
    """What is found from the repository's root and its tests, now or once it is used."""
    ignored = (root / ".gitignore").read_text(encoding="utf-8")
    later = re.findall(r"^/?(\w+)/$", ignored, re.MULTILINE)
    paths = [*root.iterdir(), *(root / "tests").glob("*.py")]
    return {*later, *(path.name.removesuffix(".py") for path in paths)}


def installed(python: str, requirements: Iterable[str]) -> tuple[list[str], list[str]]:
    """The distributions, and the modules that can be imported, with these requirements."""
    with TemporaryDirectory() as folder:
        interpreter = f"{folder}/bin/python"
        subprocess.run(["uv", "venv", "--quiet", f"--python={python}", folder], check=True)
        install = ["uv", "pip", "install", "--quiet", f"--python={interpreter}"]
        subprocess.run([*install, *requirements], check=True)
        asked = subprocess.run([interpreter, "-I", "-c", ASK], check=True, stdout=subprocess.PIPE)
    distributions, modules = json.loads(asked.stdout)
    return distributions, modules


def derive(roots: Iterable[Path]) -> Taken:
    """The names taken in repositories of all combinations; only those that an answer could be."""
    requirements = set[str]()
    modules = set[str]()
    for root in roots:
        requirements |= needs(root)
        modules |= own(root)
    distributions = set[str]()
    for python in OPTIONS["python_version"]:
        found = installed(python, sorted(requirements))
        distributions |= {re.sub(r"[-_.]+", "-", name).lower() for name in found[0]}
        modules |= set(found[1])
    # mypyc's modules have a hash for a name.
    named = (name for name in modules if re.fullmatch(r"[a-z]\w*(?<!__mypyc)", name))
    return {"distributions": sorted(distributions), "modules": sorted(named)}


def main() -> None:
    with TemporaryDirectory() as folder:
        roots = [repository.root for repository in bake_all(Path(folder))]
        CONTEXT["_taken"] = derive(roots)
    text = json.dumps(CONTEXT, ensure_ascii=False, indent=2)
    (TEMPLATE / "cookiecutter.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
