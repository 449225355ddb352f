# SPDX-License-Identifier: MIT
"""A redis-server of a test's own, and a proxy that stands between it and a daemon and misbehaves on demand."""
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

from harness import Skip, wait_for


class Redis:
    """redis-server on a UNIX socket in the daemon's folder; it keeps nothing beyond its life."""

    def __init__(self, folder):
        if shutil.which("redis-server") is None:
            raise Skip("no redis-server")
        self.folder = folder
        self.path = os.path.join(folder, "redis.sock")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no",
             "--dir", self.folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.is_up, "redis-server answers")

    def is_up(self):
        try:
            return self.ask("PING") == b"+PONG\r\n"
        except OSError:
            return False

    def ask(self, line):
        """An inline command; the beginning of its reply."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(self.path)
            connection.sendall(line.encode() + b"\r\n")
            return connection.recv(65536)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process is not None:
            self.kill()


class Proxy:
    """From a UNIX socket of its own to the server's: passes bytes on, late when told, or not at all."""

    def __init__(self, folder, target):
        self.path = os.path.join(folder, "proxy.sock")
        self.target = target
        self.delay_s = 0.0
        self.is_cut = False
        self.pairs = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                if self.is_cut:
                    raise OSError
                server.connect(self.target)
            except OSError:
                client.close()
                server.close()
                continue
            self.pairs.append((client, server))
            threading.Thread(target=self.pass_on, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(server, client, True), daemon=True).start()

    def pass_on(self, source, sink, is_reply):
        try:
            while data := source.recv(65536):
                if is_reply and self.delay_s > 0:
                    time.sleep(self.delay_s)  # this is what is tested, not a wait for luck
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Ends every connection, and takes none until it is mended."""
        self.is_cut = True
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def mend(self):
        self.is_cut = False

    def close(self):
        self.listener.close()
        self.cut()
