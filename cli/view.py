"""``lift3d-ray view``: the gallery of a run, in a browser on this machine."""

from __future__ import annotations

import functools
import http.server
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from lift3d_ray.errors import ConfigError

LOOPBACK = "127.0.0.1"


def view(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of a run.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the default browser.")] = True,
) -> None:
    """Show the gallery of a run in the browser, until interrupted. Only this machine can see it."""
    with gallery_server(folder, port) as server:
        url = f"http://{LOOPBACK}:{server.server_port}/"
        print(f"{url} shows {folder}; Ctrl-C ends", flush=True)
        if browser:
            webbrowser.open(url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of one folder, without a line for every request."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".glb": "model/gltf-binary"}  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def gallery_server(folder: Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of a run's folder, bound to the loopback address and not yet serving.

    Args:
        folder: the run's output folder.
        port: 0 for any free port.

    Raises:
        ConfigError: there is no gallery in the folder, or the port is taken.
    """
    if not (folder / "index.html").is_file():
        raise ConfigError(f"{folder} holds no index.html: give the --out folder of a finished run")
    try:
        return http.server.ThreadingHTTPServer((LOOPBACK, port), functools.partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise ConfigError(f"cannot listen on port {port} ({error.strerror}): choose another with --port") from error
