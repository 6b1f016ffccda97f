#include "cli.hpp"

#include <charconv>
#include <cstdlib>
#include <functional>

namespace discord::loopback {
namespace {

struct Row {
  const char* name;
  const char* argument;  // nullptr = a switch
  const char* help;      // starts with "=" for a heading
  std::function<bool(CommandLine&, const std::string&)> apply;
};

std::optional<double> number(const std::string& text, double least, double most) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= least && value <= most)) {
    return std::nullopt;
  }
  return value;
}

Duration milliseconds(double ms) {
  return Duration(static_cast<Duration::rep>(ms * 1e6));
}

// Sets a field from a number inside its range.
template <class F> auto within(double least, double most, F set) {
  return [=](CommandLine& c, const std::string& text) {
    const auto value = number(text, least, most);
    if (value) {
      set(c, *value);
    }
    return value.has_value();
  };
}

template <class F> auto on(F set) {
  return [=](CommandLine& c, const std::string&) {
    set(c);
    return true;
  };
}

NetworkOptions& network(CommandLine& c) {
  return c.server.calls.front().network;
}

bool at_seconds(CommandLine& c, const std::string& seconds, nlohmann::json command) {
  const auto s = number(seconds, 0, 1e6);
  if (s) {
    c.server.script.push_back({milliseconds(*s * 1000), std::move(command)});
  }
  return s.has_value();
}

bool parse_frames(CommandLine& c, const std::string& text) {
  if (text == "mixed") {
    c.plan.mix_frames = true;
    return true;
  }
  c.plan.speaker.frame_ticks.clear();
  std::size_t from = 0;
  while (from <= text.size()) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const auto ms = number(text.substr(from, comma - from), 2.5, 60);
    const auto ticks = ms ? frame_ticks_from_ms(*ms) : std::nullopt;
    if (!ticks) {
      return false;
    }
    c.plan.speaker.frame_ticks.push_back(*ticks);
    from = comma + 1;
  }
  return true;
}

const std::vector<Row>& rows() {
  using C = CommandLine;
  static const std::vector<Row> table = {
      {nullptr, nullptr, "=Server", nullptr},
      {"port", "N", "WebSocket port on 127.0.0.1 (0 = any free one)",
       within(0, 65535, [](C& c, double v) { c.server.port = static_cast<std::uint16_t>(v); })},
      {"udp-port", "N", "UDP port on 127.0.0.1 (0 = any free one)",
       within(0, 65535, [](C& c, double v) { c.server.udp_port = static_cast<std::uint16_t>(v); })},
      {"tls", nullptr, "also listen for wss:// with a certificate made now; its CA file is printed",
       on([](C& c) { c.server.tls = true; })},
      {"tls-port", "N", "port for wss:// (0 = any free one)",
       within(0, 65535, [](C& c, double v) { c.server.tls_port = static_cast<std::uint16_t>(v); })},
      {"seconds", "S", "stop after S seconds (0 = on SIGINT or SIGTERM)",
       within(0, 1e6, [](C& c, double v) { c.seconds = v; })},
      {"seed", "N", "seed of everything random, for replaying a run (1)",
       within(0, 9e15, [](C& c, double v) { c.server.seed = static_cast<std::uint64_t>(v); })},
      {"guild-id", "ID", "guild of the call (100000000000000001)",
       [](C& c, const std::string& t) {
         auto& id = c.server.calls.front().guild_id;
         return std::from_chars(t.data(), t.data() + t.size(), id).ptr == t.data() + t.size();
       }},
      {"channel-id", "ID", "channel of the call (100000000000000002)",
       [](C& c, const std::string& t) {
         auto& id = c.server.calls.front().channel_id;
         return std::from_chars(t.data(), t.data() + t.size(), id).ptr == t.data() + t.size();
       }},
      {"commands", nullptr, "read commands from standard input, one JSON object a line",
       on([](C& c) { c.commands = true; })},
      {"records", nullptr, "list every packet in the final line, not only the totals",
       on([](C& c) { c.records = true; })},
      {"quiet", nullptr, "no log lines on standard error", on([](C& c) { c.quiet = true; })},

      {nullptr, nullptr, "=Speakers", nullptr},
      {"speakers", "N|FILE", "how many people talk, or a JSON file that describes them (3)",
       [](C& c, const std::string& t) {
         if (const auto n = number(t, 0, 200)) {
           c.plan.speakers = static_cast<int>(*n);
         } else {
           c.speakers_file = t;
         }
         return !t.empty();
       }},
      {"turns", "N", "times each person talks before the conversation repeats (3)",
       within(1, 1000, [](C& c, double v) { c.plan.turns = static_cast<int>(v); })},
      {"once", nullptr, "do not repeat the conversation", on([](C& c) { c.plan.repeat = false; })},
      {"channels", "HOW", "mono, stereo, alternate (within a speaker), mixed (mixed)",
       [](C& c, const std::string& t) {
         c.plan.mix_channels = t == "mixed";
         c.plan.speaker.channels = t == "stereo"      ? Channels::stereo
                                   : t == "alternate" ? Channels::alternate
                                                      : Channels::mono;
         return t == "mixed" || t == "mono" || t == "stereo" || t == "alternate";
       }},
      {"frame-ms", "LIST",
       "2.5, 5, 10, 20, 40, 60; several with commas are used in turn; or mixed "
       "(20)",
       parse_frames},
      {"timestamps", "HABIT", "over pauses: advance, freeze, mixed (mixed)",
       [](C& c, const std::string& t) {
         c.plan.mix_timestamps = t == "mixed";
         c.plan.speaker.timestamps =
             t == "freeze" ? TimestampHabit::freeze : TimestampHabit::advance;
         return t == "mixed" || t == "advance" || t == "freeze";
       }},
      {"near-wrap", nullptr, "sequence and timestamp wrap within the first seconds",
       on([](C& c) { c.plan.near_wrap = true; })},
      {"bitrate", "BIT/S", "of the Opus encoder (40000)",
       within(6000, 510000, [](C& c, double v) { c.plan.speaker.bitrate = static_cast<int>(v); })},
      {"fec", "PERCENT", "in-band FEC for that expected loss (off)",
       within(1, 100,
              [](C& c, double v) {
                c.plan.speaker.fec = true;
                c.plan.speaker.expected_loss = v;
              })},
      {"padding", "PERCENT", "speech packets with RTP padding (8)",
       within(0, 100, [](C& c, double v) { c.plan.speaker.padding = v; })},
      {"padding-burst", "N", "packets of pure padding after each spurt (0)",
       within(0, 1000, [](C& c, double v) { c.plan.speaker.padding_burst = static_cast<int>(v); })},
      {"dtx-tail", "MS", "digital silence through the encoder's DTX at the end of a spurt (0)",
       within(0, 60000, [](C& c, double v) { c.plan.speaker.dtx_tail = milliseconds(v); })},
      {"silence-frames", "N", "F8 FF FE frames at the end of a spurt (5)",
       within(0, 100, [](C& c, double v) { c.plan.speaker.silence_frames = static_cast<int>(v); })},
      {"fewer-silence", "PERCENT", "spurts that end with fewer of them (10)",
       within(0, 100, [](C& c, double v) { c.plan.speaker.fewer_silence = v; })},
      {"no-extension", nullptr, "speech packets without header extension",
       on([](C& c) { c.plan.speaker.extension = false; })},

      {nullptr, nullptr, "=Network", nullptr},
      {"loss", "PERCENT", "packets lost (0)",
       within(0, 100, [](C& c, double v) { network(c).loss = v; })},
      {"loss-burst", "N", "mean length of a run of lost packets (1)",
       within(1, 1000, [](C& c, double v) { network(c).loss_burst = v; })},
      {"reorder", "PERCENT", "packets that come late (0)",
       within(0, 100, [](C& c, double v) { network(c).reorder = v; })},
      {"reorder-delay", "MS", "how late those come (60)",
       within(0, 60000, [](C& c, double v) { network(c).reorder_delay = milliseconds(v); })},
      {"duplicate", "PERCENT", "packets that come twice (0)",
       within(0, 100, [](C& c, double v) { network(c).duplicate = v; })},
      {"jitter", "MS", "random delay that keeps the order (0)",
       within(0, 60000, [](C& c, double v) { network(c).jitter = milliseconds(v); })},
      {"forged", "N", "datagrams a second that look like a speaker's but do not open (0)",
       within(0, 100000, [](C& c, double v) { c.server.noise.forged = v; })},
      {"video-noise", nullptr, "video packets (payload type 101) beside the audio",
       on([](C& c) { c.server.noise.video = true; })},
      {"rtcp", "MS", "RR, and SR with SDES of each speaker, every MS (off)",
       within(1, 1e6, [](C& c, double v) { c.server.noise.rtcp = milliseconds(v); })},
      {"drop-discovery", "N", "leave the first N IP discovery requests unanswered (0)",
       within(0, 100, [](C& c, double v) { c.server.udp.drop_discovery = static_cast<int>(v); })},
      {"no-ping-reply", nullptr, "do not answer 1337CAFE pings",
       on([](C& c) { c.server.udp.ping_reply = false; })},
      {"keepalive-echo", nullptr, "send other short datagrams back",
       on([](C& c) { c.server.udp.keepalive_echo = true; })},
      {"media-timeout", "S", "stop media for a client that sent nothing for S seconds (0 = never)",
       within(0, 1e6, [](C& c, double v) { c.server.udp.media_timeout = milliseconds(v * 1000); })},

      {nullptr, nullptr, "=End-to-end encryption", nullptr},
      {"dave", "0|1", "end-to-end encryption (1): a client that does not offer it gets 4017",
       within(0, 1, [](C& c, double v) { c.server.dave.delivery.version = v >= 1 ? 1 : 0; })},
      {"stage", nullptr, "a stage channel: the call starts without end-to-end encryption",
       on([](C& c) { c.server.dave.delivery.version = 0; })},
      {"commits", "WHO", "whose commit counts: first, clients, speakers or mixed (mixed)",
       [](C& c, const std::string& t) {
         const auto prefer = prefer_from(t);
         c.server.dave.delivery.prefer = prefer.value_or(Prefer::mixed);
         return prefer.has_value();
       }},
      {"found-with-client", nullptr, "no group before a client is there to found it with",
       on([](C& c) { c.server.dave.delivery.found_with_client = true; })},
      {"execute-delay", "MS", "opcode 22 comes so long after 29 and 30 at the earliest (0)",
       within(0, 60000,
              [](C& c, double v) { c.server.dave.delivery.execute_delay = milliseconds(v); })},
      {"early-epoch", "MS", "speakers use new keys MS after opcode 29 or 30 instead of at 22",
       within(0, 60000,
              [](C& c, double v) { c.server.dave.speakers.early_epoch = milliseconds(v); })},
      {"commit-lag", "MS", "opcodes 29 and 30 reach clients MS later than the speakers (0)",
       within(0, 60000, [](C& c, double v) { c.server.dave.commit_lag = milliseconds(v); })},
      {"passthrough", "PERCENT", "speech frames that are sent without encryption (0)",
       within(0, 100, [](C& c, double v) { c.server.dave.speakers.passthrough = v; })},
      {"forged-frames", "N", "authentic packets a second with a frame that does not open (0)",
       within(0, 10000, [](C& c, double v) { c.server.noise.forged_frames = v; })},
      {"replayed-frames", "N", "authentic packets a second with a frame that was sent before (0)",
       within(0, 10000, [](C& c, double v) { c.server.noise.replayed_frames = v; })},

      {nullptr, nullptr, "=Main gateway", nullptr},
      {"bot-token", "TEXT", "token of the bot (loopback-bot-token)",
       [](C& c, const std::string& t) {
         c.server.main.bot_token = t;
         return !t.empty();
       }},
      {"posted", "FOLDER", "keep the files that the bot posts there",
       [](C& c, const std::string& t) {
         c.server.main.posted_folder = t;
         return !t.empty();
       }},
      {"not-invited", nullptr, "the bot is in no guild",
       on([](C& c) { c.server.main.invited = false; })},
      {"nameless", nullptr, "the main gateway tells nobody's name before bot-rename",
       on([](C& c) { c.server.main.nameless = true; })},
      {"server-first", nullptr, "the voice server update before the bot's voice state",
       on([](C& c) { c.server.main.server_first = true; })},
      {"main-resumed-first", nullptr, "RESUMED before the missed events instead of after them",
       on([](C& c) { c.server.main.resumed_first = true; })},
      {"ignore-joins", "N", "leave the first N requests to join unanswered (0)",
       within(0, 1e6, [](C& c, double v) { c.server.main.ignore_joins = static_cast<int>(v); })},
      {"null-endpoint", "N", "the first N joins get a null endpoint, the real one 300 ms later (0)",
       within(0, 1e6,
              [](C& c, double v) { c.server.main.null_endpoint_joins = static_cast<int>(v); })},
      {"stale-joins", "N", "the first N joins get credentials that are refused with 4006 (0)",
       within(0, 1e6, [](C& c, double v) { c.server.main.stale_joins = static_cast<int>(v); })},
      {"main-heartbeat", "MS", "heartbeat interval of the main gateway (41250)",
       within(10, 1e6, [](C& c, double v) { c.server.main.heartbeat_interval_ms = v; })},
      {"guild-size", "BYTES", "blow GUILD_CREATE up by so much (0)",
       within(0, 15e6,
              [](C& c, double v) { c.server.main.ballast = static_cast<std::size_t>(v); })},

      {nullptr, nullptr, "=Voice gateway", nullptr},
      {"mode", "MODE", "offer only this encryption mode (both AEAD rtpsize modes)",
       [](C& c, const std::string& t) {
         const auto mode = transport::mode_from_name(t);
         if (mode) {
           c.server.session.modes = {*mode};
         }
         return mode.has_value();
       }},
      {"other-mode", nullptr, "trap: the session description names a mode nobody asked for",
       on([](C& c) { c.server.session.other_mode = true; })},
      {"heartbeat", "MS", "heartbeat interval (13750)",
       within(10, 1e6, [](C& c, double v) { c.server.session.heartbeat_interval_ms = v; })},
      {"resumed-first", nullptr, "Resumed before the missed messages instead of after them",
       on([](C& c) { c.server.session.resumed_first = true; })},
      {"resume-window", "S", "how long a lost session can be resumed (60)",
       within(0, 1e6, [](C& c, double v) { c.server.resume_window = milliseconds(v * 1000); })},
      {"strict-credentials", nullptr, "credentials work once, even after an orderly leave",
       on([](C& c) { c.server.session.strict_credentials = true; })},
      {"close-code", "CODE@S", "close every client with CODE, S seconds after media starts",
       [](C& c, const std::string& t) {
         const std::size_t split = t.find('@');
         const auto code = number(t.substr(0, split), 1000, 4999);
         return code && split != std::string::npos &&
                at_seconds(c, t.substr(split + 1), {{"do", "close"}, {"code", *code}});
       }},
      {"drop-socket", "S",
       "end the TCP connections without a close frame, S seconds after media "
       "starts",
       [](C& c, const std::string& t) {
         return at_seconds(c, t, {{"do", "drop-socket"}});
       }},
      {"at", "S:JSON", "run a command S seconds after media starts, as --at '3:{\"do\":\"stall\"}'",
       [](C& c, const std::string& t) {
         const std::size_t split = t.find(':');
         if (split == std::string::npos) {
           return false;
         }
         auto command = nlohmann::json::parse(t.substr(split + 1), nullptr, false);
         return command.is_object() && at_seconds(c, t.substr(0, split), std::move(command));
       }},
  };
  return table;
}

// docs/loopback.md says more.
constexpr const char* commands_help = R"(
Commands, for --at and for standard input with --commands, as {"do":"NAME","user_id":"..."}:
  leave rejoin announce reuse-ssrc video   a speaker goes, comes with another SSRC, is announced, ...
  empty refill                             all speakers go, all come back
  drop-socket close move change-server     the connection ends; new-client: credentials for one more
  stall pause network forge                the network; forge: datagrams that do not open
  dave-upgrade dave-downgrade              end-to-end encryption on, off
  dave-restart dave-remove dave-revoke     a new group, a member out, a proposal taken back
  dave-spoil                               "what": "commit" or "welcome", damaged on the way to clients
  dave-forge dave-replay dave-options      hostile frames; the options above from now on
  dave-verify dave-status truth send       what the speakers see; any gateway message
)";

std::string help() {
  std::string out =
      "discord-loopback: a Discord on 127.0.0.1, with people who talk.\n\n"
      "Usage: discord-loopback [options]\n\n"
      "Prints one line of JSON when it is ready (where to connect, with what) and one with what "
      "was\n"
      "really sent when it ends. In parentheses: what holds without the option.\n";
  for (const Row& row : rows()) {
    if (row.name == nullptr) {
      out += "\n" + std::string(row.help + 1) + ":\n";
      continue;
    }
    std::string left = std::string("  --") + row.name;
    if (row.argument != nullptr) {
      left += std::string(" ") + row.argument;
    }
    left.resize(std::max<std::size_t>(left.size() + 2, 26), ' ');
    out += left + row.help + "\n";
  }
  return out + "\n  --help                  this text\n" + commands_help;
}

}  // namespace

Result<CommandLine, EarlyExit> parse_command_line(int argc, char** argv) {
  CommandLine out;
  CallOptions call;
  call.guild_id = 100000000000000001u;
  call.channel_id = 100000000000000002u;
  call.keep_opus = false;  // a server that runs for days must not grow
  call.keep_records = 20000;
  out.server.calls.push_back(std::move(call));
  out.server.dave.delivery.version = 1;
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (name == "--help" || name == "-h") {
      return Failure{EarlyExit{0, help()}};
    }
    std::optional<std::string> value;
    // "--drop-socket@5" and "--close-code=4006@5" are accepted beside the form with a space.
    if (const std::size_t split = name.find_first_of("=@"); split != std::string::npos) {
      value = name.substr(split + 1);
      name.resize(split);
    }
    const Row* found = nullptr;
    for (const Row& row : rows()) {
      if (row.name != nullptr && name == std::string("--") + row.name) {
        found = &row;
      }
    }
    if (found == nullptr) {
      return Failure{EarlyExit{2, "unknown option " + name + "; see --help\n"}};
    }
    if (found->argument != nullptr && !value) {
      if (i + 1 >= argc) {
        return Failure{EarlyExit{2, name + " needs " + found->argument + "\n"}};
      }
      value = argv[++i];
    }
    if (found->argument == nullptr && value) {
      return Failure{EarlyExit{2, name + " takes no value\n"}};
    }
    if (!found->apply(out, value.value_or(""))) {
      return Failure{
          EarlyExit{2, "cannot use \"" + *value + "\" for " + name + ": " + found->help + "\n"}};
    }
  }
  out.plan.seed = out.server.seed;
  return out;
}

}  // namespace discord::loopback
