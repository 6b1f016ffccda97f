# SPDX-License-Identifier: LGPL-2.1-or-later
"""RTCP as objects (RFC 3550 section 6). What arrives here has been authenticated and opened."""
from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field
from typing import List, Optional, Tuple


class RTCPMessageType(enum.IntEnum):
    sender_report = 200
    receiver_report = 201
    source_description = 202
    goodbye = 203
    application_defined = 204


@dataclass
class RTCPPacket:
    """The fields all types have: version, padding, count, type, and length in words less one."""

    v: int
    p: bool
    rc: int
    pt: RTCPMessageType
    l: int  # noqa: E741, the name it has always had


@dataclass
class RTCPReceiverReportBlock:
    """What somebody says about receiving `ssrc`: fraction lost `f` of 256, cumulative loss `c` (signed),
    highest sequence `ehsn`, jitter `j` (48 a millisecond), last sender report `lsr` and the delay since then
    `dlsr` (65536 a second)."""

    ssrc: int
    f: int
    c: int
    ehsn: int
    j: int
    lsr: int
    dlsr: int


@dataclass
class RTCPSenderReportPacket(RTCPPacket):
    """`nts` is the NTP time (64 bits, 32 of them fraction) at which the RTP timestamp was `rts`; `spc` packets
    and `soc` bytes sent so far."""

    ssrc: int
    nts: int
    rts: int
    spc: int
    soc: int
    report_blocks: List[RTCPReceiverReportBlock] = field(default_factory=list)
    extension: bytes = b""


@dataclass
class RTCPReceiverReportPacket(RTCPPacket):
    ssrc: int
    report_blocks: List[RTCPReceiverReportBlock] = field(default_factory=list)
    extension: bytes = b""


@dataclass
class RTCPSourceDescriptionItem:
    """`cname` is the item's type (1 CNAME, 2 NAME, ...), `description` its bytes."""

    cname: int
    description: bytes


@dataclass
class RTCPSourceDescriptionChunk:
    ssrc: int
    items: List[RTCPSourceDescriptionItem] = field(default_factory=list)


@dataclass
class RTCPSourceDescriptionPacket(RTCPPacket):
    chunks: List[RTCPSourceDescriptionChunk] = field(default_factory=list)


@dataclass
class RTCPGoodbyePacket(RTCPPacket):
    ssrc_byes: List[int] = field(default_factory=list)
    reason: str = ""


@dataclass
class RTCPApplicationDefinedPacket(RTCPPacket):
    ssrc: int = 0
    name: str = ""
    app_data: bytes = b""


class _Malformed(Exception):
    pass


def _report_blocks(body: bytes, offset: int, count: int) -> Tuple[List[RTCPReceiverReportBlock], bytes]:
    if offset + 24 * count > len(body):
        raise _Malformed("report blocks past the end")
    blocks = []
    for i in range(count):
        ssrc, loss, ehsn, jitter, lsr, dlsr = struct.unpack_from("!6I", body, offset + 24 * i)
        cumulative = loss & 0xFFFFFF
        if cumulative & 0x800000:  # 24 bits, signed: duplicates can make it negative
            cumulative -= 0x1000000
        blocks.append(RTCPReceiverReportBlock(ssrc, loss >> 24, cumulative, ehsn, jitter, lsr, dlsr))
    return blocks, body[offset + 24 * count :]


def _chunks(body: bytes, count: int) -> List[RTCPSourceDescriptionChunk]:
    chunks = []
    offset = 0
    for _ in range(count):
        if offset + 4 > len(body):
            raise _Malformed("chunk past the end")
        chunk = RTCPSourceDescriptionChunk(struct.unpack_from("!I", body, offset)[0])
        offset += 4
        while True:
            if offset >= len(body):
                raise _Malformed("items without an end")
            kind = body[offset]
            if kind == 0:
                # The list ends with at least one zero and goes on to the next word (section 6.5).
                offset = (offset // 4 + 1) * 4
                break
            if offset + 2 > len(body) or offset + 2 + body[offset + 1] > len(body):
                raise _Malformed("item past the end")
            length = body[offset + 1]
            chunk.items.append(RTCPSourceDescriptionItem(kind, body[offset + 2 : offset + 2 + length]))
            offset += 2 + length
        chunks.append(chunk)
    return chunks


def _parse_one(common: Tuple[int, bool, int, RTCPMessageType, int], body: bytes) -> RTCPPacket:
    count, kind = common[2], common[3]
    if kind is RTCPMessageType.sender_report:
        if len(body) < 24:
            raise _Malformed("short sender report")
        fields = struct.unpack_from("!IQIII", body)
        return RTCPSenderReportPacket(*common, *fields, *_report_blocks(body, 24, count))
    if kind is RTCPMessageType.source_description:
        return RTCPSourceDescriptionPacket(*common, _chunks(body, count))
    if kind is RTCPMessageType.goodbye:
        if 4 * count > len(body):
            raise _Malformed("sources past the end")
        reason = b""
        if len(body) > 4 * count:
            length = body[4 * count]
            reason = body[4 * count + 1 : 4 * count + 1 + length]
            if len(reason) != length:
                raise _Malformed("reason past the end")
        sources = list(struct.unpack_from(f"!{count}I", body))
        return RTCPGoodbyePacket(*common, sources, reason.decode("utf-8", "replace"))
    if len(body) < 4:
        raise _Malformed("no SSRC")
    ssrc = struct.unpack_from("!I", body)[0]
    if kind is RTCPMessageType.receiver_report:
        return RTCPReceiverReportPacket(*common, ssrc, *_report_blocks(body, 4, count))
    if len(body) < 8:
        raise _Malformed("no name")
    return RTCPApplicationDefinedPacket(*common, ssrc, body[4:8].decode("ascii", "replace"), body[8:])


def parse_compound(data: bytes) -> Tuple[List[RTCPPacket], Optional[str]]:
    """The packets of a compound in their order, and what was wrong with it, or None.

    Types beyond 200 to 204 (feedback) are stepped over. Parsing never raises and stops where the bytes stop
    making sense: what came before that is returned.
    """
    packets: List[RTCPPacket] = []
    offset = 0
    while offset < len(data):
        if offset + 4 > len(data):
            return packets, "less than a header at the end"
        first, kind, length = struct.unpack_from("!BBH", data, offset)
        end = offset + 4 * (length + 1)
        if first >> 6 != 2:
            return packets, "another version"
        if end > len(data):
            return packets, "length past the end"
        body = bytes(data[offset + 4 : end])
        padded = bool(first & 0x20)
        if padded:
            # Only the last packet of a compound may be padded; the count includes itself.
            if end != len(data) or not body or not 0 < body[-1] <= len(body):
                return packets, "impossible padding"
            body = body[: -body[-1]]
        if kind in RTCPMessageType._value2member_map_:
            try:
                packets.append(_parse_one((2, padded, first & 0x1F, RTCPMessageType(kind), length), body))
            except _Malformed as error:
                return packets, str(error)
        offset = end
    return packets, None
