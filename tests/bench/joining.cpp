// How long joining a call takes, beside a bare client that does the same handshake, and how soon a
// call goes on after the server was away. Not a test: docs/numbers.md says how to run it and has
// what it printed.
#include "dave_client.hpp"
#include "raw_client.hpp"
#include "server.hpp"
#include "two_processes.hpp"

#include <gst/gst.h>
#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <sstream>
#include <vector>

using namespace discord;
using namespace std::chrono_literals;
using bench::Wire;
using nlohmann::json;

namespace {

constexpr std::uint64_t guild = 11;
constexpr std::uint64_t channel = 12;
constexpr int talkers = 10;  // 2 ms apart, so that it hardly matters when in a frame one joins
constexpr auto patience = 30s;
constexpr const char* gcm = "aead_aes256_gcm_rtpsize";
constexpr const char* bot_token = "bench-token";

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// --- the server ---

loopback::Options call_of(bool dave, double heartbeat_ms) {
  auto pcm = std::make_shared<loopback::Pcm>();
  for (int i = 0; i < 10 * loopback::sample_rate; ++i) {
    pcm->samples.push_back(static_cast<std::int16_t>(8000 * std::sin(0.04 * i)));
  }
  loopback::CallOptions call;
  call.guild_id = guild;
  call.channel_id = channel;
  call.keep_opus = false;
  call.lead = 20ms;
  for (int i = 0; i < talkers; ++i) {
    loopback::TalkerOptions talker;
    talker.speaker.user_id = 101 + static_cast<std::uint64_t>(i);
    talker.speaker.complexity = 0;
    talker.speaker.silence_frames = 0;
    talker.speaker.spurts = {{pcm, i * 2ms, 0, 0}};
    talker.speaker.repeat = 10s;
    call.talkers.push_back(std::move(talker));
  }
  loopback::Options options;
  options.dave.delivery.version = dave ? 1 : 0;
  options.main.bot_token = bot_token;
  if (heartbeat_ms > 0) {
    options.session.heartbeat_interval_ms = heartbeat_ms;
    options.main.heartbeat_interval_ms = heartbeat_ms;
  }
  options.calls.push_back(std::move(call));
  return options;
}

// Away for so long; then says when it was back, and when both gateways had been resumed.
std::string outage(loopback::Server& server, int ms) {
  const loopback::Status before = server.status();
  server.command({{"do", "outage"}, {"ms", 1e7}});
  g_usleep(static_cast<gulong>(ms) * 1000);
  server.command({{"do", "outage-over"}});
  const std::int64_t back = now_ns();
  std::int64_t voice = 0;
  std::int64_t main = 0;
  server.wait(
      [&](const loopback::Status& s) {
        if (voice == 0 && s.resumed > before.resumed) {
          voice = now_ns();
        }
        if (main == 0 && s.main.resumed > before.main.resumed) {
          main = now_ns();
        }
        return voice != 0 && main != 0;
      },
      patience);
  g_usleep(1500000);  // until earlier failures are forgotten
  return std::to_string(back) + " " + std::to_string(voice) + " " + std::to_string(main);
}

int serve(bool dave, double heartbeat_ms, Wire& wire) {
  gst_init(nullptr, nullptr);
  loopback::Server server(call_of(dave, heartbeat_ms));
  if (const auto problem = server.start()) {
    std::fprintf(stderr, "%s\n", problem->c_str());
    return 1;
  }
  wire.say(server.endpoint());
  for (std::string line = wire.hear(); !line.empty(); line = wire.hear()) {
    if (line == "client") {
      const loopback::Credentials c = server.add_client();
      wire.say(std::to_string(c.user_id) + " " + c.session_id + " " + c.token);
    } else {
      wire.say(outage(server, std::atoi(line.c_str())));
    }
  }
  return 0;
}

loopback::Credentials new_client(Wire& wire) {
  wire.say("client");
  std::istringstream in(wire.hear());
  loopback::Credentials c;
  c.guild_id = guild;
  c.channel_id = channel;
  in >> c.user_id >> c.session_id >> c.token;
  return c;
}

// --- the two clients ---

// Nanoseconds since the beginning.
struct Joined {
  std::int64_t described = 0;  // the session description is there
  std::int64_t heard = 0;      // the first frame is open
};

// What no client can do without, and no more.
class Bare {
 public:
  Bare(std::string endpoint, bool dave) : endpoint_(std::move(endpoint)), dave_(dave) {}

  Joined join(loopback::Credentials who, bool bot) {
    const std::int64_t begin = now_ns();
    loopback::RawClient main;
    if (bot && !sit(main, who)) {
      return {};
    }
    loopback::RawClient raw;
    std::optional<loopback::DaveClient> dave;
    const auto answer = [&] {
      for (const loopback::SpeakerMember::Reply& reply : dave->take_replies()) {
        if (reply.op == 26 || reply.op == 28) {
          Bytes bytes{static_cast<std::uint8_t>(reply.op)};
          bytes.insert(bytes.end(), reply.body.begin(), reply.body.end());
          raw.send_binary(bytes);
        } else {
          raw.send(loopback::DaveClient::to_text(reply));
        }
      }
    };
    std::map<std::uint32_t, std::uint64_t> users;
    if (dave_) {
      dave.emplace(who.user_id, channel, 5);
      dave->begin(Time(std::chrono::nanoseconds(now_ns())));
      raw.on_text = [&](const json& m) {
        if (m["op"] == 5) {
          users[m["d"]["ssrc"]] = std::stoull(m["d"]["user_id"].get<std::string>());
        }
        dave->receive_text(m, Time(std::chrono::nanoseconds(now_ns())));
        answer();
      };
      raw.on_binary = [&](ByteSpan bytes) {
        dave->receive_binary(bytes, Time(std::chrono::nanoseconds(now_ns())));
        answer();
      };
    }
    if (!raw.connect("ws://" + endpoint_ + "/?v=8") || !raw.join(who, gcm, dave_ ? 1 : 0)) {
      return {};
    }
    Joined out;
    out.described = now_ns() - begin;
    while (now_ns() - begin < std::chrono::nanoseconds(patience).count()) {
      while (g_main_context_iteration(nullptr, FALSE)) {
      }
      auto packet = raw.try_audio(1);
      if (dave) {
        dave->on_timer(Time(std::chrono::nanoseconds(now_ns())));
        answer();
      }
      if (packet && (!dave || opens(*dave, users[packet->header.ssrc], packet->payload))) {
        out.heard = now_ns() - begin;
        break;
      }
    }
    raw.close(1000);
    raw.await_close();
    if (bot) {
      main.close(1000);
      main.await_close();
    }
    return out;
  }

 private:
  static bool opens(loopback::DaveClient& dave, std::uint64_t user, Bytes& frame) {
    return dave.open(user, frame, Time(std::chrono::nanoseconds(now_ns()))).deliverable();
  }

  // A bot's way to the values of a join.
  bool sit(loopback::RawClient& main, loopback::Credentials& who) const {
    if (!main.connect("ws://" + endpoint_ + "/?v=10&encoding=json") || main.await(10).is_null()) {
      return false;
    }
    main.send({{"op", 2},
               {"d",
                {{"token", bot_token},
                 {"intents", 129},
                 {"properties", {{"os", "linux"}, {"browser", "x"}, {"device", "x"}}}}}});
    const auto event = [&](const char* name) {
      json m = main.await(0);
      while (!m.is_null() && m["t"] != name) {
        m = main.await(0);
      }
      return m;
    };
    const json ready = event("READY");
    if (ready.is_null() || event("GUILD_CREATE").is_null()) {
      return false;
    }
    who.user_id = std::stoull(ready["d"]["user"]["id"].get<std::string>());
    main.send({{"op", 4},
               {"d",
                {{"guild_id", std::to_string(guild)},
                 {"channel_id", std::to_string(channel)},
                 {"self_mute", true},
                 {"self_deaf", false}}}});
    const json state = event("VOICE_STATE_UPDATE");
    const json server = event("VOICE_SERVER_UPDATE");
    if (state.is_null() || server.is_null()) {
      return false;
    }
    who.session_id = state["d"]["session_id"];
    who.token = server["d"]["token"];
    return true;
  }

  std::string endpoint_;
  bool dave_;
};

// discordvoicesrc ! discorddecrypt, and when what came of it.
class Ours {
 public:
  explicit Ours(const std::string& source) {
    GError* error = nullptr;
    pipeline_ = gst_parse_launch(
        (source + " ! discorddecrypt name=d ! fakesink sync=false async=false").c_str(), &error);
    if (pipeline_ == nullptr || error != nullptr) {
      std::fprintf(stderr, "%s\n", error != nullptr ? error->message : "no pipeline");
      std::exit(1);
    }
    GstElement* d = gst_bin_get_by_name(GST_BIN(pipeline_), "d");
    GstPad* pad = gst_element_get_static_pad(d, "src");
    gst_pad_add_probe(
        pad,
        static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
        on_buffer, this, nullptr);
    gst_object_unref(pad);
    gst_object_unref(d);
    GstBus* bus = gst_element_get_bus(pipeline_);
    gst_bus_set_sync_handler(bus, on_message, this, nullptr);
    gst_object_unref(bus);
  }
  ~Ours() {
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    gst_object_unref(pipeline_);
  }
  Ours(const Ours&) = delete;
  Ours& operator=(const Ours&) = delete;

  Joined join() {
    const std::int64_t begin = now_ns();
    gst_element_set_state(pipeline_, GST_STATE_PLAYING);
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return described_ != 0 && heard_ != 0; });
    return {described_ - begin, heard_ - begin};
  }
  // When the first buffer after that moment came; 0 when none did.
  std::int64_t heard_after(std::int64_t moment) {
    std::unique_lock lock(mutex_);
    const auto found = [&] {
      return std::find_if(all_.begin(), all_.end(), [&](std::int64_t t) { return t > moment; });
    };
    changed_.wait_for(lock, patience, [&] { return found() != all_.end(); });
    const std::int64_t when = found() != all_.end() ? *found() : 0;
    all_.clear();
    return when;
  }

 private:
  static GstPadProbeReturn on_buffer(GstPad*, GstPadProbeInfo*, gpointer data) {
    auto* self = static_cast<Ours*>(data);
    const std::int64_t now = now_ns();
    const std::lock_guard lock(self->mutex_);
    if (self->heard_ == 0) {
      self->heard_ = now;
    }
    self->all_.push_back(now);
    self->changed_.notify_all();
    return GST_PAD_PROBE_OK;
  }
  static GstBusSyncReply on_message(GstBus*, GstMessage* message, gpointer data) {
    auto* self = static_cast<Ours*>(data);
    const std::int64_t now = now_ns();
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
      GError* error = nullptr;
      gst_message_parse_error(message, &error, nullptr);
      std::fprintf(stderr, "%s\n", error->message);
      g_error_free(error);
    }
    GstProgressType type = GST_PROGRESS_TYPE_START;
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_PROGRESS) {
      gst_message_parse_progress(message, &type, nullptr, nullptr);
    }
    if (type == GST_PROGRESS_TYPE_COMPLETE) {
      const std::lock_guard lock(self->mutex_);
      if (self->described_ == 0) {
        self->described_ = now;
      }
      self->changed_.notify_all();
    }
    gst_message_unref(message);
    return GST_BUS_DROP;
  }

  GstElement* pipeline_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t described_ = 0;
  std::int64_t heard_ = 0;
  std::vector<std::int64_t> all_;
};

std::string bot_source(const std::string& endpoint) {
  return "discordvoicesrc bot-token=" + std::string(bot_token) + " gateway-url=ws://" + endpoint +
         " guild-id=" + std::to_string(guild) + " channel-id=" + std::to_string(channel);
}

// A bot that starts afresh, without the session of an earlier start.
void forget_sessions() {
  std::filesystem::remove_all(std::filesystem::path(g_get_user_state_dir()) / "gst-discord");
}

// --- what is measured ---

double ms(std::int64_t ns) {
  return static_cast<double>(ns) / 1e6;
}

// The value below which that part of them lies.
std::int64_t quantile(std::vector<std::int64_t> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

int measure_joins(bool dave, bool bot, int rounds, Wire& wire) {
  gst_init(nullptr, nullptr);
  const std::string endpoint = wire.hear();
  Bare bare(endpoint, dave);
  std::vector<std::int64_t> described[2];
  std::vector<std::int64_t> heard[2];
  for (int round = -1; round < rounds; ++round) {
    forget_sessions();
    Joined joined[2];
    for (const int which : {round & 1, 1 - (round & 1)}) {
      const loopback::Credentials c = new_client(wire);
      if (which == 0) {
        joined[0] = bare.join(c, bot);
      } else {
        Ours ours(bot ? bot_source(endpoint)
                      : "discordvoicesrc endpoint=ws://" + endpoint +
                            " session-id=" + c.session_id + " token=" + c.token + " user-id=" +
                            std::to_string(c.user_id) + " guild-id=" + std::to_string(guild) +
                            " channel-id=" + std::to_string(channel));
        joined[1] = ours.join();
      }
    }
    for (const Joined& j : joined) {
      if (j.described <= 0 || j.heard <= 0) {
        std::fprintf(stderr, "a join failed\n");
        return 1;
      }
    }
    if (round >= 0) {  // the first one loads libraries
      for (const int which : {0, 1}) {
        described[which].push_back(joined[which].described);
        heard[which].push_back(joined[which].heard);
      }
    }
  }
  const auto row = [&](const char* what, const std::vector<std::int64_t>* v) {
    std::vector<std::int64_t> added;
    for (std::size_t i = 0; i < v[0].size(); ++i) {
      added.push_back(v[1][i] - v[0][i]);
    }
    std::printf("| %s | %s | %s | %.1f | %.1f | %.1f | %.1f |\n", bot ? "bot" : "values",
                dave ? "end-to-end encrypted" : "plain", what, ms(quantile(v[0], 0.5)),
                ms(quantile(v[1], 0.5)), ms(quantile(added, 0.5)), ms(quantile(added, 0.9)));
  };
  row("session description", described);
  row("first frame open", heard);
  std::fflush(stdout);
  return 0;
}

int measure_outages(const std::vector<int>& lengths, Wire& wire) {
  gst_init(nullptr, nullptr);
  const std::string endpoint = wire.hear();
  forget_sessions();
  Ours ours(bot_source(endpoint));
  if (ours.join().heard <= 0) {
    return 1;
  }
  g_usleep(1500000);
  for (const int length : lengths) {
    wire.say(std::to_string(length));
    std::istringstream in(wire.hear());
    std::int64_t back = 0;
    std::int64_t voice = 0;
    std::int64_t main = 0;
    in >> back >> voice >> main;
    const std::int64_t heard = ours.heard_after(back);
    std::printf("| %.1f | %.0f | %.0f | %.0f |\n", length / 1000.0, ms(voice - back),
                ms(main - back), ms(heard - back));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  char folder[] = "/tmp/gst-discord-joining-XXXXXX";
  if (mkdtemp(folder) == nullptr) {
    std::perror("mkdtemp");
    return 1;
  }
  setenv("XDG_STATE_HOME", folder, 1);
  bool good = true;
  if (what.empty() || what == "join") {
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 30;
    std::puts(
        "| join with | call | until | bare client (ms) | discordvoicesrc (ms) | added, median (ms) "
        "| added, nine in ten below (ms) |\n|---|---|---|---|---|---|---|");
    std::fflush(stdout);
    for (const bool bot : {false, true}) {
      for (const bool dave : {false, true}) {
        good = bench::in_two_processes(
                   [&](Wire& wire) { return serve(dave, 0, wire); },
                   [&](Wire& wire) { return measure_joins(dave, bot, rounds, wire); }) &&
               good;
      }
    }
  }
  if (what.empty() || what == "outage") {
    std::vector<int> lengths;
    for (int i = 2; i < argc; ++i) {
      lengths.push_back(std::atoi(argv[i]));
    }
    if (lengths.empty()) {
      lengths = {100, 100, 100, 1000, 1000, 1000, 4000, 4000, 4000, 12000, 12000, 25000};
    }
    std::puts(
        "| server away (s) | voice gateway resumed after (ms) | main gateway resumed after (ms) | "
        "media again after (ms) |\n|---|---|---|---|");
    std::fflush(stdout);
    good = bench::in_two_processes([&](Wire& wire) { return serve(true, 500, wire); },
                                   [&](Wire& wire) { return measure_outages(lengths, wire); }) &&
           good;
  }
  std::filesystem::remove_all(folder);
  return good ? 0 : 1;
}
