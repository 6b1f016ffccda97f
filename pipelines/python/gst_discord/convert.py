# SPDX-License-Identifier: LGPL-2.1-or-later
"""Raw audio to a finished file, with GStreamer's own encoders."""
from __future__ import annotations

from typing import List

from .frames import SAMPLE_RATE
from .gstreamer import Gst, make


class ConversionError(Exception):
    """A file could not be converted; the raw one is still there."""

    errors: List[BaseException] = []


def encode(source: str, target: str, encoder: str, properties: dict) -> None:
    """Encodes raw 16 bit stereo; blocks until the file is complete. Raises ConversionError."""
    pipeline = Gst.Pipeline()
    try:
        elements = [
            make("filesrc", location=source, blocksize=1 << 18),
            make("rawaudioparse", use_sink_caps=False, sample_rate=SAMPLE_RATE, num_channels=2),
            make(encoder),
            make("filesink", location=target),
        ]
        for name, value in properties.items():
            Gst.util_set_object_arg(elements[2], name, str(value))
    except RuntimeError as error:
        raise ConversionError(str(error)) from error
    for element in elements:
        pipeline.add(element)
    for upstream, downstream in zip(elements, elements[1:]):
        if not upstream.link(downstream):
            raise ConversionError(f"{upstream.name} does not go with {downstream.name}")
    bus = pipeline.get_bus()
    pipeline.set_state(Gst.State.PLAYING)
    message = bus.timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if message.type == Gst.MessageType.ERROR:
        error, _ = message.parse_error()
        raise ConversionError(f"{source} could not be converted: {error.message}")
