// discordworkerdec in an end-to-end encrypted call, beside discorddecrypt ! discordreorder in the
// same one: the same packets, users and keys at the same moments.
#include "call_rig.hpp"
#include "discord/gstdiscordspeakermeta.h"
#include "tests/unit/e2ee_rig.hpp"

#include <set>

using namespace discord;
using namespace std::chrono_literals;
using rig::OnWire;
using rig::Weather;

namespace {

struct Step {
  std::size_t before;  // the datagram of that number
  std::function<void(CallSnapshot&)> change;
  std::uint64_t left = 0;  // and the stream says that this connection is over
};

struct Output {
  // Per SSRC, in order.
  std::map<guint, std::vector<std::string>> buffers;
  std::map<guint, std::vector<std::string>> losses;
  std::map<std::string, guint64> counts;
  std::vector<std::string> warnings;
};

std::string text_of(GstBuffer* buffer, bool rtp) {
  const MappedBuffer map(buffer, GST_MAP_READ);
  const auto* meta = gst_buffer_get_discord_speaker_meta(buffer);
  std::string out = std::to_string(GST_BUFFER_PTS(buffer)) + " " +
                    std::to_string(GST_BUFFER_DURATION(buffer)) + " " +
                    std::to_string(meta->user_id) + " " + std::to_string(meta->kind) + " ";
  if (rtp) {
    out += GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT) ? "discont " : "";
    out += GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_RESYNC) ? "resync " : "";
  }
  return out.append(reinterpret_cast<const char*>(map.data()), map.size());
}

// Runs a line behind a source that is not live, so that time is what the packets say.
Output run(const std::string& line, const std::vector<OnWire>& datagrams,
           const std::vector<Step>& steps) {
  const ObjectPtr<GstElement> source(
      GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("discordvoicesrc", nullptr))));
  test::SessionView session(source.get());
  session.state().update([](CallSnapshot& call) {
    call.generation = 1;
    call.mode = rig::mode;
    call.key = rig::key();
  });
  Output out;
  {
    const test::HarnessPtr h(gst_harness_new_parse(line.c_str()));
    gst_harness_set_live(h.get(), FALSE);
    session.answer(h.get());
    gst_harness_set_src_caps_str(h.get(), "application/x-discord-rtp");
    for (std::size_t i = 0; i < datagrams.size(); ++i) {
      for (const Step& step : steps) {
        if (step.before == i) {
          session.state().update(step.change);
          if (step.left != 0) {
            gst_harness_push_event(h.get(), test::connection_left(step.left).release());
          }
        }
      }
      GstBuffer* buffer =
          gst_buffer_new_memdup(datagrams[i].bytes.data(), datagrams[i].bytes.size());
      GST_BUFFER_DTS(buffer) = static_cast<GstClockTime>(to_ns(datagrams[i].arrival));
      EXPECT_EQ(gst_harness_push(h.get(), buffer), GST_FLOW_OK);
    }
    gst_harness_push_event(h.get(), gst_event_new_eos());
    const bool rtp = line.find("decode=false") != std::string::npos ||
                     line.find("discordreorder") != std::string::npos;
    for (bool ended = false; !ended;) {
      EventPtr event(gst_harness_pull_event(h.get()));
      ended = !event || GST_EVENT_TYPE(event.get()) == GST_EVENT_EOS;
      if (event && gst_event_has_name(event.get(), "GstRTPPacketLost")) {
        const GstStructure* s = gst_event_get_structure(event.get());
        guint ssrc = 0;
        gst_structure_get_uint(s, "ssrc", &ssrc);
        const GCharPtr text(gst_structure_to_string(s));
        out.losses[ssrc].push_back(text.get());
      }
      while (BufferPtr buffer{gst_harness_try_pull(h.get())}) {
        const auto* meta = gst_buffer_get_discord_speaker_meta(buffer.get());
        out.buffers[meta->ssrc].push_back(text_of(buffer.get(), rtp));
      }
    }
    GstIterator* all = gst_bin_iterate_recurse(GST_BIN(h->element));
    GValue item = G_VALUE_INIT;
    while (gst_iterator_next(all, &item) == GST_ITERATOR_OK) {
      auto* e = GST_ELEMENT(g_value_get_object(&item));
      const std::string name = GST_OBJECT_NAME(gst_element_get_factory(e));
      if (name != "discordreorder") {
        const StructurePtr stats = test::stats_of(e);
        for (const char* cause : {"no-user", "no-key", "bad-tag", "not-a-frame", "replayed",
                                  "duplicate", "denied", "received"}) {
          out.counts[cause] = test::count_in(stats.get(), cause);
        }
        test::expect_adds_up(e);
        guint restarts = 0;
        gst_structure_get_uint(stats.get(), "restarts", &restarts);
        EXPECT_EQ(restarts, 0u);
      }
      g_value_reset(&item);
    }
    g_value_unset(&item);
    gst_iterator_free(all);
  }
  session.state().update([](CallSnapshot& call) { call = CallSnapshot(); });
  return out;
}

constexpr std::uint64_t user_of(std::uint32_t ssrc) {
  return 500000 + ssrc;
}

struct EncryptedCall {
  explicit EncryptedCall(const Weather& weather) {
    // Everybody changes to the second epoch somewhere; a few send nonsense.
    datagrams = rig::call(
        5, 100, weather, 1000, [&](std::uint32_t ssrc, Time when, const Bytes& opus) -> Bytes {
          const auto ms = to_ns(when) / 1000000;
          if (ssrc == 1003 && ms % 7 == 0) {
            return members.seal(9, user_of(ssrc), opus);
          }
          if (ssrc == 1004 && ms % 3 == 0) {
            return opus;
          }
          return members.seal(ms < 2000 + ssrc % 5 * 40 ? 1 : 2, user_of(ssrc), opus);
        });
    std::vector<std::uint64_t> all;
    for (std::uint32_t s = 0; s < 5; ++s) {
      all.push_back(user_of(1000 + s));
    }
    // First words come before their user, users before their key.
    for (std::uint32_t s = 0; s < 5; ++s) {
      steps.push_back({6 + 3 * s, [s](CallSnapshot& c) { c.users[1000 + s] = user_of(1000 + s); }});
    }
    const auto publish = [&](std::size_t before) {
      steps.push_back({before, [keys = group.keys()](CallSnapshot& c) { c.media_keys = keys; }});
    };
    group.add({}, Time{});
    publish(0);
    group.next = 1;
    group.add(all, Time{});
    publish(40);
    group.add(all, Time{});
    publish(150);
  }
  rig::Members members;
  rig::Group group;
  std::vector<OnWire> datagrams;
  std::vector<Step> steps;
};

const std::vector<Weather> weathers = {Weather{}, Weather{0.1, 0.1, 0, 0, 0ms, 2},
                                       Weather{0.05, 0.7, 0.1, 0.1, 15ms, 3},
                                       Weather{0.5, 0.5, 0.3, 0.3, 60ms, 4}};

}  // namespace

TEST(WorkerCall, ProcessesAndThisProcessSoundTheSame) {
  for (const Weather& weather : weathers) {
    const EncryptedCall call(weather);
    const Output here = run("discordworkerdec isolation=none", call.datagrams, call.steps);
    const Output there =
        run("discordworkerdec isolation=process max-workers=2", call.datagrams, call.steps);
    EXPECT_EQ(here.buffers.size(), 5u);
    EXPECT_TRUE(here.buffers == there.buffers);
    EXPECT_EQ(here.counts, there.counts);
    const Output shared = run("discordworkerdec pool=together", call.datagrams, call.steps);
    EXPECT_TRUE(here.buffers == shared.buffers);
    EXPECT_EQ(here.counts, shared.counts);
  }
}

// After a move, what lay in the socket of the left call was opened with the key of the next one.
TEST(WorkerCall, WhatTheLeftConnectionSentIsOpenedWithItsKey) {
  const transport::Key other = test::some_key(0x55);
  std::vector<OnWire> datagrams = rig::call(2, 50, Weather{});
  const std::size_t before = datagrams.size();
  for (OnWire& datagram : rig::call(2, 50, Weather{}, 2000, {}, other)) {
    datagram.arrival += 5s;
    datagrams.push_back(std::move(datagram));
  }
  const std::vector<Step> steps = {
      {before / 2,
       [&](CallSnapshot& call) {
         call.generation = 2;
         call.after = 1;
         call.key = other;
       }},
      {before, [](CallSnapshot&) {}, 1},
  };
  for (const char* line : {"discordworkerdec isolation=none", "discordworkerdec isolation=process",
                           "discorddecrypt ! discordreorder"}) {
    const Output out = run(line, datagrams, steps);
    EXPECT_EQ(out.counts.at("bad-tag"), 0u) << line;
    EXPECT_EQ(out.counts.at("received"), datagrams.size()) << line;
    EXPECT_EQ(out.buffers.size(), 4u) << line;
  }
}

// The packets, where they lie, and what is announced as lost, to the bit.
TEST(WorkerCall, WithoutDecodingItGivesWhatDecryptAndReorderGive) {
  for (const Weather& weather : weathers) {
    const EncryptedCall call(weather);
    const Output chain = run("discorddecrypt ! discordreorder", call.datagrams, call.steps);
    EXPECT_EQ(chain.buffers.size(), 5u);
    EXPECT_EQ(chain.losses.empty(), weather.loss == 0 && chain.counts.at("bad-tag") == 0);
    EXPECT_GT(chain.counts.at("bad-tag"), 0u);
    EXPECT_GT(chain.counts.at("not-a-frame"), 0u);
    for (const char* isolation : {"none", "process"}) {
      SCOPED_TRACE(isolation);
      const Output workers =
          run(std::string("discordworkerdec decode=false isolation=") + isolation, call.datagrams,
              call.steps);
      ASSERT_EQ(chain.buffers.size(), workers.buffers.size());
      for (const auto& [ssrc, buffers] : chain.buffers) {
        const auto& other = workers.buffers.at(ssrc);
        ASSERT_EQ(buffers.size(), other.size()) << ssrc;
        for (std::size_t i = 0; i < buffers.size(); ++i) {
          ASSERT_TRUE(buffers[i] == other[i])
              << ssrc << " packet " << i << ": " << buffers[i].substr(0, 50) << " against "
              << other[i].substr(0, 50);
        }
      }
      EXPECT_EQ(chain.losses, workers.losses);
      EXPECT_EQ(chain.counts, workers.counts);
    }
  }
}

// One is on the list of those not heard from the start; another turns out to be a bot in the
// middle, and for one it is never said, which costs the time of the hold.
TEST(WorkerCall, WhoIsHeardIsTheSameInEveryChain) {
  for (const Weather& weather : {weathers[0], weathers[2]}) {
    EncryptedCall call(weather);
    const auto name = [&](std::size_t before, std::uint32_t ssrc, bool bot) {
      call.steps.push_back({before, [ssrc, bot](CallSnapshot& c) {
                              auto names = std::make_shared<UserNames>(*c.names);
                              (*names)[user_of(ssrc)] = {"Name", bot};
                              c.names = names;
                            }});
    };
    call.steps.push_back({0, [](CallSnapshot& c) { c.bots_are_told = true; }});
    for (const std::uint32_t ssrc : {1000, 1001, 1002, 1004}) {
      name(3, ssrc, false);
    }
    if (weather.loss > 0) {
      // What waited long is ordered anew by those who know when it was released.
      name(3, 1003, false);
    }
    name(200, 1001, true);
    const std::string users = " hold-time=1000 users=-" + std::to_string(user_of(1000));
    const Output chain =
        run("discorddecrypt" + users + " ! discordreorder", call.datagrams, call.steps);
    EXPECT_EQ(chain.buffers.size(), 4u);
    EXPECT_FALSE(chain.buffers.contains(1000));
    EXPECT_TRUE(chain.buffers.contains(1003)) << "never said to be a bot";
    EXPECT_GT(chain.counts.at("denied"), 80u);
    for (const char* isolation : {"none", "process"}) {
      SCOPED_TRACE(isolation);
      const Output workers =
          run("discordworkerdec decode=false isolation=" + std::string(isolation) + users,
              call.datagrams, call.steps);
      EXPECT_TRUE(chain.buffers == workers.buffers);
      EXPECT_TRUE(chain.losses == workers.losses);
      EXPECT_EQ(chain.counts, workers.counts);
    }
    // After all it is no bot: what was not heard meanwhile is a pause, no loss.
    name(300, 1001, false);
    const Output here = run("discordworkerdec isolation=none" + users, call.datagrams, call.steps);
    const Output there =
        run("discordworkerdec isolation=process" + users, call.datagrams, call.steps);
    EXPECT_GT(here.buffers.at(1001).size(), chain.buffers.at(1001).size());
    const Output again =
        run("discorddecrypt" + users + " ! discordreorder", call.datagrams, call.steps);
    const Output undecoded =
        run("discordworkerdec decode=false isolation=none" + users, call.datagrams, call.steps);
    EXPECT_TRUE(again.buffers == undecoded.buffers);
    EXPECT_TRUE(again.losses == undecoded.losses);
    EXPECT_EQ(again.counts, undecoded.counts);
    EXPECT_TRUE(here.buffers == there.buffers);
    EXPECT_EQ(here.counts, there.counts);
  }
}

TEST(WorkerCall, EachSpeakerHasARowThatAddsUpAndItIsPosted) {
  const EncryptedCall call(Weather{0.1, 0.3, 0.1, 0.1, 10ms, 5});
  for (const char* isolation : {"none", "process"}) {
    SCOPED_TRACE(isolation);
    test::Pipeline p(
        std::string("appsrc name=in format=time caps=application/x-discord-rtp ! discordworkerdec "
                    "name=d mode=aead_aes256_gcm_rtpsize secret-key=0707070707070707070707070707"
                    "070707070707070707070707070707070707 isolation=") +
        isolation + " ! fakesink sync=false");
    p.play();
    const ObjectPtr<GstElement> in(gst_bin_get_by_name(GST_BIN(p.element()), "in"));
    for (const OnWire& d : call.datagrams) {
      GstBuffer* buffer = gst_buffer_new_memdup(d.bytes.data(), d.bytes.size());
      GST_BUFFER_PTS(buffer) = static_cast<GstClockTime>(to_ns(d.arrival));
      GstFlowReturn flow = GST_FLOW_OK;
      g_signal_emit_by_name(in.get(), "push-buffer", buffer, &flow);
      gst_buffer_unref(buffer);
    }
    GstFlowReturn flow = GST_FLOW_OK;
    g_signal_emit_by_name(in.get(), "end-of-stream", &flow);
    // The message comes before the end of the stream.
    const ObjectPtr<GstBus> bus(gst_element_get_bus(p.element()));
    MessagePtr posted;
    do {
      posted.reset(gst_bus_timed_pop_filtered(bus.get(), 20 * GST_SECOND, GST_MESSAGE_ELEMENT));
    } while (posted && !gst_message_has_name(posted.get(), "discord-stats"));
    ASSERT_TRUE(posted);
    const GstStructure* stats = gst_message_get_structure(posted.get());
    const GValue* rows = gst_structure_get_value(stats, "speakers");
    ASSERT_NE(rows, nullptr);
    ASSERT_EQ(gst_value_array_get_size(rows), 5u);
    guint64 received = 0;
    for (guint i = 0; i < 5; ++i) {
      const GstStructure* row = gst_value_get_structure(gst_value_array_get_value(rows, i));
      guint64 sum = 0;
      for (const char* cause :
           {"played", "silence", "padding-only", "late", "duplicate", "not-audio", "no-user",
            "no-key", "bad-tag", "not-a-frame", "replayed", "evicted", "paused", "denied",
            "ring-full", "skipped", "held", "in-flight"}) {
        sum += test::count_in(row, cause);
      }
      EXPECT_EQ(sum, test::count_in(row, "received"));
      EXPECT_EQ(test::count_in(row, "held") + test::count_in(row, "in-flight"), 0u);
      received += sum;
    }
    EXPECT_EQ(received, test::count_in(stats, "received"));
  }
}

// The caps keep most elements away; some sinks take anything.
TEST(WorkerCall, ASinkThatMixesUpSpeakersIsWarnedOf) {
  const test::TempDir dir;
  const EncryptedCall call(Weather{});
  const std::vector<std::pair<std::string, bool>> cases = {
      {"queue ! filesink location=" + dir.path() + "/sound", true},
      {"tee name=t ! queue ! discordssrcdemux ! fakesink async=false t. ! queue ! fdsink fd=1",
       true},
      {"identity ! fakesink", false},
      {"queue ! discordrecordsink location=" + dir.path(), false}};
  for (const auto& [behind, warned] : cases) {
    SCOPED_TRACE(behind);
    test::Pipeline p(
        "appsrc name=in format=time caps=application/x-discord-rtp ! discordworkerdec "
        "isolation=none mode=aead_aes256_gcm_rtpsize secret-key=0707070707070707070707070707"
        "070707070707070707070707070707070707 ! " +
        behind);
    gst_element_set_state(p.element(), GST_STATE_PLAYING);
    const ObjectPtr<GstElement> in(gst_bin_get_by_name(GST_BIN(p.element()), "in"));
    GstFlowReturn flow = GST_FLOW_OK;
    g_signal_emit_by_name(in.get(), "end-of-stream", &flow);
    const ObjectPtr<GstBus> bus(gst_element_get_bus(p.element()));
    std::size_t warnings = 0;
    for (;;) {
      const MessagePtr m(gst_bus_timed_pop_filtered(
          bus.get(), 20 * GST_SECOND,
          static_cast<GstMessageType>(GST_MESSAGE_WARNING | GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
      ASSERT_TRUE(m);
      if (GST_MESSAGE_TYPE(m.get()) != GST_MESSAGE_WARNING) {
        break;
      }
      ++warnings;
    }
    EXPECT_EQ(warnings, warned ? 1u : 0u);
  }
}
