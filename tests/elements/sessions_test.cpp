// Several sources in one pipeline: no key and no name of one may ever reach another.
#include "call_rig.hpp"

#include <set>

using namespace discord;
using namespace discord::test;

namespace {

// The Opus payloads that a call really sent.
std::set<Bytes> said_in(Call& call) {
  std::set<Bytes> out;
  for (const loopback::SpeakerTruth& speaker : call.server.truth()) {
    for (const loopback::FrameRecord& record : speaker.records) {
      out.insert(record.opus);
    }
  }
  return out;
}

void expect_only(const std::vector<Bytes>& packets, const std::set<Bytes>& said) {
  for (const Bytes& packet : packets) {
    EXPECT_TRUE(said.contains(Bytes(packet.begin() + 12, packet.end())));
  }
}

loopback::Options call_with(std::uint64_t guild, double hz, std::uint64_t seed) {
  loopback::Options o = call_options(1.5);
  o.seed = seed;
  o.calls[0].guild_id = guild;
  // The same SSRC in both calls, as small numbers that servers assign will be.
  o.calls[0].talkers = {talker(guild * 100, 2001, 1.5, hz)};
  return o;
}

std::string branch(Call& call, const std::string& n) {
  std::string source = call.source();
  source.replace(source.find("name=src"), 8, "name=src" + n);
  return source + "! tee name=t" + n + " t" + n + ". ! queue ! discorddecrypt name=d" + n +
         " ! discordreorder name=r" + n + " ! fakesink sync=false async=false ";
}

}  // namespace

// Decoders and keys were kept by SSRC alone, and two guilds shared them.
TEST(Sessions, EqualSsrcsInTwoCallsStayApart) {
  Call a(call_with(11, 300, 1));
  Call b(call_with(22, 700, 2));
  Pipeline p(branch(a, "1") + branch(b, "2"));
  Counter heard_a(p.pad("r1", "src").get());
  Counter heard_b(p.pad("r2", "src").get());
  std::vector<std::uint64_t> users;
  p.play();

  // A branch that joins later finds the session of its own source.
  ASSERT_TRUE(heard_a.wait_for(5));
  GstElement* late = gst_parse_bin_from_description(
      "queue ! discorddecrypt name=d3 ! fakesink name=s3 sync=false async=false", TRUE, nullptr);
  gst_bin_add(GST_BIN(p.element()), late);
  const ObjectPtr<GstElement> d3(gst_bin_get_by_name(GST_BIN(late), "d3"));
  const ObjectPtr<GstPad> out3(gst_element_get_static_pad(d3.get(), "src"));
  Counter heard_late(out3.get());
  gst_element_sync_state_with_parent(late);
  ASSERT_TRUE(gst_element_link(p.get("t1").get(), late));

  const std::size_t sent_a = a.all_sent();
  const std::size_t sent_b = b.all_sent();
  ASSERT_TRUE(heard_a.wait_for(sent_a));
  ASSERT_TRUE(heard_b.wait_for(sent_b));
  ASSERT_TRUE(heard_late.wait_for(10));
  for (const char* name : {"d1", "d2", "d3"}) {
    const ObjectPtr<GstElement> d = p.get(name);
    EXPECT_EQ(count_of(d.get(), "bad-tag"), 0u) << name << " was given a foreign key";
    EXPECT_GT(count_of(d.get(), "received"), 0u);
    expect_adds_up(d.get());
  }
  expect_only(heard_a.packets(), said_in(a));
  expect_only(heard_late.packets(), said_in(a));
  expect_only(heard_b.packets(), said_in(b));
  const auto user_in = [&](const char* name) {
    const StructurePtr stats = stats_of(p.get(name).get());
    guint64 user = 0;
    gst_structure_get_uint64(gst_value_get_structure(gst_value_array_get_value(
                                 gst_structure_get_value(stats.get(), "speakers"), 0)),
                             "user-id", &user);
    return user;
  };
  EXPECT_EQ(user_in("d1"), 1100u);
  EXPECT_EQ(user_in("d2"), 2200u);
  EXPECT_EQ(user_in("d3"), 1100u);
}

TEST(Sessions, NothingIsPostedOrKeptAsAContext) {
  Call call(call_with(11, 300, 1));
  Pipeline p(branch(call, "1"));
  Counter heard(p.pad("r1", "src").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(5));
  const ObjectPtr<GstBus> bus(gst_element_get_bus(p.element()));
  EXPECT_EQ(gst_bus_pop_filtered(
                bus.get(), GstMessageType(GST_MESSAGE_HAVE_CONTEXT | GST_MESSAGE_NEED_CONTEXT)),
            nullptr);
  for (const char* name : {"src1", "d1"}) {
    EXPECT_EQ(gst_element_get_contexts(p.get(name).get()), nullptr) << name;
  }
}

TEST(Sessions, OneCallMayBeHeardTwice) {
  Call call(call_with(11, 300, 1));
  Pipeline p(branch(call, "1") + branch(call, "2"));
  Counter one(p.pad("r1", "src").get());
  Counter two(p.pad("r2", "src").get());
  p.play();
  EXPECT_TRUE(one.wait_for(10));
  EXPECT_TRUE(two.wait_for(10));
  EXPECT_EQ(count_of(p.get("d1").get(), "bad-tag") + count_of(p.get("d2").get(), "bad-tag"), 0u);
}
