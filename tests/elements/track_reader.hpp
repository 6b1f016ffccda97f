// Readers of a recording's files that are as long as one likes: samples front to back, packets with
// their places.
#pragma once

#include "discord/gstptr.hpp"
#include "media/opus_packet.hpp"

#include <gst/audio/gstaudiometa.h>
#include <gst/gst.h>
#include <gtest/gtest.h>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace discord::test {

// A file's samples as FFmpeg hears them, front to back.
class Heard {
 public:
  explicit Heard(const std::string& path)
      : pipe_(
            popen(("ffmpeg -v error -i '" + path + "' -f s16le -ac 2 -ar 48000 -").c_str(), "r")) {}
  ~Heard() {
    length();  // FFmpeg complains about who stops listening
    pclose(pipe_);
  }
  Heard(const Heard&) = delete;
  Heard& operator=(const Heard&) = delete;

  // Left channel from `begin` on, 0 where there is nothing; windows may go back by a second.
  std::vector<std::int16_t> window(std::int64_t begin, std::int64_t count) {
    while (end() < begin + count && read()) {
    }
    std::vector<std::int16_t> out(static_cast<std::size_t>(count));
    const std::int64_t from = std::max(begin, first_);
    const std::int64_t to = std::min(begin + count, end());
    if (from < to) {
      std::copy(kept_.begin() + (from - first_), kept_.begin() + (to - first_),
                out.begin() + (from - begin));
    }
    if (begin - first_ > 480000) {
      kept_.erase(kept_.begin(), kept_.begin() + std::min(begin - 96000 - first_, end() - first_));
      first_ = std::min(begin - 96000, end_);
    }
    return out;
  }
  std::int64_t length() {
    while (read()) {
      first_ = end_;
      kept_.clear();
    }
    return end_;
  }

 private:
  std::int64_t end() const { return end_; }
  bool read() {
    std::int16_t block[2 * 4096];
    const std::size_t n = fread(block, 4, 4096, pipe_);
    for (std::size_t i = 0; i < n; i++) {
      kept_.push_back(block[2 * i]);
    }
    end_ += static_cast<std::int64_t>(n);
    return n > 0;
  }
  FILE* pipe_;
  std::vector<std::int16_t> kept_;
  std::int64_t first_ = 0;  // sample of the first that is kept
  std::int64_t end_ = 0;
};

inline double correlation(const std::vector<std::int16_t>& a, const std::int16_t* b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); i++) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : (aa == bb ? 1 : 0);
}

// The packets of a track, each with the sample it begins at.
struct PacketTrack {
  struct Packet {
    std::int64_t begin;
    Bytes bytes;
  };
  std::vector<Packet> packets;
  std::int64_t length = 0;
};

inline PacketTrack read_ogg(const std::string& path) {
  PacketTrack out;
  std::ifstream in(path, std::ios::binary);
  Bytes partial;
  std::int64_t position = 0;
  int number = 0;
  std::uint8_t header[27];
  while (in.read(reinterpret_cast<char*>(header), 27)) {
    std::uint8_t lacing[255];
    in.read(reinterpret_cast<char*>(lacing), header[26]);
    std::int64_t granule = 0;
    for (int i = 7; i >= 0; i--) {
      granule = granule << 8 | header[6 + i];
    }
    for (int i = 0; i < header[26]; i++) {
      const std::size_t before = partial.size();
      partial.resize(before + lacing[i]);
      in.read(reinterpret_cast<char*>(partial.data() + before), lacing[i]);
      if (lacing[i] == 255) {
        continue;
      }
      if (number++ >= 2) {
        const auto parsed = media::parse_opus_packet(partial);
        EXPECT_TRUE(parsed);
        out.packets.push_back({position - 3840, partial});
        position += parsed ? parsed->duration : 0;
      }
      partial.clear();
    }
    out.length = granule - 3840;
  }
  return out;
}

// The tracks of a Matroska file by their titles; packets without holes, so that each begins where
// the one before ends, which the timestamps (whole milliseconds) agree with.
inline std::map<std::string, PacketTrack> read_mka(const std::string& path) {
  struct Reader {
    GstElement* pipeline;
    std::map<std::string, PacketTrack> tracks;
  } reader;
  const ObjectPtr<GstElement> pipeline(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new(nullptr))));
  reader.pipeline = pipeline.get();
  GstElement* source = gst_element_factory_make("filesrc", nullptr);
  GstElement* demux = gst_element_factory_make("matroskademux", nullptr);
  g_object_set(source, "location", path.c_str(), nullptr);
  gst_bin_add_many(GST_BIN(pipeline.get()), source, demux, nullptr);
  gst_element_link(source, demux);
  const auto added = +[](GstElement*, GstPad* pad, gpointer data) {
    auto* r = static_cast<Reader*>(data);
    GstElement* queue = gst_element_factory_make("queue", nullptr);
    GstElement* end = gst_element_factory_make("fakesink", nullptr);
    g_object_set(end, "sync", FALSE, "async", FALSE, nullptr);
    gst_bin_add_many(GST_BIN(r->pipeline), queue, end, nullptr);
    gst_element_link(queue, end);
    gst_element_sync_state_with_parent(queue);
    gst_element_sync_state_with_parent(end);
    const ObjectPtr<GstPad> sink(gst_element_get_static_pad(queue, "sink"));
    gst_pad_link(pad, sink.get());
    struct Track {
      Reader* reader;
      PacketTrack* track = nullptr;
      std::string title;
    };
    // One streaming thread demuxes, so nobody else touches the map.
    gst_pad_add_probe(
        pad,
        static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                     GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
        [](GstPad*, GstPadProbeInfo* info, gpointer user) {
          auto* t = static_cast<Track*>(user);
          if ((info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM) != 0) {
            GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
            GstTagList* tags = nullptr;
            gchar* title = nullptr;
            if (GST_EVENT_TYPE(event) == GST_EVENT_TAG) {
              gst_event_parse_tag(event, &tags);
              if (gst_tag_list_get_scope(tags) == GST_TAG_SCOPE_STREAM &&
                  gst_tag_list_get_string(tags, GST_TAG_TITLE, &title)) {
                t->title = title;
                g_free(title);
              }
            }
            return GST_PAD_PROBE_OK;
          }
          if (t->track == nullptr) {
            t->track = &t->reader->tracks[t->title];
          }
          GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
          const MappedBuffer map(buffer, GST_MAP_READ);
          Bytes bytes(map.data(), map.data() + map.size());
          const auto parsed = media::parse_opus_packet(bytes);
          EXPECT_TRUE(parsed);
          const auto stamp = static_cast<std::int64_t>(GST_BUFFER_PTS(buffer)) * 48 / 1000000;
          EXPECT_LE(std::abs(stamp - t->track->length), 48);
          t->track->packets.push_back({t->track->length, std::move(bytes)});
          t->track->length += parsed ? parsed->duration : 0;
          if (const auto* cut = gst_buffer_get_audio_clipping_meta(buffer)) {
            t->track->length -= static_cast<std::int64_t>(cut->end);
          }
          return GST_PAD_PROBE_OK;
        },
        new Track{r, nullptr, {}}, [](gpointer user) { delete static_cast<Track*>(user); });
  };
  g_signal_connect(demux, "pad-added", G_CALLBACK(added), &reader);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  const ObjectPtr<GstBus> bus(gst_element_get_bus(pipeline.get()));
  const MessagePtr end(
      gst_bus_timed_pop_filtered(bus.get(), GST_CLOCK_TIME_NONE,
                                 static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
  EXPECT_EQ(GST_MESSAGE_TYPE(end.get()), GST_MESSAGE_EOS);
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  return std::move(reader.tracks);
}

}  // namespace discord::test
