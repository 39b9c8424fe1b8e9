"""Keep the files that the options ask for, note the answers, and say what to do next."""

import json
from pathlib import Path

# Safe in a raw string: tojson writes ASCII, and JSON never has three quotes in a row.
ANSWERS = json.loads(r"""<<cookiecutter|tojson>>""")
# As the tables of files have the package; written so lest it be rendered here.
PACKAGE = "<" * 2 + "cookiecutter.package_name" + ">" * 2


def keep_chosen_files() -> None:
    """Under their plain names, and no folder that is empty without the others."""
    offered: set[str] = set()
    chosen: dict[str, str] = {}
    for option, choices in ANSWERS["_options"].items():
        for choice, parts in choices.items():
            offered |= parts["files"].keys()
            if choice == ANSWERS[option]:
                chosen |= parts["files"]
    for options, choices in ANSWERS["_pairs"].items():
        answers = " ".join(ANSWERS[option] for option in options.split())
        for files in choices.values():
            offered |= files.keys()
        chosen |= choices.get(answers, {})
    for variant in offered - chosen.keys():
        path(variant).unlink()
    for variant, name in chosen.items():
        path(variant).rename(path(name))
    for folder in sorted(Path().rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def path(listed: str) -> Path:
    return Path(listed.replace(PACKAGE, ANSWERS["package_name"]))


def note_answers() -> None:
    """All that is needed to generate the same repository again."""
    note = {name: value for name, value in ANSWERS.items() if not name.startswith("_")}
    note["template_version"] = ANSWERS["__template_version"]
    text = json.dumps(note, ensure_ascii=False, indent=2, sort_keys=True)
    Path(".cookiecutter.json").write_text(text + "\n", encoding="utf-8")


keep_chosen_files()
note_answers()
package = ANSWERS["package_name"]
print(f"Serve it:     cd {ANSWERS['project_slug']} && uv run python -m {package}")
print("Test it:      uvx nox -s tests")
print(f"Then put your model into src/{package}/model.py; README.md says how.")
