#!/usr/bin/env python3
"""Both gateways on bad lines: slow, half-open, and with frames nobody asked for.

Takes the build folder. A recorder joins a loopback call through a proxy that mistreats its first connection. All cases run
at once, since some wait for a time-out of ten seconds.
"""
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BUILD = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build").resolve()
RECORD = BUILD / "pipelines" / "discord-record"
LOOPBACK = BUILD / "tests" / "loopback" / "discord-loopback"
PATIENCE = 60
# Without content, cut off, of opcodes that nobody knows, and of end-to-end encryption that has not begun.
FRAMES = [b"", b"\0", b"\0\0", b"\0\0\xff", b"\0\1\2\3\4"] + [b"\xff\xff" + bytes([op]) for op in range(24, 32)]


def whole(data):
    """The size of the WebSocket frame that `data` begins with; None if more must come."""
    if len(data) < 2:
        return None
    size, at = data[1] & 0x7f, 2
    if size > 125:
        at += 2 if size == 126 else 8
        if len(data) < at:
            return None
        size = int.from_bytes(data[2:at], "big")
    return at + size if len(data) >= at + size else None


class Proxy:
    """Before a gateway. `treat` is given the first connection, as client and server; later ones pass untouched."""

    def __init__(self, port, treat):
        self.target, self.treat = port, treat
        self.connections = 0
        self.over, self.dead = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(client, self.connections == 1), daemon=True).start()

    def serve(self, client, first):
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            try:
                (self.treat if first else untouched)(self, client, server)
            except OSError:
                pass

    def close(self):
        self.over.set()
        self.listener.close()


def pump(proxy, client, server, to_client, to_server=None):
    """Until either side has ended; `to_client` is given what the server says and writes it."""
    while not proxy.over.is_set():
        for ready in select.select([client, server], [], [], 0.5)[0]:
            data = ready.recv(65536)
            if not data:
                return
            if ready is server:
                to_client(data)
            else:
                (to_server or server.sendall)(data)


def untouched(proxy, client, server):
    pump(proxy, client, server, client.sendall)


def says_nothing(proxy, _client, _server):
    proxy.over.wait()


def trickles(proxy, client, server):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def to_client(data):
        for i in range(len(data)):
            client.sendall(data[i:i + 1])

    pump(proxy, client, server, to_client)


def stops_reading(proxy, client, server):
    """What the client says after its first frame is left unread, and nothing comes any more: half-open."""
    heard = bytearray()

    def to_server(data):
        server.sendall(data)
        heard.extend(data)
        if heard.partition(b"\r\n\r\n")[2]:
            proxy.over.wait()

    pump(proxy, client, server, client.sendall, to_server)


def goes_dead(proxy, client, server):
    """When it is told to; neither side hears of it."""
    while not proxy.dead.is_set() and not proxy.over.is_set():
        for ready in select.select([client, server], [], [], 0.05)[0]:
            data = ready.recv(65536)
            if not data:
                return
            (client if ready is server else server).sendall(data)
    proxy.over.wait()


def adds_binary_frames(proxy, client, server):
    """Before the first message of the gateway and behind each."""
    waiting = bytearray()
    junk = b"".join(bytes([0x82, len(frame)]) + frame for frame in FRAMES)
    upgraded = False

    def to_client(data):
        nonlocal upgraded
        waiting.extend(data)
        if not upgraded and b"\r\n\r\n" in waiting:
            head = waiting.index(b"\r\n\r\n") + 4
            client.sendall(waiting[:head] + junk)
            del waiting[:head]
            upgraded = True
        while upgraded and (size := whole(waiting)) is not None:
            client.sendall(waiting[:size] + junk)
            del waiting[:size]

    pump(proxy, client, server, to_client)


class Case:
    def __init__(self, folder, treat, main):
        self.main = main
        self.name = f"{'main' if main else 'voice'} gateway {treat.__name__}"
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.loopback = subprocess.Popen([LOOPBACK, "--quiet", "--speakers", "1", "--commands", "--seconds", "90",
                                          *(["--heartbeat", "500"] if treat is goes_dead else [])],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ready = json.loads(self.loopback.stdout.readline())
        self.proxy = Proxy(int(ready["endpoint"].rpartition(":")[2]), treat)
        at = f"ws://127.0.0.1:{self.proxy.port}"
        if main:
            call = {"bot_token_file": str(self.folder / "token"), "gateway_url": at}
            (self.folder / "token").write_text(ready["bot_token"])
            (self.folder / "token").chmod(0o600)
        else:
            call = {"endpoint": at, **{k: ready[k] for k in ("session_id", "token", "user_id")}}
        (self.folder / "call.json").write_text(json.dumps(
            {**call, "guild_id": ready["guild_id"], "channel_id": ready["channel_id"]}))
        self.recorder = subprocess.Popen(
            [RECORD, "-c", self.folder / "call.json", "-o", self.folder / "out", "--flat", "-f", "ogg", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.text = b""
        os.set_blocking(self.recorder.stdout.fileno(), False)

    def says(self, *kinds):
        """Waits for an event of these, which it returns, and the others are forgotten."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            while b"\n" in self.text:
                line, _, self.text = self.text.partition(b"\n")
                event = json.loads(line)
                if event["event"] in kinds:
                    return event
            select.select([self.recorder.stdout], [], [], 1)
            read = self.recorder.stdout.read()
            if read == b"":
                break
            self.text += read or b""
        raise AssertionError(f"{self.name}: nothing of {kinds}")

    def end(self):
        self.recorder.terminate()
        _, errors = self.recorder.communicate(timeout=PATIENCE)
        self.proxy.close()
        self.loopback.kill()
        self.loopback.communicate()
        return errors.decode()


class Gateways(unittest.TestCase):
    def test_a_bad_line_costs_no_call(self):
        with tempfile.TemporaryDirectory() as folder:
            # A main gateway is resumed at an address of its own: bot_test has the one that goes dead.
            cases = [Case(folder, treat, main) for main in (False, True)
                     for treat in (says_nothing, trickles, stops_reading, adds_binary_frames)]
            cases.append(Case(folder, goes_dead, False))
            try:
                for case in cases:
                    with self.subTest(case.name):
                        self.check(case)
            finally:
                errors = {case.name: case.end() for case in cases}
            for name, said in errors.items():
                with self.subTest(name):
                    self.assertLess(len(said.splitlines()), 3, said)

    def check(self, case):
        treat = case.proxy.treat
        if treat in (says_nothing, stops_reading) and not case.main:
            # Who has not been in the call yet is told why, as for any address that is wrong.
            self.assertIn("within 10 seconds", case.says("speaking", "error").get("text", "it speaks"))
            self.assertEqual(case.proxy.connections, 1)
            return
        self.assertEqual(case.says("speaking", "error")["event"], "speaking")
        if treat is goes_dead:
            case.proxy.dead.set()
            until = time.monotonic() + PATIENCE
            while case.proxy.connections < 2 and time.monotonic() < until:
                time.sleep(0.01)
            self.assertEqual(case.says("speaking", "error")["event"], "speaking", "the call goes on")
        # Only a line that is dead is given up.
        self.assertEqual(case.proxy.connections, 1 if treat in (trickles, adds_binary_frames) else 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
