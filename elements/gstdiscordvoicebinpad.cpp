// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/gstdiscordvoicebinpad.h"

#include "elements/gstdiscordssrcdemuxpad.h"
#include "elements/propertyrelay.hpp"

using namespace discord;

struct _GstDiscordVoiceBinPad {
  GstGhostPad parent;
  GstPad* speaker;  // set before anybody knows of this pad, and never changed
};

G_DEFINE_FINAL_TYPE(GstDiscordVoiceBinPad, gst_discord_voice_bin_pad, GST_TYPE_GHOST_PAD)

namespace {

PropertyRelay& relay() {
  static PropertyRelay properties(1);
  return properties;
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto* self = GST_DISCORD_VOICE_BIN_PAD(object);
  if (!relay().knows(id)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  } else if (self->speaker != nullptr) {
    relay().get(id, value, {G_OBJECT(self->speaker)});
  } else {
    g_param_value_set_default(pspec, value);
  }
}

void on_notify(GObject*, GParamSpec* spec, gpointer self) {
  relay().notify(G_OBJECT(self), spec);
}

void finalize(GObject* object) {
  gst_clear_object(&GST_DISCORD_VOICE_BIN_PAD(object)->speaker);
  G_OBJECT_CLASS(gst_discord_voice_bin_pad_parent_class)->finalize(object);
}

}  // namespace

static void gst_discord_voice_bin_pad_class_init(GstDiscordVoiceBinPadClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  object_class->get_property = get_property;
  object_class->finalize = finalize;
  relay().install(object_class, GST_TYPE_DISCORD_SSRC_DEMUX_PAD, 0);
}

static void gst_discord_voice_bin_pad_init(GstDiscordVoiceBinPad*) {}

GstPad* gst_discord_voice_bin_pad_new(const gchar* name, GstPadTemplate* templ, GstPad* target,
                                      GstPad* speaker) {
  auto* self =
      GST_DISCORD_VOICE_BIN_PAD(g_object_new(GST_TYPE_DISCORD_VOICE_BIN_PAD, "name", name,
                                             "direction", GST_PAD_SRC, "template", templ, nullptr));
  if (target != nullptr) {
    gst_ghost_pad_set_target(GST_GHOST_PAD(self), target);
  }
  if (speaker != nullptr) {
    self->speaker = GST_PAD(gst_object_ref(speaker));
    g_signal_connect_object(speaker, "notify", G_CALLBACK(on_notify), self,
                            static_cast<GConnectFlags>(0));
  }
  gst_pad_set_active(GST_PAD(self), TRUE);
  return GST_PAD(self);
}
