"""OHIF, a viewer that nobody here wrote, served with a DICOMweb archive under one address."""

import mimetypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.orthanc import WEB_PORT

ROOT = Path(__file__).resolve().parents[1]
(VERSION,) = re.findall(r"^version=(.*)$", (ROOT / "tests" / "ohif.sh").read_text(), re.MULTILINE)
APP = ROOT / "build" / f"ohif-{VERSION}"

needs_ohif = pytest.mark.skipif(not APP.is_dir(), reason="OHIF is not here: bash tests/ohif.sh fetches it")

CONFIGURATION = """
window.config = {
  routerBasename: null,
  extensions: [],
  modes: [],
  customizationService: {},
  showStudyList: true,
  maxNumberOfWebWorkers: 1,
  showCPUFallbackMessage: false,
  investigationalUseDialog: { option: 'never' },
  maxNumRequests: { interaction: 10, thumbnail: 2, prefetch: 2 },
  defaultDataSourceName: 'archive',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'archive',
      configuration: {
        friendlyName: 'archive',
        name: 'archive',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        wadoUriRoot: '/dicom-web',
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        omitQuotationForMultipartRequest: true,
      },
    },
  ],
};
"""


class _Handler(BaseHTTPRequestHandler):
    """Files of the viewer; what begins with /dicom-web is asked of the archive."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path.startswith("/dicom-web/"):
            answer = requests.get(
                f"http://127.0.0.1:{WEB_PORT}{self.path}",
                headers={"Accept": self.headers["Accept"]},
                auth=("reader", "secret"),
                timeout=300,
                proxies={"http": ""},
            )
            self._send(answer.status_code, answer.headers.get("Content-Type", ""), answer.content)
        elif path == "/app-config.js":
            self._send(200, "text/javascript", CONFIGURATION.encode())
        else:
            file = APP / path.lstrip("/")
            file = file if file.is_file() else APP / "index.html"  # an address within the application
            kind, _ = mimetypes.guess_type(file.name)
            self._send(200, kind or "application/octet-stream", file.read_bytes())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving_ohif(port: int = 3000) -> Iterator[str]:
    """Serve the viewer in the network of this thread, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", port), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.shutdown()
            thread.join(timeout=60)
