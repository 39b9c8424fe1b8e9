"""Serve the model until a signal. This file is yours: it says what is served, and as what.

`--settings` prints all settings instead, as `.env.example` has them. Exit codes: 0 stopped as
asked; 1 something was cut, or the model can't come up; 2 a wrong setting, a port that is taken, or
a GPU required and absent.
"""

import sys
from typing import TYPE_CHECKING

from .runtime.signals import exit_at_once

if TYPE_CHECKING:
    from .runtime.container import Parts
    from .runtime.ops.gpu import Gpu
    from .runtime.settings import SettingsGroup

DISTRIBUTION = "<<cookiecutter.project_slug>>"
# The environment takes precedence.
DEFAULTS = {
    # As text: the model runs in a process of its own, and is never imported into this one.
    "BYOC_MODEL": f"{__package__}.model:Model",
    "BYOC_CAPABILITY_NAME": "<<cookiecutter.capability_name>>",
    #% if cookiecutter.registration == "live-runner"
    "BYOC_APP": "<<cookiecutter.app>>",
    #% endif
}
EXECUTOR = f"{__package__}.runtime.worker.<<cookiecutter.__executor>>"


def main() -> int:
    exit_at_once()

    from .runtime.serve import print_settings, serve

    if "--settings" in sys.argv:
        return print_settings(settings(), DEFAULTS)
    return serve(DISTRIBUTION, settings(), DEFAULTS, EXECUTOR, gpu, parts)


def settings() -> "tuple[type[SettingsGroup], ...]":
    """Settings that this container reads, besides those that every container reads."""
    #% if cookiecutter.registration != "static"
    from .runtime.livepeer.<<cookiecutter.__registration_settings>> import REGISTRATION_SETTINGS
    #% endif
    from .runtime.<<cookiecutter.__pipeline_settings>> import PIPELINE_SETTINGS
    from .settings import Settings

    return <<cookiecutter.__settings>>


def gpu() -> "type[Gpu]":
    """What the container knows of its GPUs; imported first where one is required."""
    from .runtime.ops.<<cookiecutter.__gpu.split()[0]>> import <<cookiecutter.__gpu.split()[1]>>

    return <<cookiecutter.__gpu.split()[1]>>


def parts() -> "Parts":
    """What the container is made of; imported while the model's process starts."""
    from .runtime.api.<<cookiecutter.__service.split()[0]>> import <<cookiecutter.__service.split()[1]>>
    from .runtime.container import Parts
    #% if cookiecutter.pipeline == "live-video-to-video"
    from .runtime.livepeer.<<cookiecutter.__registrar.split()[0]>> import <<cookiecutter.__registrar.split()[1]>>
    from .runtime.media.<<cookiecutter.__encoders.split()[0]>> import <<cookiecutter.__encoders.split()[1]>>

    #% else
    from .runtime.livepeer.<<cookiecutter.__registrar.split()[0]>> import <<cookiecutter.__registrar.split()[1]>>

    #% endif
    return Parts(<<cookiecutter.__parts>>)


if __name__ == "__main__":
    sys.exit(main())
