// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-discordvoicesrc
 * @title: discordvoicesrc
 * @short_description: receives the datagrams of a Discord voice call
 *
 * Joins a voice channel as a bot, or with the values that a Discord library learns when it joins,
 * and pushes the call's datagrams, still encrypted, as `application/x-discord-rtp`.
 * `discorddecrypt` behind it finds the keys by a context query. See
 * docs/elements/discordvoicesrc.md.
 *
 * |[
 * gst-launch-1.0 -e discordvoicesrc bot-token-file=token guild-id=… channel-id=… ! discorddecrypt !
 * \ discordreorder ! discordrecordsink location=out
 * gst-launch-1.0 -e discordvoicesrc endpoint=… session-id=… token-file=token user-id=… guild-id=… \
 *     channel-id=… ! discorddecrypt ! discordreorder ! discordrecordsink location=out
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordvoicesrc.h"

#include "discord/gstdiscordsession.h"
#include "elements/author.hpp"
#include "elements/connectionorder.hpp"
#include "elements/datagrambatch.hpp"
#include "elements/ledgerquery.hpp"
#include "elements/mediaport.hpp"
#include "elements/userinfo.hpp"
#include "elements/verification.hpp"
#include "elements/voicelink.hpp"
#include "elements/voicesettings.hpp"
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

constexpr const char* caps_string = "application/x-discord-rtp";

// The client and what it reports to go together and end together.
struct Connection {
  Connection(VoiceLink::Surroundings around, voice::Credentials credentials,
             net::ClientOptions options)
      : link(std::move(around)), client(std::move(credentials), std::move(options), link) {}

  // Until this returns the link may be called. Whoever still holds the connection can read its
  // status afterwards, no more.
  void close() {
    client.stop();
    link.stop_watching();
    link.cancel_progress();
  }

  VoiceLink link;
  net::VoiceClient client;
};

struct Source {
  VoiceSettings settings;     // object lock
  bool plan_checked = false;  // object lock: `plan` is made of these settings
  bool updated = false;       // object lock: an application tells of changes
  VoicePlan plan;             // state changes only

  GObjectPtr<GstDiscordSession> session{gst_discord_session_new()};
  MediaPort port;
  DatagramBatch batch;           // streaming thread
  std::vector<BufferPtr> ready;  // streaming thread: received, not pushed yet

  Mutex connection_mutex;
  std::shared_ptr<Connection> connection GUARDED_BY(connection_mutex);

  std::atomic<bool> receiving{true};
  std::atomic<guint64> datagrams{0};
  std::atomic<guint64> bytes{0};
  std::atomic<guint64> media{0};  // passed on or paused
  std::atomic<guint64> paused{0};
  std::atomic<guint64> not_media{0};
  std::atomic<guint64> truncated{0};
  std::atomic<guint64> kernel_drops{0};

  // Names that go downstream with the next packet.
  Mutex names_mutex;
  UserNames names GUARDED_BY(names_mutex);
  std::atomic<bool> names_waiting{false};

  void announce_name(guint64 user, const UserName& name) EXCLUDES(names_mutex) {
    Lock lock(names_mutex);
    names[user] = name;
    names_waiting = true;
  }

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

enum { SIGNAL_CREDENTIALS_NEEDED, SIGNAL_COUNT };
static guint signals[SIGNAL_COUNT];

static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE(
    "src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS("application/x-discord-rtp"));

#define gst_discord_voice_src_parent_class parent_class
G_DEFINE_FINAL_TYPE(GstDiscordVoiceSrc, gst_discord_voice_src, GST_TYPE_PUSH_SRC)
GST_ELEMENT_REGISTER_DEFINE(discordvoicesrc, "discordvoicesrc", GST_RANK_NONE,
                            GST_TYPE_DISCORD_VOICE_SRC)

static void gst_discord_voice_src_set_property(GObject* object, guint id, const GValue* value,
                                               GParamSpec* pspec) {
  Source& self = *GST_DISCORD_VOICE_SRC(object)->priv;
  if (id == PROP_RECEIVING) {
    self.receiving = g_value_get_boolean(value) != FALSE;
    return;
  }
  GST_OBJECT_LOCK(object);
  self.plan_checked = false;
  const bool known = self.settings.set(id, value);
  const voice::gateway::Wish wish = self.settings.wish();
  if (id == PROP_CHANNEL_ID) {
    call_state(self.session.get()).set_channel(self.settings.channel_id);
  }
  GST_OBJECT_UNLOCK(object);
  if (!known) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  } else if (id == PROP_CHANNEL_ID || id == PROP_SELF_MUTE || id == PROP_SELF_DEAF) {
    if (const std::shared_ptr<Connection> connection = self.current()) {
      connection->client.change(wish);
    }
  }
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
    if (status.bot) {
      const voice::gateway::Counters& bot = status.bot->counters;
      gst_structure_set(stats, "gateway-state", G_TYPE_STRING,
                        std::string(voice::gateway::to_string(status.bot->state)).c_str(),
                        "gateway-sources", G_TYPE_UINT, static_cast<guint>(status.bot->seats),
                        "gateway-identifies", G_TYPE_UINT64, static_cast<guint64>(bot.identifies),
                        "gateway-resumes", G_TYPE_UINT64, static_cast<guint64>(bot.resumes),
                        "gateway-zombies", G_TYPE_UINT64, static_cast<guint64>(bot.zombies),
                        nullptr);
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
  if (id == PROP_RECEIVING) {
    g_value_set_boolean(value, self.receiving);
    return;
  }
  GST_OBJECT_LOCK(object);
  const bool known = self.settings.get(id, value);
  GST_OBJECT_UNLOCK(object);
  if (!known) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

// Checks the settings while nothing has been opened yet, so that a mistake is an error at READY;
// what is changed in READY is checked again before PAUSED.
static bool gst_discord_voice_src_prepare(GstDiscordVoiceSrc* src) {
  Source& self = *src->priv;
  GST_OBJECT_LOCK(src);
  const VoiceSettings settings = self.settings;
  const bool checked = std::exchange(self.plan_checked, true);
  GST_OBJECT_UNLOCK(src);
  if (checked) {
    return true;
  }
  const bool asked = g_signal_has_handler_pending(src, signals[SIGNAL_CREDENTIALS_NEEDED], 0, TRUE);
  auto plan = plan_of(GST_ELEMENT_CAST(src), settings, asked);
  if (!plan) {
    return false;
  }
  self.plan = std::move(*plan);
  return true;
}

static GstStateChangeReturn gst_discord_voice_src_change_state(GstElement* element,
                                                               GstStateChange transition) {
  auto* src = GST_DISCORD_VOICE_SRC(element);
  if ((transition == GST_STATE_CHANGE_NULL_TO_READY ||
       transition == GST_STATE_CHANGE_READY_TO_PAUSED) &&
      !gst_discord_voice_src_prepare(src)) {
    GST_OBJECT_LOCK(src);
    src->priv->plan_checked = false;
    GST_OBJECT_UNLOCK(src);
    return GST_STATE_CHANGE_FAILURE;
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(parent_class)->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL) {
    // A token file may have another content next time, and secrets are kept no longer than needed.
    GST_OBJECT_LOCK(src);
    src->priv->plan_checked = false;
    GST_OBJECT_UNLOCK(src);
    src->priv->plan = VoicePlan();
  }
  return result;
}

static gboolean gst_discord_voice_src_start(GstBaseSrc* base) {
  Source& self = *GST_DISCORD_VOICE_SRC(base)->priv;
  GST_OBJECT_LOCK(base);
  net::ClientOptions options;
  options.voice.prefer_aes = net::cpu_has_aes();
  options.voice.prime = self.settings.prime;
  const bool updated = self.updated;
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
  options.bot = self.plan.bot;
  options.wait_for_updates = self.plan.mode == VoiceMode::application;
  options.voice.can_renew =
      updated || g_signal_has_handler_pending(base, signals[SIGNAL_CREDENTIALS_NEEDED], 0, TRUE);
  auto connection = std::make_shared<Connection>(
      VoiceLink::Surroundings{
          GST_ELEMENT_CAST(base), call_state(self.session.get()), self.port,
          [&self] { return self.media.load(); },
          [base](const std::string& reason) {
            g_signal_emit(base, signals[SIGNAL_CREDENTIALS_NEEDED], 0, reason.c_str());
          },
          [&self](guint64 user, const UserName& name) { self.announce_name(user, name); }},
      self.plan.credentials, std::move(options));
  {
    Lock lock(self.connection_mutex);
    self.connection = connection;
  }
  call_state(self.session.get()).update([bot = self.plan.bot.has_value()](CallSnapshot& call) {
    call.bots_are_told = bot;
  });
  call_state(self.session.get()).on_undecryptable([weak = std::weak_ptr(connection)](auto user) {
    if (const std::shared_ptr<Connection> live = weak.lock()) {
      live->client.hand_undecryptable(user);
    }
  });
  // The rest happens on the control thread and is told by PROGRESS messages; nothing waits here.
  connection->client.start();
  connection->link.start_watching();
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
    if (connection && !connection->link.was_connected()) {
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
  return answer_ledger_query(GST_ELEMENT(base), nullptr, query) ||
         GST_BASE_SRC_CLASS(parent_class)->query(base, query) != FALSE;
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
    self.media++;
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

// Names travel as events in front of the packets, so that a pad that is made for a speaker has its
// name from the start.
static void gst_discord_voice_src_push_names(GstDiscordVoiceSrc* src) {
  Source& self = *src->priv;
  if (!self.names_waiting.exchange(false)) {
    return;
  }
  UserNames names;
  {
    Lock lock(self.names_mutex);
    names.swap(self.names);
  }
  for (const auto& [user, name] : names) {
    gst_pad_push_event(GST_BASE_SRC_PAD(src), user_info_event(user, name));
  }
}

static GstFlowReturn gst_discord_voice_src_create(GstPushSrc* push, GstBuffer** out) {
  auto* src = GST_DISCORD_VOICE_SRC(push);
  Source& self = *src->priv;
  *out = nullptr;
  while (self.ready.empty()) {
    MediaPort::Socket socket;
    switch (self.port.wait(socket)) {
      case MediaPort::Outcome::left:
        gst_pad_push_event(GST_BASE_SRC_PAD(src),
                           connection_left_event(socket.connection).release());
        continue;
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
  gst_discord_voice_src_push_names(src);
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
  return promise_verification_code({connection->client.status().own_user, std::move(keys->own),
                                    user_id, std::move(keys->theirs)});
}

// What an application's own Discord library tells it. Before the source runs the values are as if
// they had been set as properties.
static void gst_discord_voice_src_update_voice_server(GstDiscordVoiceSrc* src,
                                                      const gchar* endpoint, const gchar* token) {
  Source& self = *src->priv;
  const std::string where = endpoint != nullptr ? endpoint : "";
  SecretString secret(token != nullptr ? token : "");
  GST_OBJECT_LOCK(src);
  self.updated = true;
  self.plan_checked = false;
  self.settings.endpoint = where;
  self.settings.token = secret;
  self.settings.token_file.clear();
  GST_OBJECT_UNLOCK(src);
  if (const std::shared_ptr<Connection> connection = self.current()) {
    connection->client.update_server(where, std::move(secret));
  }
}

static void gst_discord_voice_src_update_voice_state(GstDiscordVoiceSrc* src,
                                                     const gchar* session_id) {
  Source& self = *src->priv;
  const std::string session = session_id != nullptr ? session_id : "";
  GST_OBJECT_LOCK(src);
  self.updated = true;
  self.plan_checked = false;
  self.settings.session_id = session;
  GST_OBJECT_UNLOCK(src);
  if (const std::shared_ptr<Connection> connection = self.current()) {
    connection->client.update_state(session);
  }
}

static void gst_discord_voice_src_set_user(GstDiscordVoiceSrc* src, guint64 user_id,
                                           const gchar* name, gboolean bot) {
  if (user_id != 0) {
    Source& self = *src->priv;
    const UserName user{name != nullptr ? name : "", bot != FALSE};
    publish_name(GST_ELEMENT_CAST(src), call_state(self.session.get()), user_id, user);
    self.announce_name(user_id, user);
  }
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

static void gst_discord_voice_src_class_init(GstDiscordVoiceSrcClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  auto* base_class = GST_BASE_SRC_CLASS(klass);
  GST_DEBUG_CATEGORY_INIT(discord_voice_src_debug, "discordvoicesrc", 0, "Discord voice source");

  object_class->set_property = gst_discord_voice_src_set_property;
  object_class->get_property = gst_discord_voice_src_get_property;
  object_class->finalize = gst_discord_voice_src_finalize;
  install_voice_properties(object_class);

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
  constexpr auto action = static_cast<GSignalFlags>(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION);
  g_signal_new_class_handler("verification-code", G_TYPE_FROM_CLASS(klass), action,
                             G_CALLBACK(gst_discord_voice_src_verification_code), nullptr, nullptr,
                             nullptr, GST_TYPE_PROMISE, 1, G_TYPE_UINT64);
  /**
   * GstDiscordVoiceSrc::update-voice-server:
   * @endpoint: (nullable): of VOICE_SERVER_UPDATE; %NULL when the server is gone
   * @token: of VOICE_SERVER_UPDATE
   *
   * For applications with a Discord library of their own: to be emitted with every
   * VOICE_SERVER_UPDATE of the guild, over the whole life of the element. Any thread.
   *
   * Since: 0.1
   */
  g_signal_new_class_handler("update-voice-server", G_TYPE_FROM_CLASS(klass), action,
                             G_CALLBACK(gst_discord_voice_src_update_voice_server), nullptr,
                             nullptr, nullptr, G_TYPE_NONE, 2, G_TYPE_STRING, G_TYPE_STRING);
  /**
   * GstDiscordVoiceSrc::update-voice-state:
   * @session_id: of the own VOICE_STATE_UPDATE
   *
   * The other half of `update-voice-server`, in either order. Where the event names another channel
   * than before, set #GstDiscordVoiceSrc:channel-id first: the group of an end-to-end encrypted
   * call is bound to its channel. Any thread.
   *
   * Since: 0.1
   */
  g_signal_new_class_handler("update-voice-state", G_TYPE_FROM_CLASS(klass), action,
                             G_CALLBACK(gst_discord_voice_src_update_voice_state), nullptr, nullptr,
                             nullptr, G_TYPE_NONE, 1, G_TYPE_STRING);
  /**
   * GstDiscordVoiceSrc::set-user:
   * @user_id: somebody in the call
   * @name: the name to show
   * @bot: whether it is a bot
   *
   * Names for pads, tags and files. Any thread.
   *
   * Since: 0.1
   */
  g_signal_new_class_handler("set-user", G_TYPE_FROM_CLASS(klass), action,
                             G_CALLBACK(gst_discord_voice_src_set_user), nullptr, nullptr, nullptr,
                             G_TYPE_NONE, 3, G_TYPE_UINT64, G_TYPE_STRING, G_TYPE_BOOLEAN);
  /**
   * GstDiscordVoiceSrc::credentials-needed:
   * @reason: a sentence
   *
   * The voice connection needs the values of a new join: leave the channel, join it, and emit
   * `update-voice-state` and `update-voice-server` with what comes. Emitted on the control thread;
   * return soon. Not in bot mode.
   *
   * Since: 0.1
   */
  signals[SIGNAL_CREDENTIALS_NEEDED] =
      g_signal_new("credentials-needed", G_TYPE_FROM_CLASS(klass), G_SIGNAL_RUN_LAST, 0, nullptr,
                   nullptr, nullptr, G_TYPE_NONE, 1, G_TYPE_STRING);
  gst_type_mark_as_plugin_api(voice_e2ee_type(), static_cast<GstPluginAPIFlags>(0));

  base_class->start = gst_discord_voice_src_start;
  base_class->stop = gst_discord_voice_src_stop;
  base_class->unlock = gst_discord_voice_src_unlock;
  base_class->unlock_stop = gst_discord_voice_src_unlock_stop;
  base_class->query = gst_discord_voice_src_query;
  base_class->get_caps = gst_discord_voice_src_get_caps;
  GST_PUSH_SRC_CLASS(klass)->create = gst_discord_voice_src_create;
}
