// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/lostevents.hpp"

#include "media/opus_packet.hpp"
#include "media/timeline.hpp"

#include <algorithm>
#include <limits>

namespace discord {

void announce_lost(const LostStretch& lost,
                   const std::function<GstClockTime(std::int64_t)>& position,
                   const std::function<void(EventPtr)>& out) {
  constexpr std::uint64_t least = media::opus_min_duration;
  const std::uint64_t worth = std::min(lost.packets, (lost.concealed + lost.each - 1) / lost.each);
  const std::uint64_t events = std::min(worth, lost.concealed / least);
  // What is not worth concealing is counted with the last one.
  const auto before = [&](std::uint64_t i) {
    return i == events ? lost.packets : worth * i / events;
  };
  for (std::uint64_t i = 0; i < events; i++) {
    const auto begin = static_cast<std::int64_t>(lost.concealed * i / events);
    const auto end = static_cast<std::int64_t>(lost.concealed * (i + 1) / events);
    out(EventPtr(gst_event_new_custom(
        GST_EVENT_CUSTOM_DOWNSTREAM,
        gst_structure_new(
            "GstRTPPacketLost", "seqnum", G_TYPE_UINT,
            guint{static_cast<guint16>(lost.first_sequence + before(i))}, "timestamp",
            G_TYPE_UINT64,
            static_cast<guint64>(position(std::max<std::int64_t>(lost.sample + begin, 0))),
            "duration", G_TYPE_UINT64,
            static_cast<guint64>(media::duration_from_samples(end - begin).count()), "retry",
            G_TYPE_UINT, 0U, "ssrc", G_TYPE_UINT, lost.ssrc, "user-id", G_TYPE_UINT64,
            static_cast<guint64>(lost.user_id), "packets", G_TYPE_UINT,
            static_cast<guint>(std::min<std::uint64_t>(before(i + 1) - before(i),
                                                       std::numeric_limits<guint>::max())),
            nullptr))));
  }
}

guint lost_packets(const GstStructure* event) {
  guint packets = 1;
  gst_structure_get_uint(event, "packets", &packets);
  return packets;
}

}  // namespace discord
