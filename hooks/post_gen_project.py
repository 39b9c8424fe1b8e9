"""Copy the files that the options need, write down the answers, and say what to do next."""

import hashlib
import json
import shutil
from pathlib import Path

# Safe in a raw string: tojson writes ASCII, and JSON never has three quotes in a row.
ANSWERS = json.loads(r"""<<cookiecutter|tojson>>""")
ONLY = Path("_only")
RUNTIME = Path("src", ANSWERS["package_name"], "runtime")


def lay_chosen_files() -> None:
    """Copy the folders whose conditions are met over the rest.

    A condition is `option=choice,choice+option=...`, or several of these joined by `_or_`. Files
    that only other answers need are removed: with `--overwrite-if-exists` old ones may be there.
    """
    chosen: set[Path] = set()
    others: set[Path] = set()
    for folder in ONLY.iterdir():
        if any(map(is_met, folder.name.split("_or_"))):
            shutil.copytree(folder, ".", dirs_exist_ok=True)
            files = chosen
        else:
            files = others
        files |= {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}
    shutil.rmtree(ONLY)
    for stale in others - chosen:
        stale.unlink(missing_ok=True)
        for folder in stale.parents[:-1]:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def is_met(condition: str) -> bool:
    parts = (part.split("=") for part in condition.split("+"))
    return all(ANSWERS[option] in choices.split(",") for option, choices in parts)


def note_answers() -> None:
    """Write the answers to a file, from which the same repository can be generated again."""
    note = {name: value for name, value in ANSWERS.items() if not name.startswith("_")}
    note["template_version"] = ANSWERS["__template_version"]
    text = json.dumps(note, ensure_ascii=False, indent=2, sort_keys=True)
    Path(".cookiecutter.json").write_text(text + "\n", encoding="utf-8")


def note_checksums() -> None:
    """Write the checksums of all that an update replaces, as `sha256sum --check` reads them."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(RUNTIME).as_posix()}\n"
        for file in sorted(RUNTIME.rglob("*.py"))
    ]
    (RUNTIME / "checksums.txt").write_bytes("".join(lines).encode())


lay_chosen_files()
note_answers()
note_checksums()
package = ANSWERS["package_name"]
print(f"Serve it:     cd {ANSWERS['project_slug']} && uv run python -m {package}")
print("Test it:      uv run nox -s tests")
print(f"Then put your model into src/{package}/model.py; README.md says how.")
