#!/usr/bin/env python3
"""The example programs for applications, each in its language, in a call of the loopback Discord.

    examples_test.py BUILD-FOLDER
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv.pop(1))
sys.path.insert(0, str(ROOT / "tests" / "python"))
from loopback import Loopback  # noqa: E402


class Examples(unittest.TestCase):
    def setUp(self):
        self.loopback = Loopback(BUILD / "tests/loopback/discord-loopback", "--speakers", 2)
        self.addCleanup(self.loopback.__exit__)
        self.ready = self.loopback.ready
        self.users = {speaker["user_id"] for speaker in self.ready["speakers"]}

    def source(self):
        return ("discordvoicesrc num-buffers=300 " + " ".join(
            f"{key.replace('_', '-')}={self.ready[key]}"
            for key in ("endpoint", "session_id", "token", "user_id", "guild_id", "channel_id")))

    def run_example(self, *command):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_in_c_what_the_elements_say(self):
        said = self.run_example(BUILD / "pipelines/example-watch", self.source() + " ! discorddecrypt ! fakesink")
        self.assertIn("session: connected", said)
        self.assertRegex(said, r"end-to-end encryption 1, privacy code \d")
        self.assertIn(re.search(r"(\d+) speaks", said)[1], self.users)

    def test_in_python_who_spoke(self):
        python = "/usr/bin/python3"  # the one the bindings belong to
        if subprocess.run([python, "-c", "import gi; gi.require_version('Gst', '1.0')"],
                          capture_output=True).returncode != 0:
            self.skipTest("no GObject introspection of GStreamer")
        said = self.run_example(python, ROOT / "pipelines/examples/who_spoke.py",
                                self.source() + " ! discordworkerdec")
        seconds = {user: float(time) for time, user in re.findall(r"([\d.]+) s  (\d+)", said)}
        self.assertTrue(seconds)
        self.assertLessEqual(set(seconds), self.users)
        # 300 packets of at most 60 ms, concealment included.
        self.assertGreater(sum(seconds.values()), 1)
        self.assertLess(sum(seconds.values()), 20)

    def test_in_cpp_an_application_with_a_library_of_its_own(self):
        with tempfile.TemporaryDirectory() as folder:
            program = subprocess.Popen(
                [str(BUILD / "pipelines/example-application"), *(self.ready[key] for key in (
                    "guild_id", "channel_id", "user_id")), folder],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            self.addCleanup(program.stdout.close)
            lines = []

            def wait_for(beginning):
                for line in program.stdout:
                    lines.append(line)
                    if line.startswith(beginning):
                        return
                self.fail(f"ended without '{beginning}': {lines}")

            def tell(values):
                program.stdin.write(f"state {self.ready['session_id']}\n"
                                    f"server {self.ready['endpoint']} {values['token']}\n")

            program.stdin.write(f"user {min(self.users)} Somebody Else\nwhat is this\n")
            wait_for("error not understood")
            self.assertIn("needed", "".join(lines))
            tell(self.ready)
            wait_for("session connected")
            # The session is over: the application is asked, and brings the values of another join.
            fresh = self.loopback.command("change-server")["credentials"]
            self.ready["session_id"] = fresh["session_id"]
            tell(fresh)
            wait_for("session connected")
            wait_for("speaking")
            wait_for("quiet")
            program.stdin.close()
            for line in program.stdout:
                lines.append(line)
            self.assertEqual(program.wait(30), 0, lines)
            complete = [line.split(maxsplit=1)[1].strip() for line in lines if line.startswith("complete")]
            self.assertTrue(complete)
            self.assertTrue(all(pathlib.Path(path).stat().st_size > 44 for path in complete))


if __name__ == "__main__":
    unittest.main(verbosity=2)
