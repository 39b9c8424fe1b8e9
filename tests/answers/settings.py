"""Writes the `.env.example` of each pipeline and registration, as its own command prints it."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import FOLDER, OPTIONS, Repository, bake, digests
from programs.environment import run, variables

# Names that occur nowhere else, and the answers that they stand for.
NAMES = {"package_name": "xpackagex", "capability_name": "xcapabilityx", "app": "xappx/xappx"}
EXAMPLE = ".env.example"


def main() -> None:
    for pipeline, registration in itertools.product(OPTIONS["pipeline"], OPTIONS["registration"]):
        answers = {"pipeline": pipeline, "registration": registration, "accelerator": "cpu"}
        with TemporaryDirectory() as folder:
            root = bake(Path(folder), **answers, **NAMES)
            given = variables(Repository(root, {"python_version": "3.13"}, digests(root)), root)
            command = ["uv", "run", "--quiet", "python", "-m", NAMES["package_name"], "--settings"]
            text = run(command, root, given)
        for answer, name in NAMES.items():
            text = text.replace(name, f"<<cookiecutter.{answer}>>")
        only = FOLDER / f"_only/registration={registration}+pipeline={pipeline}"
        (only / EXAMPLE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
