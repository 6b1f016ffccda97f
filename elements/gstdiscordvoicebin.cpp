// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-discordvoicebin
 * @title: discordvoicebin
 * @short_description: a Discord voice call, from the network to sound
 *
 * The whole chain for applications and players: joins a call, decrypts, orders and decodes it, and
 * gives a pad for each speaker, or one with everybody. See docs/elements/discordvoicebin.md.
 *
 * |[
 * gst-launch-1.0 -e discordvoicebin output=mix bot-token-file=token guild-id=… channel-id=… ! \
 *     audioconvert ! autoaudiosink
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordvoicebin.h"

#include "elements/author.hpp"
#include "elements/bottokens.hpp"
#include "elements/discorduri.hpp"
#include "elements/gstdiscordssrcdemux.h"
#include "elements/gstdiscordvoicebinpad.h"
#include "elements/gstdiscordvoicesrc.h"
#include "elements/gstdiscordworkerdec.h"
#include "elements/propertyrelay.hpp"
#include "elements/voiceoutput.hpp"

#include <atomic>
#include <utility>

GST_DEBUG_CATEGORY_STATIC(discordvoicebin_debug);
#define GST_CAT_DEFAULT discordvoicebin_debug

using namespace discord;

struct GstDiscordVoiceBinPrivate {
  GstDiscordVoiceBinPrivate(GstBin* bin, GstElement* source_in, GstElement* decoder_in,
                            GstElement* demux)
      : source(source_in),
        decoder(decoder_in),
        children{G_OBJECT(source_in), G_OBJECT(decoder_in), G_OBJECT(demux)},
        output(bin, decoder_in, demux) {}

  GstElement* const source;
  GstElement* const decoder;
  const std::vector<GObject*> children;  // as relay() counts them

  std::atomic<GstDiscordVoiceOutput> wanted{GST_DISCORD_VOICE_OUTPUT_RAW};
  std::atomic<bool> secret_set{false};  // a token came by a property that cannot be read
  std::atomic<bool> from_uri{false};

  // State lock.
  VoiceOutput output;
  gulong asks = 0;          // handler of the source's credentials-needed
  bool lent_token = false;  // the source has a token that no property of ours set
  bool lent_gateway = false;
};

struct _GstDiscordVoiceBin {
  GstBin parent;
  GstDiscordVoiceBinPrivate* priv;
};

static void gst_discord_voice_bin_uri_handler_init(gpointer iface, gpointer);

#define gst_discord_voice_bin_parent_class parent_class
G_DEFINE_FINAL_TYPE_WITH_CODE(GstDiscordVoiceBin, gst_discord_voice_bin, GST_TYPE_BIN,
                              G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER,
                                                    gst_discord_voice_bin_uri_handler_init)
                                  GST_DEBUG_CATEGORY_INIT(discordvoicebin_debug, "discordvoicebin",
                                                          0, "Discord voice bin"))
GST_ELEMENT_REGISTER_DEFINE(discordvoicebin, "discordvoicebin", GST_RANK_NONE,
                            GST_TYPE_DISCORD_VOICE_BIN)

namespace {

#define RAW_CAPS                                                                   \
  "audio/x-raw, format = (string) S16LE, rate = (int) 48000, channels = (int) 2, " \
  "layout = (string) interleaved"

GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE(
    "src_%u", GST_PAD_SRC, GST_PAD_SOMETIMES,
    GST_STATIC_CAPS(RAW_CAPS "; audio/x-opus, channel-mapping-family = (int) 0"));

enum { PROP_OUTPUT = 1, PROP_STATS, PROP_OF_CHILDREN };
enum { SIGNAL_CREDENTIALS_NEEDED, SIGNAL_COUNT };
guint signals[SIGNAL_COUNT];

enum Child : std::size_t { child_source, child_decoder, child_demux };

PropertyRelay& relay() {
  static PropertyRelay properties(PROP_OF_CHILDREN);
  return properties;
}

GType output_get_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {
        {GST_DISCORD_VOICE_OUTPUT_RAW, "A pad a speaker, decoded", "raw"},
        {GST_DISCORD_VOICE_OUTPUT_OPUS, "A pad a speaker, the authentic Opus packets", "opus"},
        {GST_DISCORD_VOICE_OUTPUT_MIX, "One pad with everybody", "mix"},
        {0, nullptr, nullptr}};
    return g_enum_register_static("GstDiscordVoiceOutput", values);
  }();
  return type;
}

std::string text_of(GstElement* element, const char* property) {
  gchar* text = nullptr;
  g_object_get(element, property, &text, nullptr);
  const GCharPtr owned(text);
  return text != nullptr ? text : "";
}

// --- output ---

// What is asked for while something flows comes with the next start.
void choose_output(GstDiscordVoiceBin* self, GstDiscordVoiceOutput wanted) {
  auto& p = *self->priv;
  p.wanted = wanted;
  GST_STATE_LOCK(self);
  if (GST_STATE(self) <= GST_STATE_READY && GST_STATE_NEXT(self) <= GST_STATE_READY) {
    p.output.build(wanted);
  }
  GST_STATE_UNLOCK(self);
}

// --- how the source comes into the call ---

bool knows_how_to_join(GstDiscordVoiceBin* self) {
  auto& p = *self->priv;
  bool known = p.secret_set ||
               g_signal_has_handler_pending(self, signals[SIGNAL_CREDENTIALS_NEEDED], 0, TRUE);
  for (const char* property : {"endpoint", "session-id", "token-file", "bot-token-file"}) {
    known = known || !text_of(p.source, property).empty();
  }
  return known;
}

bool find_token(GstDiscordVoiceBin* self) {
  auto& p = *self->priv;
  if (knows_how_to_join(self)) {
    return true;
  }
  std::optional<BotAccess> access = bot_access_from_context(GST_ELEMENT(self));
  if (!access && p.from_uri) {
    access = bot_access_from_configuration();
  }
  if (!access) {
    const std::string file =
        p.from_uri ? " Or put it into the file " + bot_token_path_of_configuration() + "." : "";
    GST_ELEMENT_ERROR(self, RESOURCE, NOT_AUTHORIZED,
                      ("There is no bot token: set bot-token-file, or hand the token over in a "
                       "context of type gst.discord.BotToken.%s",
                       file.c_str()),
                      (nullptr));
    return false;
  }
  p.lent_token = true;
  if (access->token_file.empty()) {
    g_object_set(p.source, "bot-token", access->token.reveal().c_str(), nullptr);
  } else {
    g_object_set(p.source, "bot-token-file", access->token_file.c_str(), nullptr);
  }
  if (!access->gateway_url.empty() && text_of(p.source, "gateway-url").empty()) {
    p.lent_gateway = true;
    g_object_set(p.source, "gateway-url", access->gateway_url.c_str(), nullptr);
  }
  return true;
}

// What came from a context is asked for anew the next time.
void forget_token(GstDiscordVoiceBin* self) {
  auto& p = *self->priv;
  if (std::exchange(p.lent_token, false)) {
    g_object_set(p.source, "bot-token", nullptr, "bot-token-file", nullptr, nullptr);
  }
  if (std::exchange(p.lent_gateway, false)) {
    g_object_set(p.source, "gateway-url", nullptr, nullptr);
  }
}

void on_credentials_needed(GstElement*, const gchar* reason, gpointer self) {
  g_signal_emit(self, signals[SIGNAL_CREDENTIALS_NEEDED], 0, reason);
}

// The source counts as one that can ask only while somebody listens.
void listen_for_needs(GstDiscordVoiceBin* self) {
  auto& p = *self->priv;
  const bool heard =
      g_signal_has_handler_pending(self, signals[SIGNAL_CREDENTIALS_NEEDED], 0, TRUE) != FALSE;
  if (heard && p.asks == 0) {
    p.asks =
        g_signal_connect(p.source, "credentials-needed", G_CALLBACK(on_credentials_needed), self);
  } else if (!heard && p.asks != 0) {
    g_signal_handler_disconnect(p.source, std::exchange(p.asks, 0));
  }
}

void update_voice_server(GstDiscordVoiceBin* self, const gchar* endpoint, const gchar* token) {
  g_signal_emit_by_name(self->priv->source, "update-voice-server", endpoint, token);
}

void update_voice_state(GstDiscordVoiceBin* self, const gchar* session_id) {
  g_signal_emit_by_name(self->priv->source, "update-voice-state", session_id);
}

void set_user(GstDiscordVoiceBin* self, guint64 user_id, const gchar* name, gboolean bot) {
  g_signal_emit_by_name(self->priv->source, "set-user", user_id, name, bot);
}

GstPromise* verification_code(GstDiscordVoiceBin* self, guint64 user_id) {
  GstPromise* promise = nullptr;
  g_signal_emit_by_name(self->priv->source, "verification-code", user_id, &promise);
  return promise;
}

// --- URI ---

GstURIType uri_get_type(GType) {
  return GST_URI_SRC;
}

const gchar* const* uri_get_protocols(GType) {
  static const gchar* const protocols[] = {"discord", nullptr};
  return protocols;
}

gchar* uri_get_uri(GstURIHandler* handler) {
  auto& p = *GST_DISCORD_VOICE_BIN(handler)->priv;
  DiscordUri uri;
  g_object_get(p.source, "guild-id", &uri.guild, "channel-id", &uri.channel, nullptr);
  if (uri.guild == 0 || uri.channel == 0) {
    return nullptr;
  }
  if (p.wanted != GST_DISCORD_VOICE_OUTPUT_MIX) {
    uri.output = p.wanted == GST_DISCORD_VOICE_OUTPUT_OPUS ? "opus" : "raw";
  }
  return g_strdup(to_string(uri).c_str());
}

gboolean uri_set_uri(GstURIHandler* handler, const gchar* text, GError** error) {
  auto* self = GST_DISCORD_VOICE_BIN(handler);
  auto& p = *self->priv;
  if (GST_STATE(self) > GST_STATE_READY) {
    g_set_error(error, GST_URI_ERROR, GST_URI_ERROR_BAD_STATE,
                "The URI of a call that is going on cannot be changed; stop it first.");
    return FALSE;
  }
  const ParsedUri parsed = parse_discord_uri(text);
  if (!parsed.problem.empty()) {
    g_set_error(error, GST_URI_ERROR, GST_URI_ERROR_BAD_URI, "%s", parsed.problem.c_str());
    return FALSE;
  }
  p.from_uri = true;
  g_object_set(p.source, "guild-id", parsed.uri.guild, "channel-id", parsed.uri.channel, nullptr);
  gst_util_set_object_arg(G_OBJECT(self), "output",
                          parsed.uri.output.empty() ? "mix" : parsed.uri.output.c_str());
  return TRUE;
}

// --- element ---

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  auto* self = GST_DISCORD_VOICE_BIN(element);
  auto& p = *self->priv;
  if (transition == GST_STATE_CHANGE_NULL_TO_READY ||
      transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
    p.output.build(p.wanted);
    listen_for_needs(self);
  }
  if (transition == GST_STATE_CHANGE_NULL_TO_READY && (!p.output.possible() || !find_token(self))) {
    return GST_STATE_CHANGE_FAILURE;
  }
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
    p.output.start();
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(parent_class)->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    p.output.stop();
  }
  if (transition == GST_STATE_CHANGE_READY_TO_NULL ||
      (transition == GST_STATE_CHANGE_NULL_TO_READY && result == GST_STATE_CHANGE_FAILURE)) {
    forget_token(self);
  }
  return result;
}

// --- properties ---

gboolean add_field(GQuark field, const GValue* value, gpointer out) {
  gst_structure_id_set_value(static_cast<GstStructure*>(out), field, value);
  return TRUE;
}

// What the elements inside count, as one. What the source threw away while it was paused has not
// reached the decoder's ledger: with it that adds up over the whole bin.
GstStructure* make_stats(GstDiscordVoiceBin* self) {
  auto& p = *self->priv;
  GstStructure* raw = nullptr;
  g_object_get(p.source, "stats", &raw, nullptr);
  const StructurePtr source(raw);
  g_object_get(p.decoder, "stats", &raw, nullptr);
  const StructurePtr decoder(raw);
  const StructurePtr output = p.output.stats();
  GstStructure* out = gst_structure_new_empty("application/x-discordvoicebin-stats");
  for (const StructurePtr* part : {&source, &decoder, &output}) {
    if (*part) {
      gst_structure_foreach(part->get(), add_field, out);
    }
  }
  guint64 paused = 0;
  gst_structure_get_uint64(source.get(), "paused", &paused);
  for (const char* field : {"received", "paused"}) {
    guint64 counted = 0;
    gst_structure_get_uint64(decoder.get(), field, &counted);
    gst_structure_set(out, field, G_TYPE_UINT64, counted + paused, nullptr);
  }
  return out;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  auto* self = GST_DISCORD_VOICE_BIN(object);
  auto& p = *self->priv;
  if (id == PROP_OUTPUT) {
    choose_output(self, static_cast<GstDiscordVoiceOutput>(g_value_get_enum(value)));
  } else if (relay().knows(id)) {
    relay().set(id, value, p.children);
    if ((pspec->flags & G_PARAM_READABLE) == 0) {
      const gchar* secret = g_value_get_string(value);
      p.secret_set = secret != nullptr && *secret != '\0';
    }
  } else {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto* self = GST_DISCORD_VOICE_BIN(object);
  auto& p = *self->priv;
  if (id == PROP_OUTPUT) {
    g_value_set_enum(value, p.wanted);
  } else if (id == PROP_STATS) {
    g_value_take_boxed(value, make_stats(self));
  } else if (relay().knows(id)) {
    relay().get(id, value, p.children);
  } else {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

void on_child_notify(GObject*, GParamSpec* spec, gpointer self) {
  relay().notify(G_OBJECT(self), spec);
}

void finalize(GObject* object) {
  delete GST_DISCORD_VOICE_BIN(object)->priv;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

void add_signals(GstDiscordVoiceBinClass* klass) {
  const GType type = G_TYPE_FROM_CLASS(klass);
  constexpr auto action = static_cast<GSignalFlags>(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION);
  /**
   * GstDiscordVoiceBin::verification-code:
   * @user_id: another member of the call
   *
   * As discordvoicesrc has it.
   *
   * Returns: (transfer full): a promise
   * Since: 0.1
   */
  g_signal_new_class_handler("verification-code", type, action, G_CALLBACK(verification_code),
                             nullptr, nullptr, nullptr, GST_TYPE_PROMISE, 1, G_TYPE_UINT64);
  /**
   * GstDiscordVoiceBin::update-voice-server:
   * @endpoint: (nullable): of VOICE_SERVER_UPDATE
   * @token: of VOICE_SERVER_UPDATE
   *
   * As discordvoicesrc has it.
   *
   * Since: 0.1
   */
  g_signal_new_class_handler("update-voice-server", type, action, G_CALLBACK(update_voice_server),
                             nullptr, nullptr, nullptr, G_TYPE_NONE, 2, G_TYPE_STRING,
                             G_TYPE_STRING);
  /**
   * GstDiscordVoiceBin::update-voice-state:
   * @session_id: of the own VOICE_STATE_UPDATE
   *
   * As discordvoicesrc has it.
   *
   * Since: 0.1
   */
  g_signal_new_class_handler("update-voice-state", type, action, G_CALLBACK(update_voice_state),
                             nullptr, nullptr, nullptr, G_TYPE_NONE, 1, G_TYPE_STRING);
  /**
   * GstDiscordVoiceBin::set-user:
   * @user_id: somebody in the call
   * @name: the name to show
   * @bot: whether it is a bot
   *
   * As discordvoicesrc has it.
   *
   * Since: 0.1
   */
  g_signal_new_class_handler("set-user", type, action, G_CALLBACK(set_user), nullptr, nullptr,
                             nullptr, G_TYPE_NONE, 3, G_TYPE_UINT64, G_TYPE_STRING, G_TYPE_BOOLEAN);
  /**
   * GstDiscordVoiceBin::credentials-needed:
   * @reason: a sentence
   *
   * As discordvoicesrc has it; emitted on the control thread. Connect before READY.
   *
   * Since: 0.1
   */
  signals[SIGNAL_CREDENTIALS_NEEDED] =
      g_signal_new("credentials-needed", type, G_SIGNAL_RUN_LAST, 0, nullptr, nullptr, nullptr,
                   G_TYPE_NONE, 1, G_TYPE_STRING);
}

}  // namespace

static void gst_discord_voice_bin_uri_handler_init(gpointer iface, gpointer) {
  auto* handler = static_cast<GstURIHandlerInterface*>(iface);
  handler->get_type = uri_get_type;
  handler->get_protocols = uri_get_protocols;
  handler->get_uri = uri_get_uri;
  handler->set_uri = uri_set_uri;
}

static void gst_discord_voice_bin_class_init(GstDiscordVoiceBinClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  object_class->finalize = finalize;
  element_class->change_state = change_state;

  g_object_class_install_property(
      object_class, PROP_OUTPUT,
      g_param_spec_enum("output", "Output", "What the pads give", output_get_type(),
                        GST_DISCORD_VOICE_OUTPUT_RAW,
                        static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                                 GST_PARAM_MUTABLE_READY)));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "What the elements inside count, as one",
                         GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
  // `decode` follows from the output, and a call brings its own key.
  relay().install(object_class, GST_TYPE_DISCORD_VOICE_SRC, child_source, {{"stats", ""}});
  relay().install(
      object_class, GST_TYPE_DISCORD_WORKER_DEC, child_decoder,
      {{"stats", ""}, {"decode", ""}, {"mode", ""}, {"secret-key", ""}, {"secret-key-file", ""}});
  relay().install(object_class, GST_TYPE_DISCORD_SSRC_DEMUX, child_demux,
                  {{"stats", ""}, {"idle-timeout", "pad-idle-timeout"}});
  add_signals(klass);

  gst_element_class_add_static_pad_template_with_gtype(element_class, &src_template,
                                                       GST_TYPE_DISCORD_VOICE_BIN_PAD);
  gst_element_class_set_static_metadata(
      element_class, "Discord voice bin", "Source/Network/Bin",
      "Joins a Discord voice channel and gives the sound of its speakers", element_author);
  gst_type_mark_as_plugin_api(output_get_type(), static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(GST_TYPE_DISCORD_VOICE_BIN_PAD, static_cast<GstPluginAPIFlags>(0));
}

static void gst_discord_voice_bin_init(GstDiscordVoiceBin* self) {
  auto* source = GST_ELEMENT(g_object_new(GST_TYPE_DISCORD_VOICE_SRC, "name", "source", nullptr));
  auto* decoder =
      GST_ELEMENT(g_object_new(GST_TYPE_DISCORD_WORKER_DEC, "name", "decoder", nullptr));
  const ObjectPtr<GstElement> demux(GST_ELEMENT(
      gst_object_ref_sink(g_object_new(GST_TYPE_DISCORD_SSRC_DEMUX, "name", "demux", nullptr))));
  gst_bin_add_many(GST_BIN(self), source, decoder, nullptr);
  gst_element_link(source, decoder);
  self->priv = new GstDiscordVoiceBinPrivate(GST_BIN(self), source, decoder, demux.get());
  for (GObject* child : self->priv->children) {
    g_signal_connect_object(child, "notify", G_CALLBACK(on_child_notify), self,
                            static_cast<GConnectFlags>(0));
  }
  self->priv->output.build(GST_DISCORD_VOICE_OUTPUT_RAW);
}
