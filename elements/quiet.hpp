// Whether something taken out of or put into a packet would be heard.
#pragma once

#include "discord/gstdiscordspeakermeta.h"
#include "media/timeline.hpp"

namespace discord {

inline bool is_quiet(const GstDiscordSpeakerMeta* meta) {
  return meta != nullptr && meta->audio_level != GST_DISCORD_AUDIO_LEVEL_UNKNOWN &&
         meta->audio_level >= media::quiet_level;
}

}  // namespace discord
