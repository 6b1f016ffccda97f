// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/voicesettings.hpp"

#include "elements/secretfile.hpp"

namespace discord {

namespace {

std::string string_of(const GValue* value) {
  const gchar* text = g_value_get_string(value);
  return text != nullptr ? text : "";
}

// The secret of a property or of its file, which wins. False after an error message.
bool read_secret(GstElement* element, const std::string& path, const char* property,
                 SecretString& secret) {
  if (path.empty()) {
    return true;
  }
  SecretFile file = read_secret_file(path);
  if (!file.problem.empty()) {
    GST_ELEMENT_ERROR(element, RESOURCE, SETTINGS, ("%s", file.problem.c_str()), ("%s", property));
    return false;
  }
  if (!file.warning.empty()) {
    GST_ELEMENT_WARNING(element, RESOURCE, SETTINGS, ("%s", file.warning.c_str()),
                        ("%s", property));
  }
  secret = std::move(file.secret);
  return true;
}

std::string problems_of_bot(const VoiceSettings& settings, const VoicePlan& plan) {
  std::string problem =
      voice::gateway::problems({plan.bot->token, plan.bot->gateway_url, plan.bot->shard, {}});
  if (problem.empty() && !settings.shard.empty() && !plan.bot->shard) {
    problem = "The bot cannot be started: shard is not ID/COUNT with ID below COUNT.";
  }
  if (problem.empty() && (settings.guild_id == 0 || settings.channel_id == 0)) {
    problem = std::string("The bot cannot be started: ") +
              (settings.guild_id == 0 ? "guild-id is missing" : "") +
              (settings.guild_id == 0 && settings.channel_id == 0 ? "; " : "") +
              (settings.channel_id == 0 ? "channel-id is missing" : "") +
              ". Switch on Developer Mode in Discord (Settings, Advanced) to copy them from the "
              "menus of the server and of the channel.";
  }
  return problem;
}

}  // namespace

GType voice_e2ee_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {
        {static_cast<gint>(dave::Policy::automatic),
         "Encrypted calls, and those that are not encrypted from the start (stage channels)",
         "auto"},
        {static_cast<gint>(dave::Policy::required), "Encrypted calls only", "required"},
        {static_cast<gint>(dave::Policy::off), "Calls without end-to-end encryption only", "off"},
        {0, nullptr, nullptr}};
    return g_enum_register_static("GstDiscordE2ee", values);
  }();
  return type;
}

bool VoiceSettings::set(guint id, const GValue* value) {
  switch (id) {
    case PROP_ENDPOINT:
      endpoint = string_of(value);
      return true;
    case PROP_SESSION_ID:
      session_id = string_of(value);
      return true;
    case PROP_TOKEN:
      token = SecretString(string_of(value));
      return true;
    case PROP_TOKEN_FILE:
      token_file = string_of(value);
      return true;
    case PROP_USER_ID:
      user_id = g_value_get_uint64(value);
      return true;
    case PROP_BOT_TOKEN:
      bot_token = SecretString(string_of(value));
      return true;
    case PROP_BOT_TOKEN_FILE:
      bot_token_file = string_of(value);
      return true;
    case PROP_GATEWAY_URL:
      gateway_url = string_of(value);
      return true;
    case PROP_SHARD:
      shard = string_of(value);
      return true;
    case PROP_GUILD_ID:
      guild_id = g_value_get_uint64(value);
      return true;
    case PROP_CHANNEL_ID:
      channel_id = g_value_get_uint64(value);
      return true;
    case PROP_SELF_MUTE:
      self_mute = g_value_get_boolean(value) != FALSE;
      return true;
    case PROP_SELF_DEAF:
      self_deaf = g_value_get_boolean(value) != FALSE;
      return true;
    case PROP_PRIME:
      prime = g_value_get_boolean(value) != FALSE;
      return true;
    case PROP_E2EE:
      e2ee = static_cast<dave::Policy>(g_value_get_enum(value));
      return true;
    case PROP_TLS_CA_FILE:
      tls_ca_file = string_of(value);
      return true;
    case PROP_BUFFER_SIZE:
      buffer_size = g_value_get_int(value);
      return true;
    default:
      return false;
  }
}

bool VoiceSettings::get(guint id, GValue* value) const {
  switch (id) {
    case PROP_ENDPOINT:
      g_value_set_string(value, endpoint.c_str());
      return true;
    case PROP_SESSION_ID:
      g_value_set_string(value, session_id.c_str());
      return true;
    case PROP_TOKEN_FILE:
      g_value_set_string(value, token_file.c_str());
      return true;
    case PROP_USER_ID:
      g_value_set_uint64(value, user_id);
      return true;
    case PROP_BOT_TOKEN_FILE:
      g_value_set_string(value, bot_token_file.c_str());
      return true;
    case PROP_GATEWAY_URL:
      g_value_set_string(value, gateway_url.c_str());
      return true;
    case PROP_SHARD:
      g_value_set_string(value, shard.c_str());
      return true;
    case PROP_GUILD_ID:
      g_value_set_uint64(value, guild_id);
      return true;
    case PROP_CHANNEL_ID:
      g_value_set_uint64(value, channel_id);
      return true;
    case PROP_SELF_MUTE:
      g_value_set_boolean(value, self_mute);
      return true;
    case PROP_SELF_DEAF:
      g_value_set_boolean(value, self_deaf);
      return true;
    case PROP_PRIME:
      g_value_set_boolean(value, prime);
      return true;
    case PROP_E2EE:
      g_value_set_enum(value, static_cast<gint>(e2ee));
      return true;
    case PROP_TLS_CA_FILE:
      g_value_set_string(value, tls_ca_file.c_str());
      return true;
    case PROP_BUFFER_SIZE:
      g_value_set_int(value, buffer_size);
      return true;
    default:
      return false;
  }
}

std::optional<VoicePlan> plan_of(GstElement* element, const VoiceSettings& settings,
                                 bool application) {
  VoicePlan plan;
  std::string problem;
  if (!settings.bot_token.empty() || !settings.bot_token_file.empty()) {
    plan.mode = VoiceMode::bot;
    plan.bot = net::BotOptions{
        settings.bot_token, settings.gateway_url, voice::gateway::parse_shard(settings.shard),
        settings.wish(),    settings.tls_ca_file, {}};
    if (!read_secret(element, settings.bot_token_file, "bot-token-file", plan.bot->token)) {
      return std::nullopt;
    }
    problem = problems_of_bot(settings, plan);
  } else {
    voice::Credentials& credentials = plan.credentials;
    credentials = {settings.endpoint, settings.session_id, settings.token,
                   settings.user_id,  settings.guild_id,   settings.channel_id};
    if (!read_secret(element, settings.token_file, "token-file", credentials.token)) {
      return std::nullopt;
    }
    voice::Credentials checked = credentials;
    if (application && (credentials.endpoint.empty() || credentials.session_id.empty() ||
                        credentials.token.empty())) {
      // What is missing is asked for when the source starts.
      plan.mode = VoiceMode::application;
      checked.endpoint = credentials.endpoint.empty() ? "later" : credentials.endpoint;
      checked.session_id = credentials.session_id.empty() ? "later" : credentials.session_id;
      checked.token = SecretString("later");
    }
    problem = voice::problems(checked);
    if (problem.empty() && settings.e2ee != dave::Policy::off && credentials.channel_id == 0) {
      problem =
          "The channel-id is missing: the group of an end-to-end encrypted call is named after its "
          "channel. Set channel-id, or e2ee=off.";
    }
  }
  if (!problem.empty()) {
    GST_ELEMENT_ERROR(element, RESOURCE, SETTINGS, ("%s", problem.c_str()), (nullptr));
    return std::nullopt;
  }
  return plan;
}

void install_voice_properties(GObjectClass* object_class) {
  const auto flags = [](int extra, int mutability) {
    return static_cast<GParamFlags>(extra | mutability | G_PARAM_STATIC_STRINGS);
  };
  const auto ready = flags(G_PARAM_READWRITE, GST_PARAM_MUTABLE_READY);
  const auto playing = flags(G_PARAM_READWRITE, GST_PARAM_MUTABLE_PLAYING);
  const auto secret = flags(G_PARAM_WRITABLE, GST_PARAM_MUTABLE_READY);

  g_object_class_install_property(
      object_class, PROP_ENDPOINT,
      g_param_spec_string("endpoint", "Endpoint",
                          "Host and port of the voice server, from VOICE_SERVER_UPDATE", nullptr,
                          ready));
  g_object_class_install_property(
      object_class, PROP_SESSION_ID,
      g_param_spec_string("session-id", "Session ID",
                          "Session of the joining user, from its own VOICE_STATE_UPDATE", nullptr,
                          ready));
  g_object_class_install_property(
      object_class, PROP_TOKEN,
      g_param_spec_string("token", "Token",
                          "Voice token from VOICE_SERVER_UPDATE; other users of the machine see it "
                          "in the arguments of gst-launch, token-file hides it",
                          nullptr, secret));
  g_object_class_install_property(
      object_class, PROP_TOKEN_FILE,
      g_param_spec_string("token-file", "Token file", "File that holds the voice token", nullptr,
                          ready));
  g_object_class_install_property(
      object_class, PROP_USER_ID,
      g_param_spec_uint64("user-id", "User ID", "Snowflake of the joining user", 0, G_MAXUINT64, 0,
                          ready));
  g_object_class_install_property(
      object_class, PROP_GUILD_ID,
      g_param_spec_uint64("guild-id", "Guild ID", "Snowflake of the guild", 0, G_MAXUINT64, 0,
                          ready));
  g_object_class_install_property(
      object_class, PROP_CHANNEL_ID,
      g_param_spec_uint64("channel-id", "Channel ID",
                          "Snowflake of the voice channel; another one moves a bot", 0, G_MAXUINT64,
                          0, playing));
  g_object_class_install_property(
      object_class, PROP_BOT_TOKEN,
      g_param_spec_string("bot-token", "Bot token",
                          "Token of a bot that joins by itself; other users of the machine see it "
                          "in the arguments of gst-launch, bot-token-file hides it",
                          nullptr, secret));
  g_object_class_install_property(
      object_class, PROP_BOT_TOKEN_FILE,
      g_param_spec_string("bot-token-file", "Bot token file", "File that holds the bot token",
                          nullptr, ready));
  g_object_class_install_property(
      object_class, PROP_GATEWAY_URL,
      g_param_spec_string("gateway-url", "Gateway URL",
                          "Where the bot connects, in place of Discord's own gateway; the bot "
                          "token is sent there",
                          nullptr, ready));
  g_object_class_install_property(
      object_class, PROP_SHARD,
      g_param_spec_string("shard", "Shard", "ID/COUNT, for bots that Discord wants to be sharded",
                          nullptr, ready));
  g_object_class_install_property(
      object_class, PROP_SELF_MUTE,
      g_param_spec_boolean("self-mute", "Self mute",
                           "Whether a bot shows as muted, since it never speaks", TRUE, playing));
  g_object_class_install_property(
      object_class, PROP_SELF_DEAF,
      g_param_spec_boolean("self-deaf", "Self deaf",
                           "Whether a bot shows as deafened; it hears all the same, and people "
                           "who are recorded had better see that",
                           FALSE, playing));
  g_object_class_install_property(
      object_class, PROP_RECEIVING,
      g_param_spec_boolean("receiving", "Receiving",
                           "Whether media is passed on; while false it is read and discarded, and "
                           "the session lives on",
                           TRUE, flags(G_PARAM_READWRITE, GST_PARAM_MUTABLE_PLAYING)));
  g_object_class_install_property(
      object_class, PROP_PRIME,
      g_param_spec_boolean("prime", "Prime",
                           "Whether to send five silence frames after joining, for servers that "
                           "send nothing before they have received something",
                           FALSE, ready));
  g_object_class_install_property(
      object_class, PROP_E2EE,
      g_param_spec_enum(
          "e2ee", "End-to-end encryption",
          "What calls to take part in; a call that loses its encryption on the way is "
          "left unless this is off",
          voice_e2ee_type(), static_cast<gint>(dave::Policy::automatic), ready));
  g_object_class_install_property(
      object_class, PROP_TLS_CA_FILE,
      g_param_spec_string("tls-ca-file", "TLS CA file",
                          "PEM file of certificate authorities to trust instead of the system's",
                          nullptr, ready));
  g_object_class_install_property(
      object_class, PROP_BUFFER_SIZE,
      g_param_spec_int("buffer-size", "Buffer size",
                       "Receive buffer asked of the kernel for the media socket, in bytes", 65536,
                       G_MAXINT, VoiceSettings::default_buffer_size, ready));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "Counters of the connection", GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

}  // namespace discord
