// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/ledgerstats.hpp"

namespace discord {

void add_ledger(GstStructure* structure, const media::Ledger& ledger) {
  const auto add = [structure](const char* name, std::uint64_t value) {
    gst_structure_set(structure, name, G_TYPE_UINT64, static_cast<guint64>(value), nullptr);
  };
  add("received", ledger.received);
  add("played", ledger.played);
  add("silence", ledger.silence);
  add("padding-only", ledger.padding_only);
  add("late", ledger.late);
  add("duplicate", ledger.duplicate);
  add("not-audio", ledger.not_audio);
  add("no-user", ledger.no_user);
  add("no-key", ledger.no_key);
  add("bad-tag", ledger.bad_tag);
  add("not-a-frame", ledger.not_a_frame);
  add("replayed", ledger.replayed);
  add("evicted", ledger.evicted);
  add("paused", ledger.paused);
  add("denied", ledger.denied);
  add("ring-full", ledger.ring_full);
  add("skipped", ledger.skipped);
  add("held", ledger.held);
  add("in-flight", ledger.in_flight);
  add("lost-fec", ledger.lost.fec);
  add("lost-concealed", ledger.lost.concealed);
  add("lost-silent", ledger.lost.silent);
}

bool ledger_adds_up(const GstStructure* structure) {
  static constexpr const char* causes[] = {
      "played",  "silence", "padding-only", "late",        "duplicate", "not-audio",
      "no-user", "no-key",  "bad-tag",      "not-a-frame", "replayed",  "evicted",
      "paused",  "denied",  "ring-full",    "skipped",     "held",      "in-flight"};
  guint64 received = 0;
  gst_structure_get_uint64(structure, "received", &received);
  guint64 accounted = 0;
  for (const char* cause : causes) {
    guint64 count = 0;
    gst_structure_get_uint64(structure, cause, &count);
    accounted += count;
  }
  return received == accounted;
}

void add_list(GstStructure* structure, const char* name, const std::vector<GstStructure*>& rows) {
  GValue list = G_VALUE_INIT;
  gst_value_array_init(&list, static_cast<guint>(rows.size()));
  for (GstStructure* row : rows) {
    GValue value = G_VALUE_INIT;
    g_value_init(&value, GST_TYPE_STRUCTURE);
    g_value_take_boxed(&value, row);
    gst_value_array_append_and_take_value(&list, &value);
  }
  gst_structure_take_value(structure, name, &list);
}

void add_speakers(GstStructure* structure, const std::vector<media::SpeakerStats>& speakers) {
  std::vector<GstStructure*> rows;
  for (const media::SpeakerStats& speaker : speakers) {
    GstStructure* row =
        gst_structure_new("speaker", "ssrc", G_TYPE_UINT, speaker.ssrc, "user-id", G_TYPE_UINT64,
                          static_cast<guint64>(speaker.user_id), "speaking", G_TYPE_BOOLEAN,
                          gboolean{speaker.speaking}, "gone", G_TYPE_BOOLEAN,
                          gboolean{speaker.gone}, "jitter", G_TYPE_UINT, speaker.jitter, nullptr);
    if (speaker.audio_level) {
      gst_structure_set(row, "audio-level", G_TYPE_UINT, guint{*speaker.audio_level}, nullptr);
    }
    add_ledger(row, speaker.ledger);
    rows.push_back(row);
  }
  add_list(structure, "speakers", rows);
}

}  // namespace discord
