#!/usr/bin/env python3
"""The library as Python sees it through its typelib."""
import base64
import sys
import unittest

try:
    import gi
    gi.require_version("Gst", "1.0")
    from gi.repository import Gst
except (ImportError, ValueError) as missing:
    print(f"This Python has no GObject introspection of GStreamer: {missing}")
    sys.exit(77)
gi.require_version("GstDiscord", "1.0")
from gi.repository import GstDiscord  # noqa: E402

Gst.init(None)
SNOWFLAKE = 1234567890123456789  # more than a double can hold


def message(text):
    return Gst.Message.new_element(None, Gst.Structure.from_string(text)[0])


class Introspection(unittest.TestCase):
    def test_the_speaker_meta_is_read(self):
        buffer = Gst.Buffer.new()
        self.assertIsNone(GstDiscord.buffer_get_discord_speaker_meta(buffer))
        GstDiscord.buffer_add_discord_speaker_meta(buffer, 77, SNOWFLAKE)
        meta = GstDiscord.buffer_get_discord_speaker_meta(buffer)
        self.assertEqual((meta.ssrc, meta.user_id), (77, SNOWFLAKE))
        self.assertEqual(meta.kind, GstDiscord.FrameKind.AUDIO)
        self.assertEqual(meta.audio_level, GstDiscord.AUDIO_LEVEL_UNKNOWN)
        self.assertIsNone(meta.packet)

    def test_messages_are_parsed(self):
        speaking = message(f"discord-speaking, ssrc=(uint)5, user-id=(guint64){SNOWFLAKE}, "
                           "speaking=(boolean)true, running-time=(guint64)1000")
        self.assertEqual(GstDiscord.message_get_message_type(speaking),
                         GstDiscord.MessageType.SPEAKING)
        ok, ssrc, user, on, when = GstDiscord.message_parse_speaking(speaking)
        self.assertEqual((ok, ssrc, user, on, when), (True, 5, SNOWFLAKE, True, 1000))
        self.assertFalse(GstDiscord.message_parse_file(speaking)[0])
        ok, path, user, duration, ledger = GstDiscord.message_parse_file(message(
            'discord-file, path=(string)/a/b.wav, user-id=(guint64)9, duration=(guint64)20, '
            'ledger=(structure)"ledger, num-lost=(guint64)3;"'))
        self.assertEqual((ok, path, user, duration), (True, "/a/b.wav", 9, 20))
        self.assertEqual(ledger.get_uint64("num-lost"), (True, 3))

    def test_the_session_of_a_source_is_found(self):
        source = Gst.ElementFactory.make("discordvoicesrc")
        self.assertIsNotNone(source, "the plugin of this build was not found")
        sink = Gst.Pad.new("sink", Gst.PadDirection.SINK)
        self.assertIsNone(GstDiscord.Session.find(sink))
        source.get_static_pad("src").link(sink)
        session = GstDiscord.Session.find(sink)
        self.assertIsInstance(session, GstDiscord.Session)
        self.assertEqual(session.list_properties() if hasattr(session, "list_properties") else [],
                         [], "it gives nothing away")
        self.assertEqual(GstDiscord.SESSION_CONTEXT_TYPE, "gst.discord.Session")

    def test_a_context_carries_a_bot_token_and_does_not_show_it(self):
        context = GstDiscord.bot_token_context_new("canary")
        self.assertEqual(context.get_context_type(), GstDiscord.BOT_TOKEN_CONTEXT_TYPE)
        self.assertTrue(context.is_persistent())
        self.assertTrue(context.get_structure().has_field("bot-token"))
        shown = context.get_structure().to_string()
        self.assertNotIn("canary", shown)
        self.assertNotIn(base64.b64encode(b"canary").decode(), shown)
        context = GstDiscord.bot_token_context_new_from_file("/a/b")
        self.assertEqual(context.get_structure().get_string("bot-token-file"), "/a/b")


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=2).result
    sys.exit(0 if result.wasSuccessful() else 1)
