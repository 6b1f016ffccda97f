#!/usr/bin/env python3
"""Runs a Node script with the npm packages of package-lock.json, which it installs into the build folder.

    run.py SOURCE-FOLDER BUILD-FOLDER SCRIPT [ARGUMENT...]

Ends with 77 (skipped) and a line that says what is missing: node, npm, the Node version that a package
needs, or the packages where no registry can be reached.
"""
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

SKIPPED = 77
# What load() of the scripts asks for; a build of davey for this machine comes with it, or does not.
PROBE = "for (const name of ['@snazzah/davey', '@discordjs/voice', 'opusscript']) require(name)"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def install(source, folder):
    """npm ci, once for each lock file. No package may run a script."""
    wanted = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder)
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"],
                          cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        if re.search("EINTEGRITY", done.stderr):
            sys.exit(f"a package is not what the lock file says: {errors}")
        skip(f"npm ci could not install the packages: {errors[0] if errors else done.stderr.strip()}")
    stamp.write_text(wanted)


def main():
    source, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    node = shutil.which("node")
    if not node:
        skip("node (Node.js) is not installed")
    if not shutil.which("npm"):
        skip("npm is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(source, folder)
    probe = subprocess.run([node, "-e", PROBE], cwd=folder, capture_output=True, text=True)
    if probe.returncode != 0:
        packages = json.loads((source / "package-lock.json").read_text())["packages"]
        needs = packages["node_modules/@discordjs/voice"]["engines"]["node"]
        errors = [line for line in probe.stderr.splitlines() if "Error" in line]
        skip(f"the packages do not load in Node {version} (@discordjs/voice asks for {needs}): {errors[:1]}")
    environment = {**os.environ, "INTEROP_PACKAGES": str(folder)}
    sys.stdout.flush()
    os.execve(node, [node, str(source / sys.argv[3]), *sys.argv[4:]], environment)


main()
