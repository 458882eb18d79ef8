"""The server of the web page, which sends no request to any other machine.

gradio's telemetry, version check, run history, download of URLs and sharing are switched off.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from keypoint.app.draw_boxes import STYLE
from keypoint.app.page import KEPT_S, Finder, make_page
from keypoint.data.synthetic.samples import write_samples
from keypoint.errors import ConfigError

logger = logging.getLogger(__name__)

SWEEP_S = 600  # seconds between two searches for files older than `KEPT_S`
MAX_UPLOAD = 64 * 2**20  # bytes; a phone's photo has up to 20
SESSIONS = 100  # visitors whose last result is kept, some 8 MB each
SAMPLE_SKELETON = "coco17"  # sample pictures with persons

SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",  # telemetry and version check
    "GRADIO_RUN_HISTORY": "False",  # pictures kept in the browser or a bucket
}


def require_gradio() -> None:
    """Import gradio with all requests to other machines switched off.

    Raises:
        ConfigError: gradio is not installed.
    """
    os.environ.update(SETTINGS)
    try:
        import gradio  # noqa: F401
        from gradio import processing_utils
    except ImportError as error:
        raise ConfigError(
            f'the page needs gradio, which cannot be imported ({error}); pip install -e ".[app]"'
        ) from None
    # A client other than the page may send a URL instead of an upload.
    processing_utils.async_ssrf_protected_download = _refuse_url


async def _refuse_url(url: str, *_: Any, **__: Any) -> str:
    import gradio

    raise gradio.Error(
        "this page does not download URLs; upload the picture", print_exception=False
    )


@contextmanager
def serve(finder: Finder, host: str, port: int) -> Iterator[str]:
    """Serve the page until the context ends, when all uploads and pictures are deleted.

    Args:
        finder: Answers the page's requests.
        host: Name or address to listen on.
        port: Port to listen on.

    Yields:
        The page's address.

    Raises:
        ConfigError: gradio is not installed, the port is in use, or the address cannot be reached.
    """
    require_gradio()
    with ExitStack() as end:
        folder = end.enter_context(tempfile.TemporaryDirectory(prefix="keypoint-app-"))
        end.enter_context(_temporary_folder(folder))
        uploads = Path(folder)
        persons = finder.predictor.skeleton.name == SAMPLE_SKELETON
        page = make_page(finder, write_samples(uploads) if persons else [], uploads)
        end.enter_context(_swept(uploads))
        end.callback(page.close, verbose=False)
        yield _launch(page, host, port)


@contextmanager
def _swept(uploads: Path) -> Iterator[None]:
    """Delete files older than `KEPT_S`, except those that exist now.

    gradio's own deletion (`delete_cache`) stops permanently at a path that it cannot delete, such
    as a folder.
    """
    kept, end = _files(uploads), threading.Event()

    def sweep() -> None:
        while not end.wait(SWEEP_S):
            for file in _files(uploads) - kept:
                try:
                    if time.time() - file.lstat().st_ctime > KEPT_S:
                        file.unlink(missing_ok=True)
                except OSError as error:  # retried at the next search
                    logger.warning("%s: cannot be deleted (%s)", file, error.strerror)

    thread = threading.Thread(target=sweep, name="sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _files(folder: Path) -> set[Path]:
    return {Path(place, name) for place, _, names in os.walk(folder) for name in names}


@contextmanager
def _temporary_folder(folder: str) -> Iterator[None]:
    """Make gradio store files in a folder; its default is shared by all users of the machine."""
    from gradio import routes as read_once  # its folder was set to the default when it was imported

    routes: Any = read_once
    name = "GRADIO_TEMP_DIR"
    before, imported = os.environ.get(name), routes.DEFAULT_TEMP_DIR
    os.environ[name] = routes.DEFAULT_TEMP_DIR = folder
    try:
        yield
    finally:
        routes.DEFAULT_TEMP_DIR = imported
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _launch(page: Any, host: str, port: int) -> str:
    import gradio as gr

    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            enable_monitoring=False,
            footer_links=[],
            max_file_size=MAX_UPLOAD,
            state_session_capacity=SESSIONS,
            css=STYLE,
            theme=gr.themes.Default(primary_hue="blue", secondary_hue="blue", neutral_hue="slate"),
        )
    except Exception as error:  # gradio raises Exception itself if it cannot reach its server
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise ConfigError(
            f"http://{host}:{port} cannot be served ({reason}); give another --port or --host, "
            "or, if a proxy is set, add the host to no_proxy"
        ) from error
    return str(address)


def is_loopback(host: str) -> bool:
    """Return whether a server at this address can be reached only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
