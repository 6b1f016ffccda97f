// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/lostevents.hpp"

#include "media/timeline.hpp"

#include <algorithm>

namespace discord {

void announce_lost(const LostStretch& lost,
                   const std::function<GstClockTime(std::int64_t)>& position,
                   const std::function<void(EventPtr)>& out) {
  std::int64_t sample = lost.sample;
  std::uint16_t sequence = lost.first_sequence;
  for (std::uint64_t done = 0, n = 1; done < lost.concealed; n++, sequence++) {
    // The last one takes what a division left over.
    const std::uint64_t left = lost.concealed - done;
    const std::uint64_t length = n == lost.packets ? left : std::min(lost.each, left);
    out(EventPtr(gst_event_new_custom(
        GST_EVENT_CUSTOM_DOWNSTREAM,
        gst_structure_new(
            "GstRTPPacketLost", "seqnum", G_TYPE_UINT, guint{sequence}, "timestamp", G_TYPE_UINT64,
            static_cast<guint64>(position(std::max<std::int64_t>(sample, 0))), "duration",
            G_TYPE_UINT64,
            static_cast<guint64>(
                media::duration_from_samples(static_cast<std::int64_t>(length)).count()),
            "retry", G_TYPE_UINT, 0U, "ssrc", G_TYPE_UINT, lost.ssrc, "user-id", G_TYPE_UINT64,
            static_cast<guint64>(lost.user_id), nullptr))));
    done += length;
    sample += static_cast<std::int64_t>(length);
  }
}

}  // namespace discord
