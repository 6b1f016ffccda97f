#include "elements/gstdiscordssrcdemuxpad.h"

// Everything here is plain old data, guarded by the object lock.
struct _GstDiscordSsrcDemuxPad {
  GstPad parent;
  guint32 ssrc;
  guint64 user_id;
  gchar* display_name;
  gboolean speaking;
};

G_DEFINE_FINAL_TYPE(GstDiscordSsrcDemuxPad, gst_discord_ssrc_demux_pad, GST_TYPE_PAD)

namespace {

enum { PROP_SSRC = 1, PROP_USER_ID, PROP_DISPLAY_NAME, PROP_SPEAKING, N_PROPS };
GParamSpec* props[N_PROPS];

void pad_get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto* self = GST_DISCORD_SSRC_DEMUX_PAD(object);
  GST_OBJECT_LOCK(self);
  switch (id) {
    case PROP_SSRC:
      g_value_set_uint(value, self->ssrc);
      break;
    case PROP_USER_ID:
      g_value_set_uint64(value, self->user_id);
      break;
    case PROP_DISPLAY_NAME:
      g_value_set_string(value, self->display_name);
      break;
    case PROP_SPEAKING:
      g_value_set_boolean(value, self->speaking);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK(self);
}

void pad_finalize(GObject* object) {
  g_free(GST_DISCORD_SSRC_DEMUX_PAD(object)->display_name);
  G_OBJECT_CLASS(gst_discord_ssrc_demux_pad_parent_class)->finalize(object);
}

}  // namespace

static void gst_discord_ssrc_demux_pad_class_init(GstDiscordSsrcDemuxPadClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  object_class->get_property = pad_get_property;
  object_class->finalize = pad_finalize;
  const auto flags = static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  props[PROP_SSRC] = g_param_spec_uint("ssrc", "SSRC", "SSRC this speaker was first seen with", 0,
                                       G_MAXUINT32, 0, flags);
  props[PROP_USER_ID] =
      g_param_spec_uint64("user-id", "User id", "Snowflake of the speaker, 0 while not known", 0,
                          G_MAXUINT64, 0, flags);
  props[PROP_DISPLAY_NAME] = g_param_spec_string(
      "display-name", "Display name", "Name of the speaker, NULL while not known", nullptr, flags);
  props[PROP_SPEAKING] = g_param_spec_boolean(
      "speaking", "Speaking", "Whether a talk spurt of this speaker is going on", FALSE, flags);
  g_object_class_install_properties(object_class, N_PROPS, props);
}

static void gst_discord_ssrc_demux_pad_init(GstDiscordSsrcDemuxPad*) {}

gboolean gst_discord_ssrc_demux_pad_identify(GstDiscordSsrcDemuxPad* self, guint32 ssrc,
                                             guint64 user_id, const gchar* display_name) {
  GST_OBJECT_LOCK(self);
  const bool new_ssrc = self->ssrc != ssrc;
  const bool new_user = self->user_id != user_id;
  const bool new_name = display_name != nullptr && g_strcmp0(self->display_name, display_name) != 0;
  self->ssrc = ssrc;
  self->user_id = user_id;
  if (new_name) {
    g_free(self->display_name);
    self->display_name = g_strdup(display_name);
  }
  GST_OBJECT_UNLOCK(self);
  if (new_ssrc) {
    g_object_notify_by_pspec(G_OBJECT(self), props[PROP_SSRC]);
  }
  if (new_user) {
    g_object_notify_by_pspec(G_OBJECT(self), props[PROP_USER_ID]);
  }
  if (new_name) {
    g_object_notify_by_pspec(G_OBJECT(self), props[PROP_DISPLAY_NAME]);
  }
  return new_ssrc || new_user || new_name;
}

void gst_discord_ssrc_demux_pad_set_speaking(GstDiscordSsrcDemuxPad* self, gboolean speaking) {
  GST_OBJECT_LOCK(self);
  const bool changed = self->speaking != speaking;
  self->speaking = speaking;
  GST_OBJECT_UNLOCK(self);
  if (changed) {
    g_object_notify_by_pspec(G_OBJECT(self), props[PROP_SPEAKING]);
  }
}

gchar* gst_discord_ssrc_demux_pad_dup_name(GstDiscordSsrcDemuxPad* self) {
  GST_OBJECT_LOCK(self);
  gchar* name = g_strdup(self->display_name);
  GST_OBJECT_UNLOCK(self);
  return name;
}
