# SPDX-License-Identifier: LGPL-2.1-or-later
"""GStreamer, initialised, and the speaker meta of buffers."""
from __future__ import annotations

import ctypes
from typing import NamedTuple, Optional

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GObject, Gst, GstApp  # noqa: E402, F401

if not Gst.is_initialized():
    Gst.init(None)


def make(factory: str, **properties) -> Gst.Element:
    """An element with these properties; RuntimeError says where to get one that is missing."""
    element = Gst.ElementFactory.make(factory, None)
    if element is None:
        ours = factory.startswith("discord")
        raise RuntimeError(
            f"GStreamer has no element {factory}: "
            + ("point GST_PLUGIN_PATH to the folder of libgstdiscord.so" if ours
               else "install gstreamer1.0-plugins-base and gstreamer1.0-plugins-good"))
    for name, value in properties.items():
        element.set_property(name.replace("_", "-"), value)
    return element


def has_signal(element: Gst.Element, name: str) -> bool:
    return GObject.signal_lookup(name, type(element).__gtype__) != 0


def has_property(element: Gst.Element, name: str) -> bool:
    return element.find_property(name) is not None


class SpeakerMeta(NamedTuple):
    """Copy of a GstDiscordSpeakerMeta."""

    ssrc: int
    user_id: int
    kind: str  # "audio", "fec", "plc" or "silence"
    sequence: int
    timestamp: int
    has_packet: bool


class _Info(ctypes.Structure):
    _fields_ = [("api", ctypes.c_size_t), ("type", ctypes.c_size_t), ("size", ctypes.c_size_t)]


class _Meta(ctypes.Structure):
    """GstDiscordSpeakerMeta as gst/discord/gstdiscordspeakermeta.h declares it."""

    _fields_ = [
        ("flags", ctypes.c_int),
        ("info", ctypes.POINTER(_Info)),
        ("ssrc", ctypes.c_uint32),
        ("user_id", ctypes.c_uint64),
        ("kind", ctypes.c_int),
        ("audio_level", ctypes.c_uint8),
        ("speaking_flags", ctypes.c_uint8),
        ("packet", ctypes.c_void_p),
        ("sequence", ctypes.c_uint16),
        ("rtp_timestamp", ctypes.c_uint32),
    ]


_KINDS = ("audio", "fec", "plc", "silence")
_library = ctypes.CDLL("libgstreamer-1.0.so.0")
_get_meta = _library.gst_buffer_get_meta
_get_meta.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_get_meta.restype = ctypes.POINTER(_Meta)
_api = 0


def _meta_api() -> int:
    # Registered with the first buffer that has one.
    global _api
    if _api == 0:
        try:
            _api = hash(GObject.type_from_name("GstDiscordSpeakerMetaAPI"))
        except RuntimeError:
            pass
    return _api


def speaker_meta(buffer: Gst.Buffer) -> Optional[SpeakerMeta]:
    """Who speaks in a buffer of discordworkerdec, or None. RuntimeError if the plugin is of another version."""
    api = _meta_api()
    # The hash of a boxed value of PyGObject is its address.
    found = _get_meta(hash(buffer), api) if api else None
    if not found:
        return None
    meta = found.contents
    if meta.info.contents.size < ctypes.sizeof(_Meta):
        raise RuntimeError("libgstdiscord.so is older than this package")
    return SpeakerMeta(meta.ssrc, meta.user_id, _KINDS[meta.kind] if 0 <= meta.kind < 4 else "audio",
                       meta.sequence, meta.rtp_timestamp, meta.packet is not None)
