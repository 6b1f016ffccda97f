// The elements of a recording.
#pragma once

#include "discord/gstptr.hpp"
#include "liveview.hpp"
#include "record/options.hpp"

#include <optional>
#include <string>

namespace recorder {

struct RecorderPipeline {
  discord::ObjectPtr<GstElement> pipeline;  // none before build()
  discord::ObjectPtr<GstElement> source;
  discord::ObjectPtr<GstElement> decrypt;  // this and the next, or workers
  discord::ObjectPtr<GstElement> reorder;
  discord::ObjectPtr<GstElement> workers;
  discord::ObjectPtr<GstElement> record;

  // Makes them as the options want; the problem is a sentence.
  std::optional<std::string> build(const Options& options);
  pipelines::Chain chain() const {
    return {source.get(), decrypt.get(), reorder.get(), workers.get(), record.get()};
  }
};

}  // namespace recorder
