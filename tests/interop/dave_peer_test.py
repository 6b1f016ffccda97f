#!/usr/bin/env python3
"""dave-peer answers every line: a call of its own up to opcode 26, and refusals that change nothing."""
import json
import subprocess
import sys

PRIVATE = "01" * 32

peer = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(**request):
    peer.stdin.write(json.dumps(request) + "\n")
    peer.stdin.flush()
    return json.loads(peer.stdout.readline())


def refused(**request):
    reply = ask(**request)
    assert list(reply) == ["error"] and reply["error"], reply


INIT = {
    "cmd": "init",
    "protocol_version": 1,
    "user_id": "158049329150427136",
    "channel_id": "927310423890473011",
    "signature_private": PRIVATE,
    # The point of the scalar above.
    "signature_public": "04"
    "6ff03b949241ce1dadd43519e6960e0a85b41a69a05c328103aa2bce1594ca16"
    "3c4f753a55bf01dc53f6c0b0c7eee78b40c6ff7d25a96e2282b989cef71c144a",
}
refused(cmd="info")
refused(**{**INIT, "protocol_version": 2})
refused(**{**INIT, "signature_public": "04" + "00" * 64})
refused(**{**INIT, "user_id": "-1"})
refused(**{**INIT, "signature_private": "00" * 32})
assert ask(**INIT) == {}
refused(cmd="nonsense")
refused(cmd="info")
refused(cmd="encrypt", frame="00")
refused(cmd="external_sender", body="00")
refused(cmd="external_sender", body="zz")
refused(cmd="welcome", body="00", recognised=[])
package = ask(cmd="key_package")["key_package"]
assert len(package) // 2 in range(380, 400), len(package)
assert ask(cmd="external_sender", body="4041" + INIT["signature_public"] + "000104676174") == {"error": "mls: malformed"}
assert ask(cmd="external_sender", body="4041" + INIT["signature_public"] + "000103676174") == {}
assert ask(cmd="key_package")["key_package"] != package
refused(cmd="proposals", body="", recognised=[])
refused(cmd="proposals", body="0001", recognised=[])
refused(cmd="commit", body="00")
assert ask(cmd="decrypt", user_id="5", frame="f8fffe") == {"frame": "f8fffe"}
refused(cmd="decrypt", user_id="5", frame="00")
refused(cmd="verification_code", user_id="5")
peer.stdin.write("no json\n[]\n{}\n")
peer.stdin.flush()
for _ in range(3):
    assert "error" in json.loads(peer.stdout.readline())
peer.stdin.close()
assert peer.wait() == 0
