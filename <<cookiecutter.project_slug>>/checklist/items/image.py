"""Image.

What it contains, and how it starts.
"""

import re
from contextlib import suppress

from ..callers import calling
from ..image_facts import SECRET, config, docker, layers_and_steps, visible
from ..item import FailedError, Item, SkippedError
from ..lab import Lab
from emulator.container import Container, StartError
from load_test.target import ended

RIGHTS = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "NET_BIND_SERVICE", "SETGID", "SETUID")
NOT_HARDENED = ("--read-only=false", *(f"--cap-add={name}" for name in RIGHTS))
# Writable folders, except those in memory and the kernel's.
WRITABLE = """import os
for folder, folders, _ in os.walk("/"):
    folders[:] = {*folders} - ({"tmp", "dev", "proc", "sys"} if folder == "/" else set())
    if os.access(folder, os.W_OK): print(folder)
"""
SHELL = re.compile(r"(\S*/)?(sh|bash|dash|ash|zsh|busybox)( |$)")
LABELS = ("title", "source", "licenses", "revision", "version")
SETTING = re.compile(
    r"(?i)\b(\w*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?))"
    r"""=(?!["']?[$/<])\S{6,}|\w+://[^\s/$@]+:[^\s/$@]+@"""
)
CACHE = re.compile(
    r"^var/(lib/apt/lists|cache/(apt|apk|dnf|yum))/.|(^|/)(\.cache/(pip|uv|pypoetry)|_cacache)/"
)
MOST_CACHE_BYTES, MOST_HIDDEN = 1_000_000, 0.1
TOOL = re.compile(
    r"(^|/)bin/(uvx?|pip[\d.]*|cc|c\+\+|as|go|rustc|cargo|nvcc|cmake|ninja"
    r"|(.+-)?(gcc|g\+\+|clang(\+\+)?|ld|make)(-[\d.]+)?)$|/site-packages/(pip|uv)/__init__\.py$"
)


class ReadOnlyRoot(Item):
    """Serves with a read-only root.

    The container starts and serves with a read-only root, no capabilities and no new privileges.

    Why: an intruder can then write nothing. https://docs.docker.com/engine/containers/run/

    Fix: write only below /tmp, which is in memory; declare no VOLUME; need no capability.
    """

    target = "image"

    def check(self, lab: Lab) -> str:
        try:
            self.serve(lab, lab.running())
        except (StartError, AssertionError) as error:
            with suppress(StartError, AssertionError), lab.launch(NOT_HARDENED) as container:
                container.wait_ready()
                self.serve(lab, container)
                words = ended(error) if isinstance(error, StartError) else error
                raise FailedError(f"it serves only without these limits: {words}") from None
            raise SkippedError("without limits it does not serve either: see `ready`") from None
        if writable := docker("exec", lab.running().name, "python", "-c", WRITABLE).stdout:
            raise FailedError(f"these can be written to all the same: {writable}")
        return "a session was served, and nothing but memory could be written to"

    def serve(self, lab: Lab, container: Container) -> None:
        with calling(lab.options, container, 1) as callers:
            callers.wait_answered()
        assert not callers.troubles, " ".join(callers.troubles)


class User(Item):
    """Not root.

    The image runs as a user of its own, not as root.

    Why: root in the container is root on the machine for an intruder who leaves the container.
    https://docs.docker.com/build/building/best-practices/#user

    Fix: end the Dockerfile with `USER 10001:10001`, or another number.
    """

    target = "image"

    def check(self, lab: Lab) -> str:
        user: str = config(lab.image).get("User") or "root"
        if user.partition(":")[0] in ("root", "0"):
            raise FailedError(f"the container runs as root: USER is {user}")
        words = "" if user[0].isdigit() else "; a number is better, because Kubernetes asks for it"
        return f"the container runs as {user}{words}"


class ExecForm(Item):
    """Signals reach the server.

    The server is started in exec form: process 1 is not a shell.

    Why: a shell does not pass on the signal to stop, so the server is killed with open work.
    https://docs.docker.com/reference/dockerfile/#exec-form-entrypoint-example

    Fix: write `ENTRYPOINT ["python", "-m", …]`, and `exec` in a script.
    """

    needs = (ReadOnlyRoot,)
    target = "image"

    def check(self, lab: Lab) -> str:
        start = config(lab.image)
        command = " ".join([*(start.get("Entrypoint") or []), *(start.get("Cmd") or [])])
        process = docker("exec", lab.running().name, "cat", "/proc/1/cmdline").stdout
        for words in (command, process := process.replace("\0", " ").strip()):
            if SHELL.match(words):
                raise FailedError(f"a shell is started: {words}")
        return f"process 1 is `{process}`"


class HealthCheck(Item):
    """Docker checks the health.

    Docker checks the server in exec form, and the check fails if there is no server.

    Why: without a check, Docker and Compose call a hanging container healthy.
    https://docs.docker.com/reference/dockerfile/#healthcheck

    Fix: keep the Dockerfile's HEALTHCHECK, which exits with 0 if the server is well, else with 1.
    """

    needs = (ReadOnlyRoot,)
    target = "image"

    def check(self, lab: Lab) -> str:
        found = config(lab.image).get("Healthcheck") or {}
        form, *command = found.get("Test") or ["NONE"]
        if form != "CMD":
            raise FailedError(f"its form is not exec, but {form} {' '.join(command)}")
        if not found.get("Timeout"):
            raise FailedError("it has no timeout, and Docker waits for 30 s")
        container = lab.running()
        port = f"--env=BYOC_OPS_PORT={container.ops.base_url.port}"
        checked = docker("exec", port, container.name, *command)
        if checked.returncode:
            raise FailedError(f"it fails while the server is well: {checked.stderr}")
        alone = ("run", "--rm", "--network=none", f"--entrypoint={command[0]}", lab.image)
        if docker(*alone, *command[1:]).returncode == 0:
            raise FailedError("it succeeds where no server is")
        return "it succeeds while the server is well, and fails where none is"


class Secrets(Item):
    """No secret inside.

    The image contains no password, token or private key: not in its settings, history or layers.

    Why: anybody who pulls the image can read them, even if a later layer deletes the file.
    https://docs.docker.com/build/building/secrets/

    Fix: revoke the secret; give it to the build with `RUN --mount=type=secret`, and to the
    container in a file that a setting `…_FILE` names.
    """

    target = "image"

    def check(self, lab: Lab) -> str:
        layers, steps = layers_and_steps(lab.image)
        found = {
            f"/{path} in layer {number} of {len(layers)}"
            for number, layer in enumerate(layers, 1)
            for path in layer.secrets
        }
        for text in (*steps, *(config(lab.image).get("Env") or [])):
            if match := SETTING.search(text):
                found.add(match[1] or "a password in an address")
            elif SECRET.search(text):
                found.add("a token in the history or environment")
        if found:
            raise FailedError(f"these look like secrets: {', '.join(sorted(found))}")
        return f"none in {len(steps)} steps and {sum(len(layer.files) for layer in layers)} files"


class Labels(Item):
    """Says what it is.

    The image's labels give its title, source, license, revision and version.

    Why: an operator who finds a fault must know which version runs, and where to report the fault.
    https://specs.opencontainers.org/image-spec/annotations/

    Fix: keep the Dockerfile's LABEL; build with `--build-arg=REVISION=…` and `VERSION=…`.
    """

    target = "image"

    def check(self, lab: Lab) -> str:
        labels = config(lab.image).get("Labels") or {}
        values = {name: labels.get(f"org.opencontainers.image.{name}", "") for name in LABELS}
        if missing := [name for name, value in values.items() if not value.strip()]:
            raise FailedError(f"org.opencontainers.image has no {', '.join(missing)}")
        return ", ".join(f"{name} {value}" for name, value in values.items())


class Size(Item):
    """No ballast.

    The image has no package caches, and few bytes that later steps delete or repeat.

    Why: each machine pulls every new version, and a cold start waits for that.
    https://docs.docker.com/build/cache/optimize/

    Fix: mount caches with `RUN --mount=type=cache`; delete files in the step that makes them; set
    owner and mode with `COPY --chown --chmod`.
    """

    target = "image"

    def check(self, lab: Lab) -> str:
        sizes = [size for layer in layers_and_steps(lab.image)[0] for size in layer.files.items()]
        total = sum(size for _, size in sizes)
        caches = sum(size for path, size in sizes if CACHE.search(path))
        hidden = total - sum(visible(lab.image).values())
        words = f"of {total / 1e6:.0f} MB, {hidden / 1e6:.0f} MB are hidden by later steps"
        if caches > MOST_CACHE_BYTES:
            raise FailedError(f"{words}, and {caches / 1e6:.0f} MB are caches")
        if hidden > MOST_HIDDEN * total:
            raise FailedError(f"{words}: more than {MOST_HIDDEN:.0%}")
        return words


class NoCompiler(Item):
    """No compiler, no installer.

    The image has no compiler, no linker, no make and no package installer.

    Why: an intruder could use them. https://docs.docker.com/build/building/multi-stage/

    Fix: compile in an earlier stage, and copy the result.
    """

    target = "image"

    def check(self, lab: Lab) -> str:
        files = visible(lab.image)
        if found := [f"/{path}" for path in files if TOOL.search(path)]:
            raise FailedError(f"there are {', '.join(found)}")
        return f"none among {len(files)} files"
