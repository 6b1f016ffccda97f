// The elements between a speaker's queue and a file, by format.
#pragma once

#include "record/container.hpp"

#include <gst/gst.h>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace discord {

class TrackWriter;
using record::Format;

enum class Layout { Tracks, Mix, Both };

// kbit/s. LAME keeps up to 511 bytes of its bit reservoir back; a frame of MP3 is larger from here
// on, so that one frame less is lost when the recorder is killed (docs/numbers.md).
constexpr unsigned default_bitrate = 192;
constexpr unsigned least_bitrate = 32;
constexpr unsigned most_bitrate = 320;

// An element a recording needs, and the Debian package it is in.
struct Need {
  const char* factory;
  const char* package;
};
std::vector<Need> needs_of(Format format, Layout layout);
// The same for the one Matroska file that is made of a journal.
std::vector<Need> needs_of_matroska();

// The element of this format that has settings, named `encoder`, with the recorder's own ones;
// floating. None where nothing is encoded.
GstElement* make_encoder(Format format, unsigned bitrate);
// Gives `to` every setting of `from`, which is of the same kind.
void copy_settings(GstElement* from, GstElement* to);

// Elements of a bin that are made, linked and started together.
class Chain {
 public:
  explicit Chain(GstBin* bin) : bin_(bin) {}

  // Appends the element, linked to the one before; a null one makes start() fail.
  GstElement* add(GstElement* element);
  GstElement* add(const char* factory) { return add(gst_element_factory_make(factory, nullptr)); }
  // What follows is linked to `element` instead.
  void branch_off(GstElement* element);
  GstElement* first() const { return parts_.empty() ? nullptr : parts_.front().element; }
  // From the ends upwards, so that nothing runs into an element that is not ready. The error is a
  // sentence.
  std::optional<std::string> start();

 private:
  struct Part {
    GstElement* element;
    GstElement* upstream;
  };
  GstBin* bin_;
  std::vector<Part> parts_;
  GstElement* last_ = nullptr;
  bool complete_ = true;
};

// RTP to samples on the common timeline: decoder where it is needed, and audiorate, which is
// returned. `raw`: decoded already. `skip_to_first`: begins with the first frame instead of zero.
GstElement* add_samples(Chain& chain, bool raw, bool skip_to_first);
// Samples to a file: encoder with the settings of `encoder`, muxer, writer.
void add_encoder(Chain& chain, Format format, GstElement* encoder, GstElement* sink);
// `oggmux` with pages so short that little waits in it.
GstElement* make_oggmux();
// `oggmux` behind GstDiscordOpusFill, which says where a page begins.
GstElement* make_track_mux();

}  // namespace discord
