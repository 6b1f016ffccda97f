// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/options.hpp"

#include <gst/gst.h>
#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

namespace recorder {

namespace {

constexpr char description[] =
    "How to get into a call\n"
    "  A voice connection needs six values that every Discord library knows after\n"
    "  it has joined a channel (VOICE_STATE_UPDATE, VOICE_SERVER_UPDATE): endpoint,\n"
    "  session id, token, and the ids of bot user, server and channel. Give them\n"
    "  as options, as a JSON file with --credentials (the first line that\n"
    "  discord-loopback prints is one), or on standard input with --control.\n"
    "\n"
    "  discord-record --credentials call.json -o recordings\n"
    "  discord-record --endpoint x.discord.media:443 --session-id abc \\\n"
    "      --token-file token --user-id 1 --guild-id 2 --channel-id 3\n"
    "\n"
    "While it records\n"
    "  m marks this moment (so does SIGUSR1), q or Ctrl-C finishes the files.\n"
    "  SIGTERM does the same; a second signal stops at once.\n"
    "\n"
    "What it leaves\n"
    "  A folder for each recording with a file for each speaker, all beginning\n"
    "  at the same instant, and recording.journal, of which discord-recover makes\n"
    "  any other format, also after a crash.\n"
    "\n"
    "Control\n"
    "  With --control each line on standard input is a JSON object:\n"
    "    {\"do\":\"join\",\"endpoint\":…,\"session_id\":…,\"token\":…,\"user_id\":\"1\",\n"
    "     \"guild_id\":\"2\",\"channel_id\":\"3\"}      (ids are strings)\n"
    "    {\"do\":\"mark\",\"label\":\"chapter 2\"}\n"
    "    {\"do\":\"name\",\"user_id\":\"1\",\"name\":\"Ada\"}\n"
    "    {\"do\":\"gain\",\"user_id\":\"1\",\"gain\":0.5}\n"
    "    {\"do\":\"stats\"}   {\"do\":\"stop\"}\n"
    "  and what happens comes back as lines of JSON. The end of the input is a stop.\n"
    "\n"
    "Exit status\n"
    "  0  the recording is complete: nothing was lost\n"
    "  1  it could not be made, or ended with an error; what there was is kept\n"
    "  2  the arguments make no sense\n"
    "  3  the files are complete, but packets were lost or could not be opened or\n"
    "     written; the table and the \"end\" event say how many and whose";

constexpr gint bitrate_of_the_format = G_MININT;

std::string take(gchar* text) {
  std::string out(text != nullptr ? text : "");
  g_free(text);
  return out;
}

bool complain(const std::string& sentence) {
  g_printerr("%s\n", sentence.c_str());
  return false;
}

bool read_credentials(const std::string& path, Credentials& into) {
  gchar* text = nullptr;
  gsize size = 0;
  GError* error = nullptr;
  if (!g_file_get_contents(path.c_str(), &text, &size, &error)) {
    const bool no = complain(error->message);
    g_error_free(error);
    return no;
  }
  const std::string all(text, size);
  g_free(text);
  // The first line, or the whole.
  auto object = nlohmann::json::parse(all, nullptr, false);
  if (object.is_discarded()) {
    object = nlohmann::json::parse(all.substr(0, all.find('\n')), nullptr, false);
  }
  if (const auto problem = into.take(object)) {
    return complain(path + ": " + *problem);
  }
  return true;
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  Options o;
  gchar* credentials = nullptr;
  gchar* endpoint = nullptr;
  gchar* session_id = nullptr;
  gchar* token_file = nullptr;
  gchar* bot_token_file = nullptr;
  gchar* gateway_url = nullptr;
  gchar* tls_ca_file = nullptr;
  gchar* user_id = nullptr;
  gchar* guild_id = nullptr;
  gchar* channel_id = nullptr;
  gchar* location = nullptr;
  gchar* format = nullptr;
  gchar* layout = nullptr;
  gchar* align = nullptr;
  gchar* e2ee = nullptr;
  gchar* max_duration = nullptr;
  gchar* max_size = nullptr;
  gchar* min_free = nullptr;
  gchar* when_empty = nullptr;
  gchar* users = nullptr;
  gboolean include_bots = FALSE;
  gint bitrate = bitrate_of_the_format;
  gboolean flat = FALSE;
  gboolean no_journal = FALSE;
  gboolean isolated = FALSE;
  gboolean quiet = FALSE;
  gboolean json = FALSE;
  gboolean control = FALSE;
  const GOptionEntry entries[] = {
      {"credentials", 'c', 0, G_OPTION_ARG_FILENAME, &credentials,
       "JSON file with the values below", "FILE"},
      {"endpoint", 0, 0, G_OPTION_ARG_STRING, &endpoint, "voice server, as Discord named it",
       "HOST"},
      {"session-id", 0, 0, G_OPTION_ARG_STRING, &session_id, "of the bot's voice state", "ID"},
      {"token-file", 0, 0, G_OPTION_ARG_FILENAME, &token_file, "file with the voice token", "FILE"},
      {"bot-token-file", 0, 0, G_OPTION_ARG_FILENAME, &bot_token_file,
       "join by itself, with this bot's token", "FILE"},
      {"user-id", 0, 0, G_OPTION_ARG_STRING, &user_id, "of the bot", "ID"},
      {"guild-id", 0, 0, G_OPTION_ARG_STRING, &guild_id, "of the server", "ID"},
      {"channel-id", 0, 0, G_OPTION_ARG_STRING, &channel_id, "of the voice channel", "ID"},
      {"gateway-url", 0, 0, G_OPTION_ARG_STRING, &gateway_url, "another main gateway", "URL"},
      {"tls-ca-file", 0, 0, G_OPTION_ARG_FILENAME, &tls_ca_file, "trust these instead", "FILE"},
      {"e2ee", 0, 0, G_OPTION_ARG_STRING, &e2ee, "auto, required or off (auto)", "MODE"},
      {"location", 'o', 0, G_OPTION_ARG_FILENAME, &location, "folder (recordings)", "FOLDER"},
      {"flat", 0, 0, G_OPTION_ARG_NONE, &flat, "no folder for each recording in it", nullptr},
      {"format", 'f', 0, G_OPTION_ARG_STRING, &format, "mp3, wav, flac, ogg or mka (mp3)",
       "FORMAT"},
      {"layout", 0, 0, G_OPTION_ARG_STRING, &layout, "tracks, mix or both (tracks)", "LAYOUT"},
      {"align", 0, 0, G_OPTION_ARG_STRING, &align, "begin with session or speaker (session)",
       "WHERE"},
      {"bitrate", 'b', 0, G_OPTION_ARG_INT, &bitrate, "kbit/s of MP3, and of a mix in Ogg (192)",
       "N"},
      {"no-journal", 0, 0, G_OPTION_ARG_NONE, &no_journal, "leave no journal", nullptr},
      {"isolated", 0, 0, G_OPTION_ARG_NONE, &isolated, "decode in sandboxed processes", nullptr},
      {"users", 0, 0, G_OPTION_ARG_STRING, &users, "only these ids (1,2), or not these (-1,-2)",
       "LIST"},
      {"include-bots", 0, 0, G_OPTION_ARG_NONE, &include_bots, "record bots as well", nullptr},
      {"max-duration", 0, 0, G_OPTION_ARG_STRING, &max_duration, "end after 90s, 45m, 2h, 1:30:00",
       "TIME"},
      {"max-size", 0, 0, G_OPTION_ARG_STRING, &max_size, "end when the files have 500M, 2G",
       "SIZE"},
      {"min-free", 0, 0, G_OPTION_ARG_STRING, &min_free, "end when less is free on the disk",
       "SIZE"},
      {"stop-when-empty", 0, 0, G_OPTION_ARG_STRING, &when_empty,
       "end when nobody else is there for so long", "TIME"},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "say only what goes wrong", nullptr},
      {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "say what happens as lines of JSON", nullptr},
      {"control", 0, 0, G_OPTION_ARG_NONE, &control, "--json, and commands on standard input",
       nullptr},
      {nullptr, 0, 0, G_OPTION_ARG_NONE, nullptr, nullptr, nullptr},
  };
  GOptionContext* context = g_option_context_new("- record a Discord voice channel");
  g_option_context_set_description(context, description);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_group(context, gst_init_get_option_group());
  GError* error = nullptr;
  bool ok = g_option_context_parse(context, &argc, &argv, &error) != FALSE;
  g_option_context_free(context);
  if (!ok) {
    complain(error->message);
    g_error_free(error);
  }
  if (ok && argc > 1) {
    ok = complain(std::string("\"") + argv[1] + "\" is not an option; see --help.");
  }
  const std::string file = take(credentials);
  ok = ok && (file.empty() || read_credentials(file, o.credentials));
  const auto text = [&](gchar* from, std::string& into) {
    if (std::string value = take(from); !value.empty()) {
      into = std::move(value);
    }
  };
  text(endpoint, o.credentials.endpoint);
  text(session_id, o.credentials.session_id);
  text(token_file, o.credentials.token_file);
  text(bot_token_file, o.credentials.bot_token_file);
  text(gateway_url, o.credentials.gateway_url);
  text(tls_ca_file, o.credentials.tls_ca_file);
  text(location, o.location);
  text(format, o.format);
  text(layout, o.layout);
  text(align, o.align);
  text(e2ee, o.e2ee);
  text(users, o.users);
  if (auto heard = discord::media::UserRule::parse(o.users, include_bots == FALSE); heard.ok()) {
    o.heard = std::move(heard).value();
  } else if (ok) {
    ok = complain("--users: " + heard.error());
  }
  const auto id = [&](gchar* from, const char* name, std::uint64_t& into) {
    const std::string value = take(from);
    if (ok && !value.empty()) {
      const auto parsed = parse_id(value);
      ok = parsed ? true : complain("--" + std::string(name) + " \"" + value + "\" is no id.");
      into = parsed.value_or(0);
    }
  };
  id(user_id, "user-id", o.credentials.user_id);
  id(guild_id, "guild-id", o.credentials.guild_id);
  id(channel_id, "channel-id", o.credentials.channel_id);
  const auto rule = [&](gchar* from, const char* name, auto parse, auto& into, const char* like) {
    const std::string value = take(from);
    if (ok && !value.empty()) {
      const auto parsed = parse(value);
      if (parsed) {
        into = *parsed;
      } else {
        ok = complain("--" + std::string(name) + " \"" + value + "\" must be like " + like + ".");
      }
    }
  };
  rule(max_duration, "max-duration", parse_duration, o.rules.max_seconds, "90s, 45m or 1:30:00");
  rule(max_size, "max-size", parse_size, o.rules.max_bytes, "500M or 2G");
  rule(min_free, "min-free", parse_size, o.rules.min_free, "500M or 2G");
  rule(when_empty, "stop-when-empty", parse_duration, o.rules.empty_seconds, "10s or 5m");
  o.flat = flat != FALSE;
  o.journal = no_journal == FALSE;
  o.isolated = isolated != FALSE;
  o.control = control != FALSE;
  o.output = control != FALSE || json != FALSE ? Output::json
             : quiet != FALSE                  ? Output::quiet
                                               : Output::screen;
  const auto one_of = [&](const char* name, const std::string& value,
                          std::initializer_list<const char*> possible) {
    if (!ok || value.empty() ||
        std::find(possible.begin(), possible.end(), value) != possible.end()) {
      return;
    }
    std::string all;
    for (const char* each : possible) {
      all += (all.empty() ? "" : ", ") + std::string(each);
    }
    ok = complain("--" + std::string(name) + " must be one of " + all + ", not \"" + value + "\".");
  };
  one_of("format", o.format, {"mp3", "wav", "flac", "ogg", "mka"});
  one_of("layout", o.layout, {"tracks", "mix", "both"});
  one_of("align", o.align, {"session", "speaker"});
  one_of("e2ee", o.e2ee, {"auto", "required", "off"});
  if (ok && bitrate != bitrate_of_the_format && (bitrate < 32 || bitrate > 320)) {
    ok = complain("A bitrate of " + std::to_string(bitrate) +
                  " kbit/s is not possible; 32 to 320 are.");
  }
  o.bitrate = static_cast<unsigned>(bitrate > 0 ? bitrate : 0);
  if (ok && !(o.control && o.credentials.empty())) {
    const std::vector<std::string> missing = o.credentials.missing();
    std::string all;
    for (const std::string& name : missing) {
      all += " --" + name;
    }
    if (!missing.empty()) {
      ok = complain("To join a call" + all + (missing.size() > 1 ? " are" : " is") +
                    " missing; see --help.");
    }
  }
  return ok ? std::optional(std::move(o)) : std::nullopt;
}

}  // namespace recorder
