"""Refuse answers from which no working repository can be made.

cookiecutter renders this file, runs it in the new, empty folder, and removes that folder if it
fails. All refusals are printed at once, so that the user needs only one more try.
"""

from __future__ import annotations

import json
import keyword
import re
import sys

# Safe in a raw string: tojson writes ASCII, and JSON never has three quotes in a row.
ANSWERS = json.loads(r"""<<cookiecutter|tojson>>""")
# The answers before cookiecutter rendered them, because it reads those on the command line as
# templates.
GIVEN = json.loads(r"""<<_cookiecutter|tojson>>""")

TEXT_LENGTH = {"project_name": 60, "description": 200, "author_name": 100}
# Invisible, but allowed, because several scripts and many emoji need them.
JOINERS = str.maketrans("", "", "\u200c\u200d")
# Names that repositories can depend on, import or have at their root, derived by `nox -s names`. A
# package must not hide one of them, and a distribution can't depend on another of the same name.
DISTRIBUTIONS = {name.replace("-", "_") for name in ANSWERS["_taken"]["distributions"]}
TAKEN = {*sys.stdlib_module_names, *DISTRIBUTIONS, *ANSWERS["_taken"]["modules"], "test"}
# Libraries that a model may need later: distributions, and modules with other names.
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
# The other services of the Compose files, which share a network with the container.
SERVICES = {"gateway", "grafana", "orchestrator", "prometheus"}
# The names of accounts that each registry allows.
ACCOUNTS = {
    "ghcr.io": (r"(?!.{40})[a-z0-9]+(-[a-z0-9]+)*", "1 to 39 of a-z, 0-9 and single dashes"),
    "docker.io": (r"[a-z0-9]{4,30}", "4 to 30 of a-z and 0-9"),
}


def one_line(answer: str, text: str) -> str | None:
    """Texts are put into quoted strings, headings and labels."""
    longest = TEXT_LENGTH[answer]
    printable = text.translate(JOINERS).isprintable()
    if printable and 1 <= len(text) <= longest and text == text.strip():
        return None
    return f"write one line of 1 to {longest} printable characters, with no space at its ends"


def not_a_template(answer: str, text: str) -> str | None:
    """Jinja would not copy its own signs as they were written."""
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
        return "choose another name, because a dependency of the repository has this one"
    return None


def no_library(_: str, text: str) -> str | None:
    """The model could not import, and the project not depend on, a library of the same name."""
    if text.replace("-", "_") in LIBRARIES_OF_MODELS:
        return "choose another name, because a library that models import has this one"
    return None


def no_service(_: str, text: str) -> str | None:
    """Other services reach the container by this name."""
    if text in SERVICES:
        return "choose another name, because another service in Compose has this one"
    return None


def identifier(_: str, text: str) -> str | None:
    """The package is imported by this name."""
    if re.fullmatch(r"[a-z][a-z0-9_]{,39}", text) and not keyword.iskeyword(text):
        return None
    return "use 1 to 40 of a-z, 0-9 and _, a letter first, and no keyword of Python"


def not_taken(_: str, text: str) -> str | None:
    """A package that hides one of these breaks imports elsewhere."""
    if text in TAKEN:
        return (
            "choose another name, because a standard module, a dependency or a folder of the "
            "repository has this one"
        )
    return None


def capability(_: str, text: str) -> str | None:
    """The capability is a route of the server, beside its other routes."""
    allowed = re.fullmatch(r"(?!.{41})[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*", text)
    if allowed and text not in ROUTES:
        return None
    routes = ", ".join(sorted(ROUTES))
    return f"use 1 to 40 of A-Z, a-z, 0-9 and, between them, '.', _ or -; not a route: {routes}"


def app(_: str, text: str) -> str | None:
    """Callers find the model by its app, which is part of JSON, Python, Markdown and commands."""
    part = "[A-Za-z0-9][A-Za-z0-9._-]*"
    if re.fullmatch(rf"(?!.{{81}}){part}(/{part})+", text):
        return None
    return (
        "write pipeline/model: at most 80 of A-Z, a-z, 0-9, '.', _, - and /, "
        "with a letter or a digit first and after each /"
    )


def email(_: str, text: str) -> str | None:
    """Package metadata contains it, with the author's name."""
    if re.fullmatch(r"(?!.{255})[A-Za-z0-9._%+-]+@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+", text):
        return None
    return "write an address of ASCII letters with one @ and a domain"


def account(_: str, text: str) -> str | None:
    """Registries allow different names."""
    registry = ANSWERS["registry"]
    pattern, rule = ACCOUNTS[registry]
    if re.fullmatch(pattern, text):
        return None
    return f"{registry} accepts {rule}"


RULES = {
    "project_name": ((one_line, not_a_template), "My Model"),
    "project_slug": ((slug, no_dependency, no_library, no_service), "my-model"),
    "package_name": ((identifier, not_taken, no_library), "my_model"),
    "description": ((one_line, not_a_template), "Upscales photos"),
    "author_name": ((one_line, not_a_template), "Ada Lovelace"),
    "author_email": ((email,), "ada@example.com"),
    "organization": ((account,), "example"),
    "capability_name": ((capability,), "my-model"),
    "app": ((app,), "image-to-text/my-ocr"),
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
