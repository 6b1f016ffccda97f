// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/pipeline.hpp"

#include <utility>

namespace recorder {

using namespace discord;

namespace {

bool has_property(GstElement* element, const char* name) {
  return g_object_class_find_property(G_OBJECT_GET_CLASS(element), name) != nullptr;
}

// The options have been checked; an older plugin may still know less.
std::optional<std::string> set_enum(GstElement* element, const char* property,
                                    const std::string& nick) {
  GParamSpec* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), property);
  if (spec == nullptr || !G_IS_PARAM_SPEC_ENUM(spec) ||
      g_enum_get_value_by_nick(G_PARAM_SPEC_ENUM(spec)->enum_class, nick.c_str()) == nullptr) {
    return "--" + std::string(property) + " " + nick + " is not possible with this " +
           GST_OBJECT_NAME(gst_element_get_factory(element)) + ".";
  }
  gst_util_set_object_arg(G_OBJECT(element), property, nick.c_str());
  return std::nullopt;
}

std::optional<std::string> configure_source(GstElement* source, const Options& options) {
  const Credentials& c = options.credentials;
  const std::pair<const char*, const std::string*> texts[] = {
      {"endpoint", &c.endpoint},
      {"session-id", &c.session_id},
      {"token", &c.token},
      {"token-file", &c.token_file},
      {"bot-token-file", &c.bot_token_file},
      {"gateway-url", &c.gateway_url},
      {"tls-ca-file", &c.tls_ca_file},
  };
  for (const auto& [property, value] : texts) {
    if (value->empty()) {
      continue;
    }
    if (!has_property(source, property)) {
      return std::string("This discordvoicesrc has no property ") + property + ".";
    }
    g_object_set(source, property, value->c_str(), nullptr);
  }
  const std::pair<const char*, std::uint64_t> ids[] = {
      {"user-id", c.user_id}, {"guild-id", c.guild_id}, {"channel-id", c.channel_id}};
  for (const auto& [property, value] : ids) {
    if (value != 0) {
      g_object_set(source, property, static_cast<guint64>(value), nullptr);
    }
  }
  return options.e2ee.empty() ? std::nullopt : set_enum(source, "e2ee", options.e2ee);
}

}  // namespace

std::optional<std::string> RecorderPipeline::build(const Options& options) {
  const std::string line =
      std::string("discordvoicesrc name=source ! ") +
      (options.isolated ? "discordworkerdec name=workers"
                        : "discorddecrypt name=decrypt ! discordreorder name=reorder") +
      " ! discordrecordsink name=record";
  GError* raw = nullptr;
  GstElement* parsed = gst_parse_launch(line.c_str(), &raw);
  const GErrorPtr error(raw);
  if (parsed != nullptr) {
    pipeline.reset(GST_ELEMENT(gst_object_ref_sink(parsed)));
  }
  if (error || !pipeline) {
    return std::string("The pipeline cannot be made: ") + (error ? error->message : "");
  }
  const auto find = [&](const char* name) {
    return ObjectPtr<GstElement>(gst_bin_get_by_name(GST_BIN(pipeline.get()), name));
  };
  source = find("source");
  decrypt = find("decrypt");
  reorder = find("reorder");
  workers = find("workers");
  record = find("record");
  GstElement* opener = options.isolated ? workers.get() : decrypt.get();
  g_object_set(opener, "users", options.users.c_str(), "ignore-bots",
               gboolean{options.heard.ignore_bots()}, nullptr);
  GstElement* sink = record.get();
  g_object_set(sink, "location", options.location.c_str(), "flat", options.flat, "journal",
               options.journal, nullptr);
  if (auto problem = set_enum(sink, "format", options.format)) {
    return problem;
  }
  for (const auto& [property, value] :
       {std::pair{"layout", &options.layout}, std::pair{"align", &options.align}}) {
    if (value->empty()) {
      continue;
    }
    if (auto problem = set_enum(sink, property, *value)) {
      return problem;
    }
  }
  if (options.bitrate > 0) {
    g_object_set(sink, "bitrate", options.bitrate, nullptr);
  }
  return configure_source(source.get(), options);
}

}  // namespace recorder
