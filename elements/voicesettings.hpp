// The properties of discordvoicesrc: what they are called, what they hold, and what a source makes
// of them.
#pragma once

#include "base/secret.hpp"
#include "dave/session.hpp"
#include "net/voice_client.hpp"

#include <gst/gst.h>
#include <optional>
#include <string>

namespace discord {

enum VoiceProperty : guint {
  PROP_0,
  PROP_ENDPOINT,
  PROP_SESSION_ID,
  PROP_TOKEN,
  PROP_TOKEN_FILE,
  PROP_USER_ID,
  PROP_BOT_TOKEN,
  PROP_BOT_TOKEN_FILE,
  PROP_GATEWAY_URL,
  PROP_SHARD,
  PROP_GUILD_ID,
  PROP_CHANNEL_ID,
  PROP_SELF_MUTE,
  PROP_SELF_DEAF,
  PROP_RECEIVING,
  PROP_PRIME,
  PROP_E2EE,
  PROP_TLS_CA_FILE,
  PROP_BUFFER_SIZE,
  PROP_STATS,
};

// How the source comes by the values of a voice connection.
enum class VoiceMode {
  values,       // from properties
  bot,          // it joins by itself
  application,  // somebody else joins and tells what came of it
};

struct VoiceSettings {
  static constexpr gint default_buffer_size = 4'000'000;

  std::string endpoint;
  std::string session_id;
  SecretString token;
  std::string token_file;
  SecretString bot_token;
  std::string bot_token_file;
  std::string gateway_url;
  std::string shard;
  guint64 user_id = 0;
  guint64 guild_id = 0;
  guint64 channel_id = 0;
  bool self_mute = true;
  bool self_deaf = false;
  bool prime = false;
  dave::Policy e2ee = dave::Policy::automatic;
  std::string tls_ca_file;
  gint buffer_size = default_buffer_size;

  // All properties but `receiving` and `stats`; false for those and for unknown ones. The caller
  // holds the object lock.
  bool set(guint id, const GValue* value);
  bool get(guint id, GValue* value) const;

  voice::gateway::Wish wish() const {
    return {guild_id, channel_id, self_mute, self_deaf, e2ee == dave::Policy::required};
  }
};

void install_voice_properties(GObjectClass* object_class);
GType voice_e2ee_type();

// Settings that were checked: secrets are read from their files.
struct VoicePlan {
  VoiceMode mode = VoiceMode::values;
  voice::Credentials credentials;
  std::optional<net::BotOptions> bot;
};

// Nothing, and an error posted by `element`, when a source cannot start with these. `application`:
// somebody waits to be asked for credentials.
std::optional<VoicePlan> plan_of(GstElement* element, const VoiceSettings& settings,
                                 bool application);

}  // namespace discord
