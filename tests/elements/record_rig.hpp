// What the tests of the recorder share: a recorder behind a feeder, and readers of its files.
#pragma once

#include "feeder.hpp"
#include "programs.hpp"

#include "elements/gstdiscordrecordsink.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace discord::test {

namespace fs = std::filesystem;

// From the objects this test links, into which it reaches; the plugin has types of the same names.
inline GstElement* make_recorder() {
  return GST_ELEMENT(g_object_new(GST_TYPE_DISCORD_RECORD_SINK, nullptr));
}

// The samples of a WAV file, left channel, after checking every size in it against the file.
inline std::optional<std::vector<std::int16_t>> read_wav(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> raw((std::istreambuf_iterator<char>(in)), {});
  const auto* b = reinterpret_cast<const std::uint8_t*>(raw.data());
  const auto u32 = [&](std::size_t at) {
    return b[at] | b[at + 1] << 8 | b[at + 2] << 16 | static_cast<std::uint32_t>(b[at + 3]) << 24;
  };
  if (raw.size() < 44 || std::string(raw.data(), 4) != "RIFF" || u32(4) != raw.size() - 8 ||
      std::string(raw.data() + 8, 4) != "WAVE") {
    return std::nullopt;
  }
  std::size_t at = 12;
  bool format_ok = false;
  while (at + 8 <= raw.size()) {
    const std::string id(raw.data() + at, 4);
    const std::size_t size = u32(at + 4);
    at += 8;
    if (size > raw.size() - at) {
      return std::nullopt;
    }
    if (id == "fmt ") {
      format_ok = b[at] == 1 && b[at + 2] == 2 && u32(at + 4) == 48000 && b[at + 14] == 16;
    } else if (id == "data") {
      if (!format_ok || size % 4 != 0) {
        return std::nullopt;
      }
      std::vector<std::int16_t> left(size / 4);
      for (std::size_t i = 0; i < left.size(); i++) {
        left[i] = static_cast<std::int16_t>(b[at + 4 * i] | b[at + 4 * i + 1] << 8);
      }
      return left;
    }
    at += size + size % 2;
  }
  return std::nullopt;
}

inline bool silent(const std::vector<std::int16_t>& s, std::size_t from, std::size_t to) {
  return std::all_of(s.begin() + static_cast<long>(from), s.begin() + static_cast<long>(to),
                     [](std::int16_t v) { return v == 0; });
}

inline double rms(const std::vector<std::int16_t>& s, std::size_t from, std::size_t to) {
  double sum = 0;
  for (std::size_t i = from; i < to; i++) {
    sum += static_cast<double>(s[i]) * s[i];
  }
  return std::sqrt(sum / static_cast<double>(to - from));
}

class RecorderTest : public testing::Test {
 protected:
  void SetUp() override {
    gchar* made = g_dir_make_tmp("discord-record-XXXXXX", nullptr);
    base_ = made;
    g_free(made);
    where_ = base_ / "deep" / "recordings";
  }
  void TearDown() override {
    feeder_.stop();
    fs::remove_all(base_);
  }

  bool start() {
    GstElement* e = feeder_.element ? feeder_.element.get() : make_recorder();
    if (e == nullptr) {
      return false;
    }
    if (!feeder_.element) {
      g_object_set(e, "location", where_.c_str(), nullptr);
      for (const auto& [name, value] : properties_) {
        gst_util_set_object_arg(G_OBJECT(e), name.c_str(), value.c_str());
      }
    }
    return feeder_.start(e);
  }

  std::vector<fs::path> files() {
    std::vector<fs::path> found;
    if (fs::exists(where_)) {
      for (const auto& entry : fs::recursive_directory_iterator(where_)) {
        if (entry.is_regular_file() && entry.path().extension() != ".json") {
          found.push_back(entry.path());
        }
      }
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  fs::path file(const std::string& name) {
    for (const fs::path& p : files()) {
      if (p.filename() == name) {
        return p;
      }
    }
    return {};
  }

  bool wait_for_eos() {
    const MessagePtr m =
        feeder_.message(static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    return m && GST_MESSAGE_TYPE(m.get()) == GST_MESSAGE_EOS;
  }

  // 2 s: user 7 talks, pauses from 0.5 to 1 s, loses one packet at 1.4 s; user 9 talks 1.0 to 1.5
  // s.
  void two_speakers(GstClockTime offset = 0) {
    Tone a(440);
    Tone b(1000);
    for (unsigned i = 0; i < 100; i++) {
      const GstClockTime at = offset + i * frame;
      if (i < 25 || i >= 50) {
        const auto packet = a.next();
        if (i == 70) {
          feeder_.lose(100, 7, at);
        } else {
          EXPECT_EQ(feeder_.push(100, 7, at, packet), GST_FLOW_OK);
        }
      }
      if (i >= 50 && i < 75) {
        EXPECT_EQ(feeder_.push(200, 9, at, b.next()), GST_FLOW_OK);
      }
    }
  }

  // A user's display name becomes known.
  void name(std::uint64_t user, const std::string& display) {
    gst_pad_push_event(
        feeder_.pad.get(),
        gst_event_new_custom(
            GST_EVENT_CUSTOM_DOWNSTREAM,
            gst_structure_new("discord-user-info", "user-id", G_TYPE_UINT64, guint64{user},
                              "display-name", G_TYPE_STRING, display.c_str(), nullptr)));
  }

  void expect_two_tracks(const fs::path& first, const fs::path& second) {
    const auto a = read_wav(first);
    const auto b = read_wav(second);
    ASSERT_TRUE(a) << first;
    ASSERT_TRUE(b) << second;
    ASSERT_EQ(a->size(), 96000u);
    ASSERT_EQ(b->size(), 96000u);
    EXPECT_GT(rms(*a, 960, 24000), 4000);
    EXPECT_TRUE(silent(*a, 24000, 48000)) << "a pause is silence, not concealment";
    EXPECT_GT(rms(*a, 48960, 96000), 4000);
    EXPECT_GT(rms(*a, 70 * 960, 71 * 960), 1000) << "a loss is concealed";
    EXPECT_TRUE(silent(*b, 0, 48000)) << "a late joiner is back-filled";
    EXPECT_GT(rms(*b, 48960, 72000), 4000);
    EXPECT_TRUE(silent(*b, 72000, 96000)) << "all tracks end together";
  }

  fs::path base_;
  fs::path where_;
  std::map<std::string, std::string> properties_;
  Feeder feeder_;
};

// What FFmpeg hears in a file: stereo at 48 kHz, the left channel.
inline std::vector<std::int16_t> heard_by_ffmpeg(const fs::path& path) {
  const Ran r = run({"ffmpeg", "-v", "error", "-i", path.string(), "-f", "s16le", "-ac", "2", "-ar",
                     "48000", "-"});
  std::vector<std::int16_t> left(r.output.size() / 4);
  for (std::size_t i = 0; i < left.size(); i++) {
    std::memcpy(&left[i], r.output.data() + 4 * i, 2);
  }
  return left;
}

}  // namespace discord::test
