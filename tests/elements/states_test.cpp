// Every element of the plugin through all states, twice, without a trace afterwards.
#include "base/hex.hpp"
#include "call_rig.hpp"

using namespace discord;
using namespace discord::test;

namespace {

std::vector<std::string> elements_of_plugin() {
  std::vector<std::string> names;
  GList* features = gst_registry_get_feature_list_by_plugin(gst_registry_get(), "discord");
  for (GList* f = features; f != nullptr; f = f->next) {
    if (GST_IS_ELEMENT_FACTORY(f->data)) {
      names.emplace_back(gst_plugin_feature_get_name(f->data));
    }
  }
  gst_plugin_feature_list_free(features);
  return names;
}

// Values with which the element can start; whoever adds an element adds a line if it needs any.
void make_valid(GstElement* element, const std::string& name, Call& call, const TempDir& dir) {
  if (name == "discordvoicesrc" || name == "discordvoicebin") {
    const loopback::Credentials c = call.server.add_client();
    g_object_set(element, "endpoint", ("ws://" + call.server.endpoint()).c_str(), "session-id",
                 c.session_id.c_str(), "token", c.token.c_str(), "user-id", guint64{c.user_id},
                 "guild-id", guint64{c.guild_id}, "channel-id", guint64{c.channel_id}, nullptr);
  } else if (name == "discorddecrypt") {
    g_object_set(element, "mode", "aead_aes256_gcm_rtpsize", "secret-key",
                 to_hex(some_key().view()).c_str(), nullptr);
  } else if (name == "discordrecordsink") {
    g_object_set(element, "location", dir.path().c_str(), nullptr);
  }
}

void expect_state(GstElement* element, GstState state) {
  EXPECT_NE(gst_element_set_state(element, state), GST_STATE_CHANGE_FAILURE)
      << gst_element_state_get_name(state);
}

}  // namespace

TEST(States, EveryElementGoesUpAndDownTwice) {
  const std::vector<std::string> names = elements_of_plugin();
  ASSERT_GE(names.size(), 5u) << "the plugin of this build was not found";
  Call call(call_options(0.1));
  const TempDir dir;
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const ObjectPtr<GstElement> element(
        GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make(name.c_str(), nullptr))));
    make_valid(element.get(), name, call, dir);
    for (int round = 0; round < 2; round++) {
      for (const GstState state : {GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_PLAYING,
                                   GST_STATE_PAUSED, GST_STATE_READY, GST_STATE_NULL}) {
        expect_state(element.get(), state);
      }
    }
    // And at once, as applications do.
    expect_state(element.get(), GST_STATE_PLAYING);
    expect_state(element.get(), GST_STATE_NULL);
  }
}

TEST(States, AnElementThatNeverLeftNullIsFreed) {
  for (const std::string& name : elements_of_plugin()) {
    gst_object_unref(gst_object_ref_sink(gst_element_factory_make(name.c_str(), nullptr)));
  }
}

// GLib's and GStreamer's own pools keep idle threads and start them when they like, so one thread
// more or less says nothing; a call that left one behind would leave one behind each time.
TEST(States, NoThreadStaysBehind) {
  constexpr int kCalls = 8;
  const auto once = [] {
    Call call(call_options(0.1));
    Pipeline p(call.source() + "! discorddecrypt ! discordreorder name=r ! fakesink sync=false");
    Counter heard(p.pad("r", "src").get());
    p.play();
    EXPECT_TRUE(heard.wait_for(2));
  };
  once();  // whatever libraries start once and keep
  const int before = threads_of_process();
  for (int round = 0; round < kCalls; round++) {
    once();
  }
  EXPECT_LT(threads_of_process(), before + kCalls);
}

// Values at the ends of their ranges must be taken and given back.
TEST(States, PropertiesTakeTheEndsOfTheirRanges) {
  for (const std::string& name : elements_of_plugin()) {
    const ObjectPtr<GstElement> element(
        GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make(name.c_str(), nullptr))));
    guint count = 0;
    GParamSpec** specs = g_object_class_list_properties(G_OBJECT_GET_CLASS(element.get()), &count);
    for (guint i = 0; i < count; i++) {
      if (!G_IS_PARAM_SPEC_UINT(specs[i]) || !(specs[i]->flags & G_PARAM_WRITABLE)) {
        continue;
      }
      const auto* range = G_PARAM_SPEC_UINT(specs[i]);
      for (const guint value : {range->minimum, range->maximum}) {
        g_object_set(element.get(), specs[i]->name, value, nullptr);
        guint got = value + 1;
        g_object_get(element.get(), specs[i]->name, &got, nullptr);
        EXPECT_EQ(got, value) << name << " " << specs[i]->name;
      }
    }
    g_free(specs);
  }
}
