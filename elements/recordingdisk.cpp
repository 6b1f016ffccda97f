// SPDX-License-Identifier: LGPL-2.1-or-later
// What a recording does when the disk takes no more: files end, and go on as new parts later.
#include "elements/recording.hpp"
#include "elements/recordreport.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace discord {

namespace {

// What a disk must have before recording goes on: a minute of ten speakers, not a few more pages.
constexpr std::uint64_t enough_space = 8 * 1024 * 1024;
// A new part starts on a multiple of this, which every format can.
constexpr std::int64_t part_grid = 120;

}  // namespace

bool Recording::is_full(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

void Recording::look_at_disk() {
  std::vector<OutputPtr> outputs;
  bool waiting = false;
  {
    Lock lock(mutex_);
    outputs = outputs_;
    waiting = !waiting_.empty() && !eos_seqnum_ && !stopping_;
  }
  for (const OutputPtr& o : outputs) {
    if (o->deleted() && o->give_up()) {
      interrupt(o, "Somebody deleted the file.");
      waiting = true;
    }
  }
  if (waiting && folder_there() && settings_.disk->free_bytes(folder_.fd.get()) >= enough_space) {
    resume();
  }
}

// Streaming thread of a file.
void Recording::file_failed(const OutputPtr& output) {
  if (!output->give_up()) {
    return;
  }
  manager_.post([this, output] {
    const int error = output->error();
    if (is_full(error)) {
      interrupt(output, std::string(g_strerror(error)) + ".");
      if (error == EFBIG) {
        resume();  // it is this file that is too long, not the disk that is full
      }
      return;
    }
    {
      Lock lock(mutex_);
      failed_++;
    }
    report_stopped(GST_ELEMENT(bin_), *output, others_go_on(output),
                   std::string(g_strerror(error)) + ".");
    close(output);
  });
}

// Completes the file of a track that goes on in another one later.
void Recording::interrupt(const OutputPtr& output, const std::string& reason) {
  const auto branch = std::dynamic_pointer_cast<RecordBranch>(output);
  const std::string path = output->path();
  const bool begun = !path.empty();
  // A part that could not begin is tried again under its number; part 1 begins with the recording.
  const unsigned next = std::max(output->part() + (begun ? 1U : 0U), 2U);
  bool first = false;
  {
    Lock lock(mutex_);
    waiting_.push_back({branch ? ref_object(branch->pad()) : ObjectPtr<GstPad>(),
                        branch ? branch->log() : nullptr, next});
    first = !std::exchange(waited_for_space_, true);
  }
  if (!branch) {
    context()->mix->set_output(nullptr);
  }
  if (first || !is_full(output->error())) {
    report_warning(
        GST_ELEMENT(bin_),
        "The recording of " + output->who() +
            (begun ? " to " + path + " is interrupted: " + reason +
                         " What was written is kept, and the recording goes on in a new "
                         "file as soon as that is possible."
                   : " cannot begin: " + reason + " It does as soon as that is possible."));
  }
  if (begun || output->part() == 1) {
    record_.event({now(), "interrupted", branch ? branch->user_id() : 0, reason, 0, 0});
  }
  close(output);
}

// While the pad has no branch that takes anything: what comes is in no file. Once for each pad, for
// the next time as well.
void Recording::count_unwritten(GstPad* pad, const SpeakerLogPtr& log) {
  static const GQuark counted = g_quark_from_static_string("discord-unwritten");
  if (g_object_get_qdata(G_OBJECT(pad), counted) != nullptr) {
    return;
  }
  g_object_set_qdata(G_OBJECT(pad), counted, pad);
  gst_pad_add_probe(
      pad, static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
      [](GstPad* of, GstPadProbeInfo* info, gpointer data) {
        const ObjectPtr<GstPad> branch(gst_pad_get_peer(of));
        if (!branch || !gst_pad_is_active(branch.get())) {
          const bool list = (info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) != 0;
          static_cast<SpeakerLogPtr*>(data)->get()->unwritten(
              list ? gst_buffer_list_length(GST_PAD_PROBE_INFO_BUFFER_LIST(info)) : 1);
        }
        return GST_PAD_PROBE_OK;
      },
      new SpeakerLogPtr(log), [](gpointer data) { delete static_cast<SpeakerLogPtr*>(data); });
}

void Recording::resume() {
  std::vector<Waiting> waiting;
  {
    Lock lock(mutex_);
    if (eos_seqnum_ || stopping_) {
      return;
    }
    waiting.swap(waiting_);
  }
  bool all = true;
  const std::int64_t newest = *context()->newest;
  const std::int64_t offset = (newest + part_grid - 1) / part_grid * part_grid;
  for (Waiting& w : waiting) {
    if (!w.pad) {
      if (start_mix(w.part, context()->mix->position())) {
        record_.event({offset, "resumed", 0, {}, 0, 0});
      } else {
        all = false;
      }
      continue;
    }
    ObjectPtr<GstPad> peer(gst_pad_get_peer(w.pad.get()));
    ObjectPtr<GstElement> parent(gst_pad_get_parent_element(w.pad.get()));
    if (peer || !parent) {
      continue;  // the pad is gone
    }
    const auto branch =
        std::make_shared<RecordBranch>(bin_, w.pad.get(), *context(), w.log, offset, w.part);
    {
      Lock lock(mutex_);
      outputs_.push_back(branch);
    }
    build(branch);
    if (branch->given_up()) {
      all = false;
      continue;
    }
    record_.event({offset, "resumed", 0, {}, 0, 0});
    GST_ELEMENT_INFO(
        bin_, RESOURCE, WRITE,
        ("The recording of %s goes on in %s.", branch->who().c_str(), branch->path().c_str()),
        (nullptr));
  }
  if (all) {
    Lock lock(mutex_);
    waited_for_space_ = false;  // the next time is news again
  }
}

// Makes the folder anew when somebody took it away.
bool Recording::folder_there() {
  if (!folder_is_gone(folder_)) {
    return true;
  }
  Result<RecordFolder, std::string> folder = folder_for(settings_, folder_name_);
  if (!folder.ok()) {
    return false;
  }
  folder_ = std::move(folder).value();
  record_begun_ = false;
  begin_record();
  return true;
}

bool Recording::start_mix(unsigned part, std::int64_t offset) {
  const auto output = std::make_shared<MixOutput>(bin_, context()->settings, offset, part);
  {
    Lock lock(mutex_);
    outputs_.push_back(output);
  }
  build(output);
  if (output->given_up()) {
    return false;
  }
  context()->mix->set_output(output);
  return true;
}

}  // namespace discord
