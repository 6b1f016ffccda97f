#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says who speaks and for how long, from the speaker meta of every decoded frame.

    who_spoke.py "discordvoicesrc … ! discordworkerdec"
"""
import collections
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstDiscord", "1.0")
from gi.repository import GLib, Gst, GstApp, GstDiscord  # noqa: E402, F401


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Gst.init(None)
    try:
        pipeline = Gst.parse_launch(sys.argv[1] + " ! appsink name=out sync=false")
    except GLib.Error as error:
        sys.exit(error.message)
    pipeline.set_state(Gst.State.PLAYING)
    out = pipeline.get_by_name("out")
    spoken = collections.Counter()  # nanoseconds by user
    while True:
        sample = out.try_pull_sample(Gst.SECOND)
        if sample is None:
            if out.is_eos():
                break
            continue
        buffer = sample.get_buffer()
        meta = GstDiscord.buffer_get_discord_speaker_meta(buffer)
        if meta is None or meta.kind == GstDiscord.FrameKind.SILENCE:
            continue
        if meta.user_id not in spoken:
            print(f"user {meta.user_id} speaks as SSRC {meta.ssrc}", flush=True)
        spoken[meta.user_id] += buffer.duration
    problem = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    for user, time in spoken.most_common():
        print(f"{time / Gst.SECOND:8.2f} s  {user}")
    if problem is not None:
        sys.exit(problem.parse_error().gerror.message)


if __name__ == "__main__":
    main()
