#!/usr/bin/env python3
"""Runs the tests of pipelines/python with a Python that has discord.py, PyGObject and GStreamer.

    run.py LOOPBACK-PROGRAM

Ends with 77 (skipped) and a line that says what is missing.
"""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROBE = """
import discord, aiohttp, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp
"""


def main():
    why = []
    # Another Python may come first in PATH than the one that Debian's packages are for.
    for python in dict.fromkeys([sys.executable, shutil.which("python3"), "/usr/bin/python3"]):
        if python is None or not os.path.exists(python):
            continue
        probe = subprocess.run([python, "-W", "ignore", "-c", PROBE], capture_output=True, text=True)
        if probe.returncode == 0:
            package = str(HERE.parents[1] / "pipelines" / "python")
            environment = {**os.environ, "PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1",
                           "DISCORD_LOOPBACK": str(pathlib.Path(sys.argv[1]).resolve())}
            os.execve(python, [python, "-W", "ignore::DeprecationWarning", "-m", "unittest", "discover", "-v",
                               "-s", str(HERE), *sys.argv[2:]], environment)
        why.append(f"{python}: {probe.stderr.strip().splitlines()[-1]}")
    print("skipped: install python3-discord python3-gi python3-gst-1.0 gir1.2-gst-plugins-base-1.0 (" + "; ".join(why) + ")")
    sys.exit(77)


main()
