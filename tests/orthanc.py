"""A real Orthanc, with DICOMweb, in a network of its own, and a wire to it that can be cut.

Orthanc listens on every address of its machine, whatever its configuration says. So it
is started in a network namespace that has nothing but a loopback, and a test enters
that namespace (`Orthanc.entered`) to speak to it; processes and threads started there
stay there.
"""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_SECONDS

PLUGINS = Path("/usr/share/orthanc/plugins")
CLONE_NEWNET = 0x40000000
AE_TITLE, DICOM_PORT, WEB_PORT = "ORTHANC", 4242, 8042


def can_unshare() -> bool:
    """Return whether a network namespace can be made here."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


needs_orthanc = pytest.mark.skipif(
    shutil.which("Orthanc") is None or not (PLUGINS / "libOrthancDicomWeb.so").exists() or not can_unshare(),
    reason="needs Debian's orthanc and orthanc-dicomweb, and the right to make a network namespace",
)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@dataclass
class Orthanc:
    """A running archive.

    Attributes
    ----------
    folder : Path
        Its storage and log.
    """

    folder: Path
    process: subprocess.Popen[bytes]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put this thread, and what it starts, into the archive's network."""
        ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        theirs = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY)
        _enter(theirs)
        try:
            yield
        finally:
            _enter(ours)
            os.close(ours)
            os.close(theirs)

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "log").read_text(errors="replace")


@contextmanager
def running_orthanc(folder: Path, **changes: object) -> Iterator[Orthanc]:
    """Start an archive and stop it at the end.

    Parameters
    ----------
    folder : Path
        Made for it.
    changes
        Of its configuration.
    """
    folder.mkdir(parents=True)
    settings: dict[str, object] = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGINS / "libOrthancDicomWeb.so")],
        "DicomAet": AE_TITLE,
        "DicomPort": DICOM_PORT,
        "HttpPort": WEB_PORT,
        "DicomCheckCalledAet": True,
        "DicomModalities": {"us": ["MIPC", "127.0.0.1", 11112]},
        "DicomCheckModalityHost": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"reader": "secret"},
        "SslEnabled": False,
        "SyncStorageArea": False,
        "DicomWeb": {"Enable": True},
    }
    settings.update(changes)
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(settings))
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        ["unshare", "-n", "bash", "-c", f"ip link set lo up && exec Orthanc '{configuration}'"],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    archive = Orthanc(folder, process)
    try:
        _wait(archive)
        yield archive
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()
        log.close()


def _wait(archive: Orthanc) -> None:
    """Wait until it listens at both ports."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    open_ports: set[int] = set()
    while len(open_ports) < 2:
        assert archive.process.poll() is None, archive.log
        assert time.monotonic() < deadline, archive.log
        time.sleep(0.05)
        with suppress(OSError), archive.entered():
            for port in {DICOM_PORT, WEB_PORT} - open_ports:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    open_ports.add(port)


@dataclass
class Wire:
    """A port that hands on what comes to another port, until it is told to fail.

    Attributes
    ----------
    cut_after : int or None
        Bytes from the far end after which every connection is cut.
    cut_sent_after : int or None
        The same for bytes towards the far end.
    stall_after, stall_sent_after : int or None
        Bytes from, and towards, the far end after which nothing more comes, nor that it hung up.
    seen : bytearray
        What was sent to the far end.
    """

    port: int
    to: int
    cut_after: int | None = None
    cut_sent_after: int | None = None
    stall_after: int | None = None
    stall_sent_after: int | None = None
    seen: bytearray = field(default_factory=bytearray)
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def run(self, server: socket.socket) -> None:
        """Serve until the socket is closed."""
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                client.close()
                continue
            stalled = threading.Event()
            out = client, far, self.cut_sent_after, self.stall_sent_after
            back = far, client, self.cut_after, self.stall_after
            for ends in (out, back):
                thread = threading.Thread(target=self._copy, args=(*ends, stalled), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _copy(
        self,
        here: socket.socket,
        there: socket.socket,
        cut_after: int | None,
        stall_after: int | None,
        stalled: threading.Event,
    ) -> None:
        passed = 0
        with suppress(OSError):
            while piece := here.recv(16384):
                if there.getpeername()[1] == self.to:
                    self.seen += piece
                if stall_after is not None and passed + len(piece) > stall_after:
                    stalled.set()
                    break
                if cut_after is not None and passed + len(piece) > cut_after:
                    there.sendall(piece[: cut_after - passed])
                    break
                passed += len(piece)
                there.sendall(piece)
        if stalled.is_set():
            self.ended.wait()
        for end in (here, there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        here.close()  # the other end is the other thread's


@contextmanager
def wire(port: int, to: int, **faults: int | None) -> Iterator[Wire]:
    """Open a wire in the network of this thread."""
    server = socket.create_server(("127.0.0.1", port), reuse_port=True)
    line = Wire(port, to, **faults)
    thread = threading.Thread(target=line.run, args=(server,), daemon=True)
    thread.start()
    try:
        yield line
    finally:
        line.ended.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for running in (thread, *line.threads):
            running.join(timeout=60)
