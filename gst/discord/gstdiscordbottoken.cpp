// SPDX-License-Identifier: LGPL-2.1-or-later
#include "discord/gstdiscordbottoken.h"

#include "discord/bot_token.hpp"
#include "discord/gstptr.hpp"

#include <cstring>

namespace {

// Printed structures show the bytes of a GBytes and of a GstBuffer; of an object they show its
// type.
struct GstDiscordBotToken {
  GObject parent;
};
struct GstDiscordBotTokenClass {
  GObjectClass parent;
};

G_DEFINE_FINAL_TYPE(GstDiscordBotToken, gst_discord_bot_token, G_TYPE_OBJECT)

void gst_discord_bot_token_init(GstDiscordBotToken*) {}
void gst_discord_bot_token_class_init(GstDiscordBotTokenClass*) {}

void wipe(gpointer token) {
  explicit_bzero(token, std::strlen(static_cast<const char*>(token)));
  g_free(token);
}

}  // namespace

GstContext* gst_discord_bot_token_context_new(const gchar* token) {
  g_return_val_if_fail(token != nullptr, nullptr);
  const discord::GObjectPtr<GObject> object(
      G_OBJECT(g_object_new(gst_discord_bot_token_get_type(), nullptr)));
  g_object_set_data_full(object.get(), discord::bot_token_data, g_strdup(token), wipe);
  GstContext* context = gst_context_new(GST_DISCORD_BOT_TOKEN_CONTEXT_TYPE, TRUE);
  gst_structure_set(gst_context_writable_structure(context), "bot-token",
                    gst_discord_bot_token_get_type(), object.get(), nullptr);
  return context;
}

GstContext* gst_discord_bot_token_context_new_from_file(const gchar* path) {
  g_return_val_if_fail(path != nullptr, nullptr);
  GstContext* context = gst_context_new(GST_DISCORD_BOT_TOKEN_CONTEXT_TYPE, TRUE);
  gst_structure_set(gst_context_writable_structure(context), "bot-token-file", G_TYPE_STRING, path,
                    nullptr);
  return context;
}
