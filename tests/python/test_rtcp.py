# SPDX-License-Identifier: LGPL-2.1-or-later
import struct
import unittest

import gst_discord as listening

BLOCK = struct.pack("!6I", 3001, (0x40 << 24) | 0xFFFFFE, 70000, 480, 0x01020304, 65536)


def packet(kind, count, body, first=0x80):
    return struct.pack("!BBH", first | count, kind, len(body) // 4) + body


def one(test, data):
    packets, problem = listening.parse_compound(data)
    test.assertIsNone(problem)
    test.assertEqual(len(packets), 1)
    return packets[0]


class Rtcp(unittest.TestCase):
    def test_sender_report(self):
        body = struct.pack("!IQIII", 7, 0x0102030405060708, 960, 50, 4000) + BLOCK + b"more"
        report = one(self, packet(200, 1, body))
        self.assertIsInstance(report, listening.RTCPSenderReportPacket)
        self.assertIs(report.pt, listening.RTCPMessageType.sender_report)
        self.assertEqual((report.v, report.p, report.rc, report.l), (2, False, 1, 13))
        self.assertEqual((report.ssrc, report.nts, report.rts, report.spc, report.soc),
                         (7, 0x0102030405060708, 960, 50, 4000))
        self.assertEqual(report.report_blocks, [listening.RTCPReceiverReportBlock(
            ssrc=3001, f=0x40, c=-2, ehsn=70000, j=480, lsr=0x01020304, dlsr=65536)])
        self.assertEqual(report.extension, b"more")

    def test_receiver_report(self):
        report = one(self, packet(201, 2, struct.pack("!I", 9) + BLOCK + BLOCK))
        self.assertIsInstance(report, listening.RTCPReceiverReportPacket)
        self.assertEqual((report.ssrc, len(report.report_blocks)), (9, 2))

    def test_source_description_with_several_chunks_and_items(self):
        first = struct.pack("!I", 1) + b"\x01\x04abcd" + b"\x02\x01z" + b"\0" * 3
        second = struct.pack("!I", 2) + b"\x01\x02xy" + b"\0" * 4
        described = one(self, packet(202, 2, first + second))
        self.assertEqual(described.chunks, [
            listening.RTCPSourceDescriptionChunk(1, [listening.RTCPSourceDescriptionItem(1, b"abcd"),
                                                     listening.RTCPSourceDescriptionItem(2, b"z")]),
            listening.RTCPSourceDescriptionChunk(2, [listening.RTCPSourceDescriptionItem(1, b"xy")])])

    def test_goodbye_with_and_without_a_reason(self):
        plain = one(self, packet(203, 2, struct.pack("!II", 1, 2)))
        self.assertEqual((plain.ssrc_byes, plain.reason), ([1, 2], ""))
        spoken = one(self, packet(203, 1, struct.pack("!I", 1) + b"\x03end"))
        self.assertEqual(spoken.reason, "end")

    def test_application_defined(self):
        app = one(self, packet(204, 5, struct.pack("!I", 4) + b"NAMEdata"))
        self.assertIsInstance(app, listening.RTCPApplicationDefinedPacket)
        self.assertEqual((app.rc, app.ssrc, app.name, app.app_data), (5, 4, "NAME", b"data"))

    def test_compound_padding_and_feedback(self):
        data = packet(201, 0, struct.pack("!I", 9)) + packet(205, 15, b"\0" * 8)
        data += packet(203, 1, struct.pack("!I", 1) + b"\0\0\0\x04", first=0xA0)
        packets, problem = listening.parse_compound(data)
        self.assertIsNone(problem)
        self.assertEqual([type(p) for p in packets],
                         [listening.RTCPReceiverReportPacket, listening.RTCPGoodbyePacket])
        self.assertTrue(packets[1].p)
        self.assertIsInstance(packets[0], listening.RTCPPacket)

    def test_what_is_malformed_is_named_and_keeps_what_came_before(self):
        good = packet(201, 0, struct.pack("!I", 9))
        for what, bad in {
            "short": b"\x80\xc9", "version": packet(201, 0, b"\0" * 4, first=0x40), "length": b"\x80\xc9\0\x09" + b"\0" * 4,
            "padding": packet(201, 0, b"\0" * 8, first=0xA0), "padding count": packet(201, 0, b"\0\0\0\x09", first=0xA0),
            "no ssrc": packet(201, 0, b""), "blocks": packet(201, 3, b"\0" * 4), "sr": packet(200, 0, b"\0" * 20),
            "sr blocks": packet(200, 1, b"\0" * 24), "chunk": packet(202, 1, b""),
            "no end": packet(202, 1, b"\0\0\0\1" + b"\x01\x02xy"), "item": packet(202, 1, b"\0\0\0\1" + b"\x01\x20xy"),
            "byes": packet(203, 2, b"\0" * 4), "reason": packet(203, 0, b"\x20abc"), "app": packet(204, 0, b"\0" * 4),
        }.items():
            with self.subTest(what):
                packets, problem = listening.parse_compound(good + bad)
                self.assertEqual(len(packets), 1)
                self.assertTrue(problem)

    def test_never_raises(self):
        seed = packet(200, 1, struct.pack("!IQIII", 7, 1, 960, 50, 4000) + BLOCK) + packet(
            202, 1, struct.pack("!I", 1) + b"\x01\x04abcd\0\0")
        for at in range(len(seed)):
            for value in (0, 1, 0x7F, 0x80, 0xC8, 0xCA, 0xCB, 0xCC, 0xFF):
                listening.parse_compound(seed[:at] + bytes([value]) + seed[at + 1:])
            listening.parse_compound(seed[:at])
