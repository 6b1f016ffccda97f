#include "audio_files.hpp"

#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <algorithm>
#include <filesystem>

namespace discord::loopback {
namespace {

namespace fs = std::filesystem;

// Files that are tones or music rather than a voice.
bool is_speech(const std::string& stem) {
  static constexpr const char* not_speech[] = {"tone",       "beep",       "music",
                                               "confbridge", "tt-monkeys", "ascending",
                                               "descending", "silence",    "monkeys"};
  return std::none_of(std::begin(not_speech), std::end(not_speech),
                      [&](const char* word) { return stem.find(word) != std::string::npos; });
}

std::vector<std::string> list(const fs::path& folder, const std::string& extension,
                              std::uintmax_t least_bytes, std::size_t most) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::error_code size_error;
    if (entry.path().extension() == extension && is_speech(entry.path().stem().string()) &&
        entry.file_size(size_error) >= least_bytes && !size_error) {
      out.push_back(entry.path().string());
    }
  }
  // Directory order differs between machines; a seed must replay everywhere.
  std::sort(out.begin(), out.end());
  if (out.size() > most) {
    out.resize(most);
  }
  return out;
}

std::string escape(const std::string& path) {
  std::string out = "\"";
  for (const char c : path) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  return out + "\"";
}

}  // namespace

Result<PcmPtr, std::string> read_audio_file(const std::string& path) {
  std::error_code exists_error;
  const std::uintmax_t size = fs::file_size(path, exists_error);
  if (exists_error || size == 0) {
    return Failure{"no such audio file: " + path};
  }
  // The decoder wants a time segment, which a bare file has only with do-timestamp; in one buffer,
  // so that the stamps, which come from a clock, cannot make gaps.
  const std::string one_buffer =
      " do-timestamp=true blocksize=" + std::to_string(std::min<std::uintmax_t>(size, 1u << 30));
  const bool g722 = fs::path(path).extension() == ".g722";
  const std::string chain =
      "filesrc location=" + escape(path) +
      (g722 ? one_buffer + " ! audio/G722,rate=16000,channels=1 ! avdec_g722" : " ! decodebin") +
      " ! audioconvert ! audioresample ! appsink name=out sync=false"
      " caps=\"audio/x-raw,format=S16LE,rate=48000,layout=interleaved,channels=[1,2]\"";
  GError* error = nullptr;
  GstElement* pipeline = gst_parse_launch(chain.c_str(), &error);
  if (error != nullptr) {
    std::string text = "cannot read " + path + ": " + error->message;
    g_clear_error(&error);
    gst_clear_object(&pipeline);
    return Failure{text};
  }
  GstElement* sink = gst_bin_get_by_name(GST_BIN(pipeline), "out");
  gst_element_set_state(pipeline, GST_STATE_PLAYING);

  auto pcm = std::make_shared<Pcm>();
  pcm->name = path;
  while (GstSample* sample = gst_app_sink_pull_sample(GST_APP_SINK(sink))) {
    const GstStructure* caps = gst_caps_get_structure(gst_sample_get_caps(sample), 0);
    gst_structure_get_int(caps, "channels", &pcm->channels);
    GstMapInfo map;
    if (gst_buffer_map(gst_sample_get_buffer(sample), &map, GST_MAP_READ)) {
      const auto* first = reinterpret_cast<const std::int16_t*>(map.data);
      pcm->samples.insert(pcm->samples.end(), first, first + map.size / sizeof(std::int16_t));
      gst_buffer_unmap(gst_sample_get_buffer(sample), &map);
    }
    gst_sample_unref(sample);
  }
  std::string failure;
  GstBus* bus = gst_element_get_bus(pipeline);
  if (GstMessage* message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR)) {
    gst_message_parse_error(message, &error, nullptr);
    failure = "cannot decode " + path + ": " + error->message;
    g_clear_error(&error);
    gst_message_unref(message);
  } else if (pcm->samples.empty()) {
    failure = "no audio in " + path;
  }
  gst_object_unref(bus);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(sink);
  gst_object_unref(pipeline);
  if (!failure.empty()) {
    return Failure{failure};
  }
  return PcmPtr(pcm);
}

std::vector<Voice> installed_voices() {
  struct Place {
    const char* name;
    const char* folder;
    const char* extension;
    std::uintmax_t bytes_per_second;
  };
  // The rate of the coded file stands in for its length; 64 kbit/s is 8000 bytes a second.
  static constexpr Place places[] = {
      {"Allison", "/usr/share/asterisk/sounds/en_US_f_Allison", ".g722", 8000},
      {"Carlo", "/usr/share/asterisk/sounds/it_IT_m_Carlo", ".g722", 8000},
      {"June", "/usr/share/asterisk/sounds/fr_CA_f_June", ".g722", 8000},
      {"Irina", "/usr/share/asterisk/sounds/ru_RU_f_IvrvoiceRU", ".g722", 8000},
      {"Alejandra", "/usr/share/asterisk/sounds/es_MX_f_Allison", ".g722", 8000},
      {"Elinor", "/usr/share/pocketsphinx/test/data/librivox", ".wav", 32000},
      {"Robin", "/usr/share/pocketsphinx/test/data/cards", ".wav", 32000},
      {"Ada", "/usr/share/sounds/alsa", ".wav", 96000},
  };
  std::vector<Voice> out;
  for (const Place& place : places) {
    const bool alsa = std::string_view(place.name) == "Ada";
    // alsa-utils' files are only just longer than a second, but the only full-band voice there is.
    auto files = list(place.folder, place.extension,
                      alsa ? place.bytes_per_second : place.bytes_per_second * 3 / 2, 64);
    std::erase_if(files, [](const std::string& f) { return f.find("Noise") != std::string::npos; });
    if (!files.empty()) {
      out.push_back({place.name, std::move(files)});
    }
  }
  return out;
}

std::string no_voices_hint() {
  return "no recorded speech found: install at least one of asterisk-core-sounds-en-g722, "
         "asterisk-core-sounds-it-g722, asterisk-core-sounds-fr-g722, pocketsphinx-testdata or "
         "alsa-utils (and gstreamer1.0-libav for .g722), or name audio files in a speakers file";
}

}  // namespace discord::loopback
