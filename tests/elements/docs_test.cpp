// The pages in docs/elements say what the elements have, and their lines can be pasted.
#include "base/hex.hpp"
#include "call_rig.hpp"
#include "pcap.hpp"

#include <regex>
#include <set>

using namespace discord;
using namespace discord::test;

namespace {

const std::vector<std::string> documented = {"discordvoicesrc", "discorddecrypt", "discordreorder",
                                             "discordvoicebin"};

std::string page(const std::string& element) {
  const char* folder = g_getenv("DISCORD_DOCS");
  std::ifstream file(std::string(folder != nullptr ? folder : "docs/elements") + "/" + element +
                     ".md");
  EXPECT_TRUE(file) << element;
  return {std::istreambuf_iterator<char>(file), {}};
}

// Names in the first column of the table under "## Properties".
std::set<std::string> properties_on(const std::string& page) {
  std::set<std::string> names;
  const std::size_t begin = page.find("## Properties");
  const std::string part = page.substr(begin, page.find("\n## ", begin + 1) - begin);
  const std::regex row("(^|\n)\\|([^|]*`[^|]*)\\|");
  for (std::sregex_iterator it(part.begin(), part.end(), row), end; it != end; ++it) {
    const std::string cell = (*it)[2];
    const std::regex name("`([a-z0-9-]+)`");
    for (std::sregex_iterator n(cell.begin(), cell.end(), name); n != end; ++n) {
      names.insert((*n)[1]);
    }
  }
  return names;
}

std::string inspect(const std::string& element) {
  const char* argv[] = {"gst-inspect-1.0", element.c_str(), nullptr};
  gchar* out = nullptr;
  gint status = 0;
  GError* error = nullptr;
  if (!g_spawn_sync(nullptr, const_cast<gchar**>(argv), nullptr, G_SPAWN_SEARCH_PATH, nullptr,
                    nullptr, &out, nullptr, &status, &error)) {
    g_error_free(error);
    return "";
  }
  const GCharPtr owned(out);
  EXPECT_EQ(status, 0);
  return out;
}

// What gst-inspect lists under "Element Properties", without those every element has.
std::set<std::string> properties_in(const std::string& text) {
  std::set<std::string> names;
  const std::string part = text.substr(text.find("Element Properties:"));
  const std::regex line("\n  ([a-z0-9-]+) +: ");
  for (std::sregex_iterator it(part.begin(), part.end(), line), end; it != end; ++it) {
    names.insert((*it)[1]);
  }
  for (const char* inherited : {"name", "parent", "blocksize", "num-buffers", "typefind",
                                "do-timestamp", "async-handling", "message-forward"}) {
    names.erase(inherited);
  }
  return names;
}

// The indented gst-launch lines of a page, continuations joined, without the program's name.
std::vector<std::string> lines_on(std::string page) {
  page = std::regex_replace(page, std::regex("\\\\\n *"), "");
  std::vector<std::string> lines;
  const std::regex launch("\n    gst-launch-1.0 (-e )?([^\n]*)");
  for (std::sregex_iterator it(page.begin(), page.end(), launch), end; it != end; ++it) {
    lines.push_back((*it)[2]);
  }
  return lines;
}

// Runs a line until sound has come through, then ends it in an orderly way.
void run(const std::string& line, bool live) {
  SCOPED_TRACE(line);
  Pipeline p(line);
  GstElement* opens = nullptr;
  GstIterator* all = gst_bin_iterate_recurse(GST_BIN(p.element()));
  GValue item = G_VALUE_INIT;
  while (gst_iterator_next(all, &item) == GST_ITERATOR_OK) {
    auto* e = GST_ELEMENT(g_value_get_object(&item));
    const std::string factory = GST_OBJECT_NAME(gst_element_get_factory(e));
    if (factory == "discorddecrypt" || factory == "discordworkerdec") {
      opens = e;
    }
    g_value_reset(&item);
  }
  gst_iterator_free(all);
  ASSERT_NE(opens, nullptr);
  const ObjectPtr<GstPad> pad(gst_element_get_static_pad(opens, "src"));
  Counter heard(pad.get());
  p.play();
  EXPECT_TRUE(heard.wait_for(5));
  if (live) {
    gst_element_send_event(p.element(), gst_event_new_eos());
  }
  EXPECT_TRUE(p.eos());
}

}  // namespace

TEST(Docs, EachPropertyIsOnThePageAndEachOnThePageExists) {
  for (const std::string& element : documented) {
    SCOPED_TRACE(element);
    const std::string text = inspect(element);
    if (text.empty()) {
      GTEST_SKIP() << "gst-inspect-1.0 is not installed (package gstreamer1.0-tools).";
    }
    EXPECT_EQ(properties_on(page(element)), properties_in(text));
  }
}

TEST(Docs, EachFieldOfTheStatisticsIsOnThePage) {
  for (const char* element : {"discorddecrypt", "discordreorder"}) {
    const HarnessPtr h(gst_harness_new(element));
    const StructurePtr stats = stats_of(h->element);
    const std::string text = page(element);
    for (int i = 0; i < gst_structure_n_fields(stats.get()); i++) {
      const std::string field = gst_structure_nth_field_name(stats.get(), static_cast<guint>(i));
      EXPECT_NE(text.find("`" + field + "`"), std::string::npos) << element << ": " << field;
    }
  }
}

TEST(Docs, TheLinesCanBePasted) {
  const TempDir dir;
  const GCharPtr before(g_get_current_dir());
  ASSERT_EQ(g_chdir(dir.path().c_str()), 0);
  int ran = 0;
  for (const std::string& element : documented) {
    for (std::string line : lines_on(page(element))) {
      Call call(call_options(5));
      const loopback::Credentials c = call.server.add_client();
      dir.write("token", c.token + "\n");
      dir.write("bot", call.server.bot_token());
      dir.write("key", to_hex(some_key().view()) + "\n");
      const std::vector<std::pair<std::string, std::string>> values = {
          {"$ENDPOINT", "ws://" + call.server.endpoint()},
          {"$SESSION", c.session_id},
          {"$USER_ID", std::to_string(c.user_id)},
          {"$GUILD_ID", std::to_string(c.guild_id)},
          {"$CHANNEL_ID", std::to_string(c.channel_id)},
          // A bot's line connects to Discord.
          {"bot-token-file=token", "bot-token-file=bot gateway-url=ws://" + call.server.endpoint()},
          // Sound cards are not for tests.
          {"autoaudiosink", "fakesink sync=false"}};
      for (const auto& [name, value] : values) {
        for (std::size_t at; (at = line.find(name)) != std::string::npos;) {
          line.replace(at, name.size(), value);
        }
      }
      const bool live = line.find("discordvoice") != std::string::npos;
      if (!live) {
        Sealer sealer(Mode::aead_xchacha20_poly1305_rtpsize);
        dir.write("call.pcap", pcap_of(sealer));
      }
      run(line, live);
      ran++;
    }
  }
  EXPECT_GE(ran, 3);
  EXPECT_EQ(g_chdir(before.get()), 0);
}
