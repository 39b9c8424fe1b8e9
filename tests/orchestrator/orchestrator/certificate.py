"""Certificates as orchestrators use them: signed by nobody but their owner (server/cert.go)."""

import ssl
import subprocess
from pathlib import Path


def self_signed(folder: Path) -> ssl.SSLContext:
    """A fresh one, whose files are put into the folder."""
    command = "openssl req -x509 -nodes -subj /CN=orchestrator -newkey ec"
    options = "-pkeyopt ec_paramgen_curve:prime256v1 -keyout key.pem -out certificate.pem"
    names = "-addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    arguments = f"{command} {options} {names}".split()
    subprocess.run(arguments, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
