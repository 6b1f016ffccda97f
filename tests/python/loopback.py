# SPDX-License-Identifier: LGPL-2.1-or-later
"""discord-loopback as a child process."""
import json
import queue
import subprocess
import threading


class Loopback:
    """`ready` is its first line. Ended by `finish`, which returns the last line, or by leaving the `with`."""

    def __init__(self, program, *options):
        self.process = subprocess.Popen(
            [program, "--commands", "--quiet", "--seconds", "120", *[str(option) for option in options]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.ready = self._line()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _line(self):
        line = self._lines.get(timeout=30)
        assert line is not None, "discord-loopback has ended"
        return line

    def command(self, do, **more):
        """Sends a command; its answer."""
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        return self._line()

    def finish(self):
        """What was really sent."""
        self.process.stdin.close()
        self.process.terminate()
        truth = self._line()
        self.process.wait(10)
        return truth

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        self.process.stdout.close()
        if not self.process.stdin.closed:
            self.process.stdin.close()
