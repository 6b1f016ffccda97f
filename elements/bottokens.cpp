// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/bottokens.hpp"

#include "discord/bot_token.hpp"
#include "discord/gstdiscordbottoken.h"

namespace discord {

namespace {

std::string path_in_configuration(const char* file) {
  const GCharPtr path(g_build_filename(g_get_user_config_dir(), "gst-discord", file, nullptr));
  return path.get();
}

std::string string_in(const GstStructure* structure, const char* field) {
  const gchar* text = gst_structure_get_string(structure, field);
  return text != nullptr ? text : "";
}

// As an application that has one for the whole pipeline set it, or an answer to the message.
ContextPtr context_of(GstElement* element) {
  ContextPtr context(gst_element_get_context(element, GST_DISCORD_BOT_TOKEN_CONTEXT_TYPE));
  if (!context) {
    gst_element_post_message(
        element,
        gst_message_new_need_context(GST_OBJECT_CAST(element), GST_DISCORD_BOT_TOKEN_CONTEXT_TYPE));
    context.reset(gst_element_get_context(element, GST_DISCORD_BOT_TOKEN_CONTEXT_TYPE));
  }
  return context;
}

}  // namespace

std::optional<BotAccess> bot_access_from_context(GstElement* element) {
  const ContextPtr context = context_of(element);
  if (!context) {
    return std::nullopt;
  }
  const GstStructure* structure = gst_context_get_structure(context.get());
  BotAccess out;
  out.token_file = string_in(structure, "bot-token-file");
  out.gateway_url = string_in(structure, "gateway-url");
  const GValue* value = gst_structure_get_value(structure, "bot-token");
  if (value != nullptr && G_VALUE_HOLDS_OBJECT(value) && g_value_get_object(value) != nullptr) {
    const auto* token = static_cast<const char*>(
        g_object_get_data(G_OBJECT(g_value_get_object(value)), bot_token_data));
    out.token = SecretString(token != nullptr ? token : "");
  }
  if (out.token.empty() && out.token_file.empty()) {
    return std::nullopt;
  }
  return out;
}

std::string bot_token_path_of_configuration() {
  return path_in_configuration("bot-token");
}

std::optional<BotAccess> bot_access_from_configuration() {
  BotAccess out;
  out.token_file = bot_token_path_of_configuration();
  if (!g_file_test(out.token_file.c_str(), G_FILE_TEST_EXISTS)) {
    return std::nullopt;
  }
  gchar* url = nullptr;
  if (g_file_get_contents(path_in_configuration("gateway-url").c_str(), &url, nullptr, nullptr)) {
    const GCharPtr owned(url);
    out.gateway_url = g_strstrip(url);
  }
  return out;
}

}  // namespace discord
