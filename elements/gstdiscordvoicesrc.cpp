// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-discordvoicesrc
 * @title: discordvoicesrc
 * @short_description: receives the datagrams of a Discord voice call
 *
 * Joins a voice channel with the values that a Discord library learns when it joins, and pushes the
 * call's datagrams, still encrypted, as `application/x-discord-rtp`. `discorddecrypt` behind it
 * finds the keys by a context query. See docs/elements/discordvoicesrc.md.
 *
 * |[
 * gst-launch-1.0 -e discordvoicesrc endpoint=… session-id=… token-file=token user-id=… guild-id=… \
 *     channel-id=… ! discorddecrypt ! discordreorder ! discordrecordsink location=out
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordvoicesrc.h"

#include "discord/gstdiscordsession.h"
#include "elements/author.hpp"
#include "elements/datagrambatch.hpp"
#include "elements/mediaport.hpp"
#include "elements/secretfile.hpp"
#include "elements/verification.hpp"
#include "elements/voicelink.hpp"
#include "rtp/classify.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

GST_DEBUG_CATEGORY(discord_voice_src_debug);
#define GST_CAT_DEFAULT discord_voice_src_debug

using namespace discord;

namespace {

constexpr gint default_buffer_size = 4'000'000;
constexpr const char* caps_string = "application/x-discord-rtp";

struct Settings {
  std::string endpoint;
  std::string session_id;
  SecretString token;
  std::string token_file;
  guint64 user_id = 0;
  guint64 guild_id = 0;
  guint64 channel_id = 0;
  bool prime = false;
  dave::Policy e2ee = dave::Policy::automatic;
  std::string tls_ca_file;
  gint buffer_size = default_buffer_size;
};

// Before the first session description.
bool connecting(voice::State state) {
  return state == voice::State::Connecting || state == voice::State::Identifying ||
         state == voice::State::Discovering || state == voice::State::Selecting;
}

// The client and what it reports to go together and end together.
struct Connection {
  Connection(GstElement* element, CallState& call, MediaPort& port, voice::Credentials credentials,
             net::ClientOptions options)
      : link(element, call, port), client(std::move(credentials), std::move(options), link) {}

  // Until this returns the link may be called. Whoever still holds the connection can read its
  // status afterwards, no more.
  void close() {
    client.stop();
    link.cancel_progress();
  }

  VoiceLink link;
  net::VoiceClient client;
};

struct Source {
  Settings settings;               // object lock
  bool checked = false;            // object lock: `credentials` are made of these settings
  voice::Credentials credentials;  // state changes only

  GObjectPtr<GstDiscordSession> session{gst_discord_session_new()};
  MediaPort port;
  DatagramBatch batch;           // streaming thread
  std::vector<BufferPtr> ready;  // streaming thread: received, not pushed yet

  Mutex connection_mutex;
  std::shared_ptr<Connection> connection GUARDED_BY(connection_mutex);

  std::atomic<bool> receiving{true};
  std::atomic<guint64> datagrams{0};
  std::atomic<guint64> bytes{0};
  std::atomic<guint64> paused{0};
  std::atomic<guint64> not_media{0};
  std::atomic<guint64> truncated{0};
  std::atomic<guint64> kernel_drops{0};

  std::shared_ptr<Connection> current() {
    Lock lock(connection_mutex);
    return connection;
  }
};

}  // namespace

struct _GstDiscordVoiceSrc {
  GstPushSrc parent;
  Source* priv;
};

enum {
  PROP_0,
  PROP_ENDPOINT,
  PROP_SESSION_ID,
  PROP_TOKEN,
  PROP_TOKEN_FILE,
  PROP_USER_ID,
  PROP_GUILD_ID,
  PROP_CHANNEL_ID,
  PROP_RECEIVING,
  PROP_PRIME,
  PROP_E2EE,
  PROP_TLS_CA_FILE,
  PROP_BUFFER_SIZE,
  PROP_STATS,
};

static GType gst_discord_e2ee_get_type() {
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

static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE(
    "src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS("application/x-discord-rtp"));

#define gst_discord_voice_src_parent_class parent_class
G_DEFINE_FINAL_TYPE(GstDiscordVoiceSrc, gst_discord_voice_src, GST_TYPE_PUSH_SRC)
GST_ELEMENT_REGISTER_DEFINE(discordvoicesrc, "discordvoicesrc", GST_RANK_NONE,
                            GST_TYPE_DISCORD_VOICE_SRC)

static std::string string_of(const GValue* value) {
  const gchar* text = g_value_get_string(value);
  return text != nullptr ? text : "";
}

static void gst_discord_voice_src_set_property(GObject* object, guint id, const GValue* value,
                                               GParamSpec* pspec) {
  Source& self = *GST_DISCORD_VOICE_SRC(object)->priv;
  GST_OBJECT_LOCK(object);
  self.checked = self.checked && id == PROP_RECEIVING;
  switch (id) {
    case PROP_ENDPOINT:
      self.settings.endpoint = string_of(value);
      break;
    case PROP_SESSION_ID:
      self.settings.session_id = string_of(value);
      break;
    case PROP_TOKEN:
      self.settings.token = SecretString(string_of(value));
      break;
    case PROP_TOKEN_FILE:
      self.settings.token_file = string_of(value);
      break;
    case PROP_USER_ID:
      self.settings.user_id = g_value_get_uint64(value);
      break;
    case PROP_GUILD_ID:
      self.settings.guild_id = g_value_get_uint64(value);
      break;
    case PROP_CHANNEL_ID:
      self.settings.channel_id = g_value_get_uint64(value);
      call_state(self.session.get()).set_channel(self.settings.channel_id);
      break;
    case PROP_RECEIVING:
      self.receiving = g_value_get_boolean(value) != FALSE;
      break;
    case PROP_PRIME:
      self.settings.prime = g_value_get_boolean(value) != FALSE;
      break;
    case PROP_E2EE:
      self.settings.e2ee = static_cast<dave::Policy>(g_value_get_enum(value));
      break;
    case PROP_TLS_CA_FILE:
      self.settings.tls_ca_file = string_of(value);
      break;
    case PROP_BUFFER_SIZE:
      self.settings.buffer_size = g_value_get_int(value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK(object);
}

static GstStructure* gst_discord_voice_src_stats(Source& self) {
  GstStructure* stats = gst_structure_new(
      "application/x-discordvoicesrc-stats", "datagrams", G_TYPE_UINT64, self.datagrams.load(),
      "bytes", G_TYPE_UINT64, self.bytes.load(), "paused", G_TYPE_UINT64, self.paused.load(),
      "not-media", G_TYPE_UINT64, self.not_media.load(), "truncated", G_TYPE_UINT64,
      self.truncated.load(), "kernel-drops", G_TYPE_UINT64, self.kernel_drops.load(), nullptr);
  if (const std::shared_ptr<Connection> connection = self.current()) {
    const net::VoiceClient::Status status = connection->client.status();
    guint64 malformed = 0;
    for (const std::uint64_t count : status.counters.malformed) {
      malformed += count;
    }
    gst_structure_set(stats, "state", G_TYPE_STRING,
                      std::string(voice::to_string(status.state)).c_str(), "messages",
                      G_TYPE_UINT64, status.counters.messages, "malformed-messages", G_TYPE_UINT64,
                      malformed, "unknown-opcodes", G_TYPE_UINT64, status.counters.unknown_opcodes,
                      "resumes", G_TYPE_UINT64, status.counters.resumes, "zombies", G_TYPE_UINT64,
                      status.counters.zombies, "ssrc", G_TYPE_UINT, status.ssrc, nullptr);
    if (status.mode) {
      gst_structure_set(stats, "mode", G_TYPE_STRING,
                        std::string(transport::to_string(*status.mode)).c_str(), nullptr);
    }
    if (status.heartbeat_rtt) {
      gst_structure_set(stats, "heartbeat-rtt", G_TYPE_UINT64,
                        static_cast<guint64>(status.heartbeat_rtt->count()), nullptr);
    }
    if (status.ping_rtt) {
      gst_structure_set(stats, "ping-rtt", G_TYPE_UINT64,
                        static_cast<guint64>(status.ping_rtt->count()), nullptr);
    }
  }
  return stats;
}

static void gst_discord_voice_src_get_property(GObject* object, guint id, GValue* value,
                                               GParamSpec* pspec) {
  Source& self = *GST_DISCORD_VOICE_SRC(object)->priv;
  if (id == PROP_STATS) {
    // Waits for the control thread, so it must not hold the lock that thread may want.
    g_value_take_boxed(value, gst_discord_voice_src_stats(self));
    return;
  }
  GST_OBJECT_LOCK(object);
  switch (id) {
    case PROP_ENDPOINT:
      g_value_set_string(value, self.settings.endpoint.c_str());
      break;
    case PROP_SESSION_ID:
      g_value_set_string(value, self.settings.session_id.c_str());
      break;
    case PROP_TOKEN_FILE:
      g_value_set_string(value, self.settings.token_file.c_str());
      break;
    case PROP_USER_ID:
      g_value_set_uint64(value, self.settings.user_id);
      break;
    case PROP_GUILD_ID:
      g_value_set_uint64(value, self.settings.guild_id);
      break;
    case PROP_CHANNEL_ID:
      g_value_set_uint64(value, self.settings.channel_id);
      break;
    case PROP_RECEIVING:
      g_value_set_boolean(value, self.receiving);
      break;
    case PROP_PRIME:
      g_value_set_boolean(value, self.settings.prime);
      break;
    case PROP_E2EE:
      g_value_set_enum(value, static_cast<gint>(self.settings.e2ee));
      break;
    case PROP_TLS_CA_FILE:
      g_value_set_string(value, self.settings.tls_ca_file.c_str());
      break;
    case PROP_BUFFER_SIZE:
      g_value_set_int(value, self.settings.buffer_size);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK(object);
}

// Checks the settings while nothing has been opened yet, so that a mistake is an error at READY;
// what is changed in READY is checked again before PAUSED.
static bool gst_discord_voice_src_prepare(GstDiscordVoiceSrc* src) {
  Source& self = *src->priv;
  GST_OBJECT_LOCK(src);
  const Settings settings = self.settings;
  const bool checked = std::exchange(self.checked, true);
  GST_OBJECT_UNLOCK(src);
  if (checked) {
    return true;
  }

  voice::Credentials& credentials = self.credentials;
  credentials = {settings.endpoint, settings.session_id, settings.token,
                 settings.user_id,  settings.guild_id,   settings.channel_id};
  if (!settings.token_file.empty()) {
    SecretFile file = read_secret_file(settings.token_file);
    if (!file.problem.empty()) {
      GST_ELEMENT_ERROR(src, RESOURCE, SETTINGS, ("%s", file.problem.c_str()), ("token-file"));
      return false;
    }
    if (!file.warning.empty()) {
      GST_ELEMENT_WARNING(src, RESOURCE, SETTINGS, ("%s", file.warning.c_str()), ("token-file"));
    }
    credentials.token = std::move(file.secret);
  }
  std::string problem = voice::problems(credentials);
  if (problem.empty() && settings.e2ee != dave::Policy::off && credentials.channel_id == 0) {
    problem =
        "The channel-id is missing: the group of an end-to-end encrypted call is named after its "
        "channel. Set channel-id, or e2ee=off.";
  }
  if (!problem.empty()) {
    GST_ELEMENT_ERROR(src, RESOURCE, SETTINGS, ("%s", problem.c_str()), (nullptr));
    return false;
  }
  return true;
}

static GstStateChangeReturn gst_discord_voice_src_change_state(GstElement* element,
                                                               GstStateChange transition) {
  auto* src = GST_DISCORD_VOICE_SRC(element);
  if ((transition == GST_STATE_CHANGE_NULL_TO_READY ||
       transition == GST_STATE_CHANGE_READY_TO_PAUSED) &&
      !gst_discord_voice_src_prepare(src)) {
    GST_OBJECT_LOCK(src);
    src->priv->checked = false;
    GST_OBJECT_UNLOCK(src);
    return GST_STATE_CHANGE_FAILURE;
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(parent_class)->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL) {
    // A token file may have another content next time, and secrets are kept no longer than needed.
    GST_OBJECT_LOCK(src);
    src->priv->checked = false;
    GST_OBJECT_UNLOCK(src);
    src->priv->credentials = voice::Credentials();
  }
  return result;
}

static gboolean gst_discord_voice_src_start(GstBaseSrc* base) {
  Source& self = *GST_DISCORD_VOICE_SRC(base)->priv;
  GST_OBJECT_LOCK(base);
  net::ClientOptions options;
  options.voice.prefer_aes = net::cpu_has_aes();
  options.voice.prime = self.settings.prime;
  options.voice.e2ee = {self.settings.e2ee, net::process_signature_key(), &net::system_random()};
  options.ca_file = self.settings.tls_ca_file;
  options.receive_buffer = self.settings.buffer_size;
  GST_OBJECT_UNLOCK(base);

  if (!self.port.usable()) {
    GST_ELEMENT_ERROR(base, RESOURCE, OPEN_READ,
                      ("This process has no file descriptor left: raise its limit (ulimit -n)."),
                      (nullptr));
    return FALSE;
  }
  self.port.reset();
  auto connection =
      std::make_shared<Connection>(GST_ELEMENT_CAST(base), call_state(self.session.get()),
                                   self.port, self.credentials, std::move(options));
  {
    Lock lock(self.connection_mutex);
    self.connection = connection;
  }
  call_state(self.session.get()).on_undecryptable([weak = std::weak_ptr(connection)](auto user) {
    if (const std::shared_ptr<Connection> live = weak.lock()) {
      live->client.hand_undecryptable(user);
    }
  });
  // The rest happens on the control thread and is told by PROGRESS messages; nothing waits here.
  connection->client.start();
  return TRUE;
}

static gboolean gst_discord_voice_src_stop(GstBaseSrc* base) {
  Source& self = *GST_DISCORD_VOICE_SRC(base)->priv;
  std::shared_ptr<Connection> connection;
  {
    Lock lock(self.connection_mutex);
    connection = std::move(self.connection);
    self.connection.reset();
  }
  call_state(self.session.get()).on_undecryptable({});
  if (connection) {
    connection->close();
  }
  self.ready.clear();
  self.port.reset();
  call_state(self.session.get()).update([](CallSnapshot& call) { call = CallSnapshot(); });
  call_state(self.session.get()).forget_news();
  return TRUE;
}

// An end that is asked for while the connection is being made calls the attempt off: gst-launch-1.0
// plays, and so ends, only once the open progress is over, which could take until its time-out.
// Like the state changes it runs under the state lock.
static gboolean gst_discord_voice_src_send_event(GstElement* element, GstEvent* event) {
  const bool eos = GST_EVENT_TYPE(event) == GST_EVENT_EOS;
  const gboolean sent = GST_ELEMENT_CLASS(parent_class)->send_event(element, event);
  if (eos) {
    const std::shared_ptr<Connection> connection = GST_DISCORD_VOICE_SRC(element)->priv->current();
    if (connection && connecting(connection->client.status().state)) {
      connection->close();
    }
  }
  return sent;
}

static gboolean gst_discord_voice_src_unlock(GstBaseSrc* base) {
  GST_DISCORD_VOICE_SRC(base)->priv->port.set_flushing(true);
  return TRUE;
}

static gboolean gst_discord_voice_src_unlock_stop(GstBaseSrc* base) {
  GST_DISCORD_VOICE_SRC(base)->priv->port.set_flushing(false);
  return TRUE;
}

static gboolean gst_discord_voice_src_query(GstBaseSrc* base, GstQuery* query) {
  if (gst_discord_session_answer_query(GST_DISCORD_VOICE_SRC(base)->priv->session.get(), query)) {
    return TRUE;
  }
  return GST_BASE_SRC_CLASS(parent_class)->query(base, query);
}

static GstCaps* gst_discord_voice_src_get_caps(GstBaseSrc*, GstCaps* filter) {
  const CapsPtr caps(gst_caps_from_string(caps_string));
  return filter != nullptr ? gst_caps_intersect_full(filter, caps.get(), GST_CAPS_INTERSECT_FIRST)
                           : gst_caps_ref(caps.get());
}

// Running time now, or none before the element has a clock.
static GstClockTime running_time(GstElement* element) {
  const ObjectPtr<GstClock> clock(gst_element_get_clock(element));
  if (!clock) {
    return GST_CLOCK_TIME_NONE;
  }
  const GstClockTime now = gst_clock_get_time(clock.get());
  const GstClockTime base = gst_element_get_base_time(element);
  return now > base ? now - base : 0;
}

// Moves what is media from the batch to what is ready to leave; the rest is counted and, where it
// concerns the session, handed to it.
static void gst_discord_voice_src_collect(GstDiscordVoiceSrc* src, const MediaPort::Socket& socket,
                                          std::size_t count) {
  Source& self = *src->priv;
  const GstClockTime now = running_time(GST_ELEMENT_CAST(src));
  for (std::size_t i = 0; i < count; i++) {
    const net::DatagramInfo& info = self.batch.info(i);
    self.datagrams++;
    self.bytes += info.size;
    if (info.truncated) {
      self.truncated++;
      continue;
    }
    const rtp::DatagramKind kind = rtp::classify(self.batch.peek(i));
    if (kind == rtp::DatagramKind::discovery_reply || kind == rtp::DatagramKind::ping_reply) {
      self.not_media++;
      if (const std::shared_ptr<Connection> connection = self.current()) {
        connection->client.hand_datagram(socket.generation, self.batch.peek(i));
      }
      continue;
    }
    if (kind == rtp::DatagramKind::keepalive_echo || kind == rtp::DatagramKind::drop) {
      self.not_media++;
      continue;
    }
    if (!self.receiving) {
      self.paused++;
      continue;
    }
    const auto age = static_cast<GstClockTime>(info.age.count());
    BufferPtr buffer = self.batch.take(i);
    if (GST_CLOCK_TIME_IS_VALID(now)) {
      // What waited in the socket since before the pipeline played counts as arriving at its start.
      GST_BUFFER_PTS(buffer.get()) = now > age ? now - age : 0;
      GST_BUFFER_DTS(buffer.get()) = GST_BUFFER_PTS(buffer.get());
    }
    self.ready.push_back(std::move(buffer));
  }
  self.kernel_drops += socket.udp->take_kernel_drops();
}

// Lets everything ready leave: as a list, but for the buffer that the base class pushes. Its own
// way to take a list, gst_base_src_submit_buffer_list(), releases a null buffer when the element
// is stopped or ended before the push (1.22).
static GstFlowReturn gst_discord_voice_src_hand_over(GstDiscordVoiceSrc* src, GstBuffer** out) {
  Source& self = *src->priv;
  GstPad* pad = GST_BASE_SRC_PAD(src);
  const EventPtr segment(gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0));
  if (!segment) {
    // The base class sends the segment together with the first buffer.
    *out = self.ready.front().release();
    self.ready.erase(self.ready.begin());
    return GST_FLOW_OK;
  }
  const std::size_t last = self.ready.size() - 1;
  GstFlowReturn flow = GST_FLOW_OK;
  if (last > 0) {
    GstBufferList* list = gst_buffer_list_new_sized(static_cast<guint>(last));
    for (std::size_t i = 0; i < last; i++) {
      gst_buffer_list_add(list, self.ready[i].release());
    }
    flow = gst_pad_push_list(pad, list);
  }
  if (flow == GST_FLOW_OK) {
    *out = self.ready[last].release();
  }
  self.ready.clear();
  return flow;
}

static GstFlowReturn gst_discord_voice_src_create(GstPushSrc* push, GstBuffer** out) {
  auto* src = GST_DISCORD_VOICE_SRC(push);
  Source& self = *src->priv;
  *out = nullptr;
  while (self.ready.empty()) {
    MediaPort::Socket socket;
    switch (self.port.wait(socket)) {
      case MediaPort::Outcome::flushing:
        return GST_FLOW_FLUSHING;
      case MediaPort::Outcome::ended:
        // The reason is on the bus already; EOS lets what is downstream finish its files.
        return GST_FLOW_EOS;
      case MediaPort::Outcome::readable:
        break;
    }
    gst_discord_voice_src_collect(src, socket, self.batch.receive(*socket.udp));
  }
  return gst_discord_voice_src_hand_over(src, out);
}

static GstPromise* gst_discord_voice_src_verification_code(GstDiscordVoiceSrc* src,
                                                           guint64 user_id) {
  Source& self = *src->priv;
  const std::shared_ptr<Connection> connection = self.current();
  if (!connection) {
    return refuse_verification_code(user_id, "There is no call.");
  }
  auto keys = connection->client.signature_keys(user_id);
  if (!keys) {
    return refuse_verification_code(
        user_id, "This user is not a member of the call's end-to-end encrypted group.");
  }
  return promise_verification_code(
      {self.credentials.user_id, std::move(keys->own), user_id, std::move(keys->theirs)});
}

static void gst_discord_voice_src_init(GstDiscordVoiceSrc* src) {
  src->priv = new Source();
  gst_base_src_set_live(GST_BASE_SRC_CAST(src), TRUE);
  gst_base_src_set_format(GST_BASE_SRC_CAST(src), GST_FORMAT_TIME);
}

static void gst_discord_voice_src_finalize(GObject* object) {
  delete GST_DISCORD_VOICE_SRC(object)->priv;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

static void gst_discord_voice_src_install_properties(GObjectClass* object_class) {
  const auto flags = [](int extra, int mutability) {
    return static_cast<GParamFlags>(extra | mutability | G_PARAM_STATIC_STRINGS);
  };
  const auto ready = flags(G_PARAM_READWRITE, GST_PARAM_MUTABLE_READY);
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
      g_param_spec_uint64("channel-id", "Channel ID", "Snowflake of the voice channel", 0,
                          G_MAXUINT64, 0, ready));
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
          gst_discord_e2ee_get_type(), static_cast<gint>(dave::Policy::automatic), ready));
  g_object_class_install_property(
      object_class, PROP_TLS_CA_FILE,
      g_param_spec_string("tls-ca-file", "TLS CA file",
                          "PEM file of certificate authorities to trust instead of the system's",
                          nullptr, ready));
  g_object_class_install_property(
      object_class, PROP_BUFFER_SIZE,
      g_param_spec_int("buffer-size", "Buffer size",
                       "Receive buffer asked of the kernel for the media socket, in bytes", 65536,
                       G_MAXINT, default_buffer_size, ready));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "Counters of the connection", GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

static void gst_discord_voice_src_class_init(GstDiscordVoiceSrcClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  auto* base_class = GST_BASE_SRC_CLASS(klass);
  GST_DEBUG_CATEGORY_INIT(discord_voice_src_debug, "discordvoicesrc", 0, "Discord voice source");

  object_class->set_property = gst_discord_voice_src_set_property;
  object_class->get_property = gst_discord_voice_src_get_property;
  object_class->finalize = gst_discord_voice_src_finalize;
  gst_discord_voice_src_install_properties(object_class);

  element_class->change_state = gst_discord_voice_src_change_state;
  element_class->send_event = gst_discord_voice_src_send_event;
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_set_static_metadata(
      element_class, "Discord voice source", "Source/Network/RTP",
      "Joins a Discord voice channel and receives its encrypted datagrams", element_author);

  /**
   * GstDiscordVoiceSrc::verification-code:
   * @user_id: another member of the call
   *
   * Asks for the 45 digits that this user and that one can compare to verify each other. Working
   * them out takes about 60 ms on a thread of its own. Any thread may emit it.
   *
   * Returns: (transfer full): a promise, answered with a structure `discord-verification-code`:
   *     `user-id`, and `code` or, where there is none, `error` (a sentence)
   * Since: 0.1
   */
  g_signal_new_class_handler("verification-code", G_TYPE_FROM_CLASS(klass),
                             static_cast<GSignalFlags>(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION),
                             G_CALLBACK(gst_discord_voice_src_verification_code), nullptr, nullptr,
                             nullptr, GST_TYPE_PROMISE, 1, G_TYPE_UINT64);
  gst_type_mark_as_plugin_api(gst_discord_e2ee_get_type(), static_cast<GstPluginAPIFlags>(0));

  base_class->start = gst_discord_voice_src_start;
  base_class->stop = gst_discord_voice_src_stop;
  base_class->unlock = gst_discord_voice_src_unlock;
  base_class->unlock_stop = gst_discord_voice_src_unlock_stop;
  base_class->query = gst_discord_voice_src_query;
  base_class->get_caps = gst_discord_voice_src_get_caps;
  GST_PUSH_SRC_CLASS(klass)->create = gst_discord_voice_src_create;
}
