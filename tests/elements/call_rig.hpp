// A loopback call for element tests, and a view into the session that a source answers with.
#pragma once

#include "discord/call_state.hpp"
#include "rig.hpp"
#include "server.hpp"

#include <unistd.h>
#include <cmath>

namespace discord::test {

inline loopback::PcmPtr tone(double seconds, double hz) {
  auto pcm = std::make_shared<loopback::Pcm>();
  const auto frames = static_cast<std::size_t>(seconds * loopback::sample_rate);
  for (std::size_t i = 0; i < frames; ++i) {
    pcm->samples.push_back(static_cast<std::int16_t>(
        8000 * std::sin(2 * M_PI * hz * static_cast<double>(i) / loopback::sample_rate)));
  }
  return pcm;
}

inline loopback::TalkerOptions talker(std::uint64_t user, std::uint32_t ssrc, double seconds,
                                      double hz = 300) {
  loopback::TalkerOptions t;
  t.speaker.user_id = user;
  t.speaker.ssrc = ssrc;
  t.speaker.name = "Tester";
  t.speaker.spurts = {{tone(seconds, hz), Duration{0}, 0, 0}};
  t.speaker.complexity = 0;
  return t;
}

inline loopback::Options call_options(double seconds = 0.4) {
  loopback::Options o;
  o.seed = 7;
  loopback::CallOptions call;
  call.guild_id = 11;
  call.channel_id = 12;
  call.lead = std::chrono::milliseconds(20);
  call.talkers = {talker(101, 2001, seconds), talker(102, 2002, seconds, 500)};
  o.calls.push_back(std::move(call));
  return o;
}

// A token of its own for each test, so that no session of another one is resumed. Who comes back
// from a move begins with the next spurt, so they are short and many.
inline loopback::Options bot_options(bool once = false) {
  static int number = 0;
  loopback::Options o = call_options(once ? 0.4 : 0.2);
  for (loopback::TalkerOptions& t : o.calls.front().talkers) {
    t.speaker.repeat = once ? Duration{0} : Duration(std::chrono::milliseconds(250));
  }
  o.main.bot_token = "token-" + std::to_string(++number) + "-" + std::to_string(getpid());
  return o;
}

struct Call {
  explicit Call(loopback::Options options) : server(std::move(options)) {
    const auto failed = server.start();
    EXPECT_FALSE(failed) << *failed;
  }

  // discordvoicesrc with this call's values; `endpoint` in place of the plain one, if given.
  std::string source(std::string endpoint = "", std::string token = "") {
    const loopback::Credentials c = server.add_client();
    if (endpoint.empty()) {
      endpoint = "ws://" + server.endpoint();
    }
    return "discordvoicesrc name=src endpoint=" + endpoint + " session-id=" + c.session_id +
           " token=" + (token.empty() ? c.token : token) + " user-id=" + std::to_string(c.user_id) +
           " guild-id=" + std::to_string(c.guild_id) +
           " channel-id=" + std::to_string(c.channel_id) + " ";
  }
  // Waits until everybody has said everything; gives how many packets were sent to one client.
  std::size_t all_sent() {
    EXPECT_TRUE(server.wait([](const loopback::Status& s) { return s.finished; },
                            std::chrono::seconds(20)));
    return server.status().delivered;
  }

  loopback::Server server;
};

// What a source says when nothing of that connection comes any more.
inline EventPtr connection_left(std::uint64_t connection) {
  return EventPtr(
      gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM_STICKY,
                           gst_structure_new("discord-connection-left", "connection", G_TYPE_UINT64,
                                             guint64{connection}, nullptr)));
}

// The session of a source, by the query that elements use.
class SessionView {
 public:
  explicit SessionView(GstElement* source) {
    const ObjectPtr<GstPad> pad(gst_element_get_static_pad(source, "src"));
    const QueryPtr query(gst_query_new_context(GST_DISCORD_SESSION_CONTEXT_TYPE));
    EXPECT_TRUE(gst_pad_query(pad.get(), query.get()));
    GstContext* context = nullptr;
    gst_query_parse_context(query.get(), &context);
    const GValue* value = gst_structure_get_value(gst_context_get_structure(context), "session");
    session_.reset(GST_DISCORD_SESSION(g_value_dup_object(value)));
    context_.reset(gst_context_ref(context));
  }
  CallState& state() { return call_state(session_.get()); }
  // Whoever asks upstream of the harness for the session gets this one; it must outlive the
  // harness.
  void answer(GstHarness* h) {
    gst_pad_add_probe(
        h->srcpad, GST_PAD_PROBE_TYPE_QUERY_UPSTREAM,
        [](GstPad*, GstPadProbeInfo* info, gpointer context) {
          GstQuery* query = GST_PAD_PROBE_INFO_QUERY(info);
          if (GST_QUERY_TYPE(query) != GST_QUERY_CONTEXT) {
            return GST_PAD_PROBE_OK;
          }
          gst_query_set_context(query, static_cast<GstContext*>(context));
          return GST_PAD_PROBE_HANDLED;
        },
        context_.get(), nullptr);
  }

 private:
  GObjectPtr<GstDiscordSession> session_;
  ContextPtr context_;
};

}  // namespace discord::test
