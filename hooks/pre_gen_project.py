"""Refuse the answers that no working repository can be made of.

cookiecutter renders this file, runs it in the new, empty folder, and removes that folder when it
fails. Every refusal is printed, so that one more try is enough.
"""

from __future__ import annotations

import json
import keyword
import re
import sys

# Safe in a raw string: tojson writes ASCII, and JSON never has three quotes in a row.
ANSWERS = json.loads(r"""<<cookiecutter|tojson>>""")
# The same before cookiecutter rendered them: to it, answers on the command line are templates.
GIVEN = json.loads(r"""<<_cookiecutter|tojson>>""")

TEXT_LENGTH = {"project_name": 60, "description": 200, "author_name": 100}
# Invisible, yet part of names in several scripts and of many emoji.
JOINERS = str.maketrans("", "", "\u200c\u200d")
# What repositories can depend on, import or keep at their root, as `nox -s names` derives it: a
# package must not hide it, and a distribution can't depend on another of the same name.
DISTRIBUTIONS = {name.replace("-", "_") for name in ANSWERS["_taken"]["distributions"]}
TAKEN = {*sys.stdlib_module_names, *DISTRIBUTIONS, *ANSWERS["_taken"]["modules"], "test"}
# What a model may depend on later: distributions, and modules that are called otherwise.
LIBRARIES_OF_MODELS = (
    *("accelerate", "bitsandbytes", "ctranslate2", "cupy", "diffusers", "einops", "faster_whisper"),
    *("flax", "huggingface_hub", "insightface", "jax", "jaxlib", "keras", "librosa", "mediapipe"),
    *("numba", "onnx", "onnxruntime", "onnxruntime_gpu", "openvino", "pandas", "peft"),
    *("safetensors", "scipy", "sentencepiece", "soundfile", "spacy", "tensorflow"),
    *("tensorrt", "timm", "tokenizers", "torch", "torchaudio", "torchvision", "tqdm"),
    *("transformers", "triton", "ultralytics", "vllm", "xformers"),
    *("cv2", "opencv_contrib_python", "opencv_python", "opencv_python_headless"),
    *("scikit_image", "skimage", "scikit_learn", "sklearn"),
    *("openai_whisper", "whisper", "pyyaml", "yaml"),
)
ROUTES = {
    *("docs", "health", "live-video-to-video", "livez", "metrics", "openapi.json", "redoc"),
    *("run", "stream"),
}
# What runs beside the container in compose.yaml, under names of the same network.
SERVICES = {"gateway", "grafana", "orchestrator", "prometheus"}
# What each registry allows as the account in an image's name.
ACCOUNTS = {
    "ghcr.io": (r"(?!.{40})[a-z0-9]+(-[a-z0-9]+)*", "1 to 39 of a-z, 0-9 and single dashes"),
    "docker.io": (r"[a-z0-9]{4,30}", "4 to 30 of a-z and 0-9"),
}


def one_line(answer: str, text: str) -> str | None:
    """Texts stand in quoted strings, headings and labels."""
    longest = TEXT_LENGTH[answer]
    printable = text.translate(JOINERS).isprintable()
    if printable and 1 <= len(text) <= longest and text == text.strip():
        return None
    return f"write one line of 1 to {longest} printable characters, with no space at its ends"


def not_a_template(answer: str, text: str) -> str | None:
    """Jinja would not let its own signs through as they were written."""
    if any(re.search(r"<[%#<]|^\s*#%", form) for form in (text, GIVEN[answer])):
        return "leave out '<' before '<', '%' or '#', and '#%' at the start"
    return None


def slug(_: str, text: str) -> str | None:
    """The slug names a folder, a distribution and an image."""
    if re.fullmatch(r"(?!.{41})[a-z][a-z0-9]*(-[a-z0-9]+)*", text):
        return None
    return "use 1 to 40 of a-z, 0-9 and single dashes, a letter first and no dash last"


def no_dependency(_: str, text: str) -> str | None:
    """A distribution can't depend on another of the same name."""
    if text.replace("-", "_") in DISTRIBUTIONS:
        return "choose a name that no dependency of the repository has"
    return None


def no_library(_: str, text: str) -> str | None:
    """The model could not import, nor the project depend on, a library of its own name."""
    if text.replace("-", "_") in LIBRARIES_OF_MODELS:
        return "choose a name that no library has which models import"
    return None


def no_service(_: str, text: str) -> str | None:
    """The container is reached by this name, among others of the same network."""
    if text in SERVICES:
        return "choose a name that no service of compose.yaml has"
    return None


def identifier(_: str, text: str) -> str | None:
    """The package is imported by this name."""
    if re.fullmatch(r"[a-z][a-z0-9_]{,39}", text) and not keyword.iskeyword(text):
        return None
    return "use 1 to 40 of a-z, 0-9 and _, a letter first, and no word of Python's own"


def not_taken(_: str, text: str) -> str | None:
    """A package that hides one of these breaks imports far from here."""
    if text in TAKEN:
        return "choose a name that no standard module, dependency or folder of the repository has"
    return None


def capability(_: str, text: str) -> str | None:
    """The capability is a route beside the server's own."""
    allowed = re.fullmatch(r"(?!.{41})[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*", text)
    if allowed and text not in ROUTES:
        return None
    routes = ", ".join(sorted(ROUTES))
    return f"use 1 to 40 of A-Z, a-z, 0-9 and, between them, '.', _ or -; not a route: {routes}"


def email(_: str, text: str) -> str | None:
    """Package metadata holds it beside the author's name."""
    if re.fullmatch(r"(?!.{255})[A-Za-z0-9._%+-]+@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+", text):
        return None
    return "write an address of ASCII letters with one @ and a domain"


def account(_: str, text: str) -> str | None:
    """Registries differ in the accounts that they allow."""
    registry = ANSWERS["registry"]
    pattern, rule = ACCOUNTS[registry]
    if re.fullmatch(pattern, text):
        return None
    return f"{registry} takes {rule}"


RULES = {
    "project_name": ((one_line, not_a_template), "My Model"),
    "project_slug": ((slug, no_dependency, no_library, no_service), "my-model"),
    "package_name": ((identifier, not_taken, no_library), "my_model"),
    "description": ((one_line, not_a_template), "Upscales photos"),
    "author_name": ((one_line, not_a_template), "Ada Lovelace"),
    "author_email": ((email,), "ada@example.com"),
    "organization": ((account,), "example"),
    "capability_name": ((capability,), "my-model"),
}


def main() -> int:
    refusals = [
        f"{answer} {ANSWERS[answer]!r}: {complaint}, for example {example!r}"
        for answer, (rules, example) in RULES.items()
        for rule in rules
        if (complaint := rule(answer, ANSWERS[answer]))
    ]
    print(*refusals, sep="\n", end="\n" if refusals else "", file=sys.stderr)
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main())
