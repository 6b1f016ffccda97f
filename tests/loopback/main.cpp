// discord-loopback: the loopback Discord as a program.
#include "cli.hpp"

#include <glib-unix.h>
#include <gst/gst.h>
#include <csignal>
#include <fstream>
#include <iostream>

using namespace discord;
using namespace discord::loopback;
using nlohmann::json;

namespace {

struct Session {
  Server* server;
  GMainLoop* loop;
  std::string line;
};

json ready_line(const Server& server) {
  const Credentials c = server.credentials();
  json speakers = json::array();
  for (const SpeakerTruth& t : server.truth()) {
    speakers.push_back(
        {{"user_id", std::to_string(t.user_id)}, {"name", t.name}, {"ssrc", t.ssrc}});
  }
  json out = {{"ready", true},
              {"endpoint", "ws://" + server.endpoint()},
              {"udp_port", server.udp_port()},
              {"session_id", c.session_id},
              {"token", c.token},
              {"user_id", std::to_string(c.user_id)},
              {"guild_id", std::to_string(c.guild_id)},
              {"channel_id", std::to_string(c.channel_id)},
              {"gateway_url", "ws://" + server.endpoint()},
              {"api_url", "http://" + server.endpoint() + "/api"},
              {"bot_token", server.bot_token()},
              {"seed", server.seed()},
              {"speakers", speakers}};
  if (!server.tls_endpoint().empty()) {
    out["tls_endpoint"] = "wss://" + server.tls_endpoint();
    out["tls_gateway_url"] = "wss://" + server.tls_endpoint();
    out["tls_api_url"] = "https://" + server.tls_endpoint() + "/api";
    out["ca_file"] = server.ca_file();
  }
  return out;
}

json final_line(const Server& server, bool records) {
  json out = server.truth_summary();
  out["ended"] = true;
  const Status s = server.status();
  out["identified"] = s.identified;
  out["resumed"] = s.resumed;
  out["heartbeats"] = s.heartbeats;
  out["complaints"] = s.complaints;
  out["udp"] = {{"discovery", s.udp.discovery},
                {"bad_discovery", s.udp.bad_discovery},
                {"pings", s.udp.pings},
                {"keepalives", s.udp.keepalives},
                {"media_sent", s.udp.media_sent},
                {"other_sent", s.udp.other_sent},
                {"held_back", s.udp.held_back},
                {"client_rtp", s.udp.client_rtp},
                {"client_rtcp", s.udp.client_rtcp},
                {"client_bad", s.udp.client_bad},
                {"strangers", s.strangers}};
  out["main"] = {{"identified", s.main.identified}, {"resumed", s.main.resumed},
                 {"heartbeats", s.main.heartbeats}, {"joins", s.main.joins},
                 {"leaves", s.main.leaves},         {"seated", s.main.seated},
                 {"requests", s.main.requests},     {"posted", s.main.posted},
                 {"answers", s.main.answers}};
  if (records) {
    json all = json::object();
    for (const SpeakerTruth& t : server.truth()) {
      json list = json::array();
      for (const FrameRecord& r : t.records) {
        list.push_back({r.ssrc, r.sequence, r.timestamp, r.ticks, r.sent_ns, r.copies});
      }
      all[std::to_string(t.user_id)] = std::move(list);
    }
    out["records"] = std::move(all);
    out["record_fields"] = {"ssrc", "sequence", "timestamp", "ticks", "sent_ns", "copies"};
  }
  return out;
}

gboolean on_end(gpointer session) {
  g_main_loop_quit(static_cast<Session*>(session)->loop);
  return G_SOURCE_CONTINUE;
}

// Commands arrive in whatever pieces the pipe has; a line is a command.
gboolean on_input(gint fd, GIOCondition, gpointer session_pointer) {
  auto* session = static_cast<Session*>(session_pointer);
  char buffer[4096];
  const ssize_t got = read(fd, buffer, sizeof buffer);
  if (got <= 0) {
    return G_SOURCE_REMOVE;  // whoever gave commands has gone; the server goes on
  }
  session->line.append(buffer, static_cast<std::size_t>(got));
  std::size_t end = 0;
  while ((end = session->line.find('\n')) != std::string::npos) {
    const std::string line = session->line.substr(0, end);
    session->line.erase(0, end + 1);
    if (line.empty()) {
      continue;
    }
    const json command = json::parse(line, nullptr, false);
    json answer = command.is_discarded() ? json{{"ok", false}, {"error", "not JSON"}}
                                         : session->server->command(command);
    std::cout << answer.dump() << std::endl;
  }
  return G_SOURCE_CONTINUE;
}

int run(CommandLine& line) {
  auto talkers = [&]() -> Result<std::vector<TalkerOptions>, std::string> {
    if (line.speakers_file.empty()) {
      return make_conversation(line.plan);
    }
    std::ifstream file(line.speakers_file);
    if (!file) {
      return Failure{"cannot read " + line.speakers_file};
    }
    const json j = json::parse(file, nullptr, false);
    if (j.is_discarded()) {
      return Failure{line.speakers_file + " is not JSON"};
    }
    return talkers_from_json(j, line.plan.speaker);
  }();
  if (!talkers) {
    std::cerr << "discord-loopback: " << talkers.error() << "\n";
    return 1;
  }
  line.server.calls.front().talkers = std::move(*talkers);
  if (!line.quiet) {
    line.server.log = [](const std::string& text) { std::cerr << "loopback: " + text + "\n"; };
  }
  Server server(line.server);
  if (auto failed = server.start()) {
    std::cerr << "discord-loopback: " << *failed << "\n";
    return 1;
  }
  std::cout << ready_line(server).dump() << std::endl;

  Session session{&server, g_main_loop_new(nullptr, FALSE), {}};
  g_unix_signal_add(SIGINT, on_end, &session);
  g_unix_signal_add(SIGTERM, on_end, &session);
  if (line.seconds > 0) {
    g_timeout_add(static_cast<guint>(line.seconds * 1000), on_end, &session);
  }
  if (line.commands) {
    g_unix_fd_add(0, static_cast<GIOCondition>(G_IO_IN | G_IO_HUP), on_input, &session);
  }
  g_main_loop_run(session.loop);
  g_main_loop_unref(session.loop);
  server.stop();
  std::cout << final_line(server, line.records).dump() << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  auto line = parse_command_line(argc, argv);
  if (!line) {
    (line.error().status == 0 ? std::cout : std::cerr) << line.error().text;
    return line.error().status;
  }
  gst_init(nullptr, nullptr);
  try {
    return run(*line);
  } catch (const std::exception& e) {
    std::cerr << "discord-loopback: " << e.what() << "\n";
    return 1;
  }
}
