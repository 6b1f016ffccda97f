// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recording.hpp"

#include "discord/gstptr.hpp"
#include "elements/ledgerstats.hpp"
#include "elements/recordreport.hpp"
#include "elements/userfilter.hpp"
#include "media/timeline.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

GST_DEBUG_CATEGORY_EXTERN(discordrecordsink_debug);
#define GST_CAT_DEFAULT discordrecordsink_debug

namespace discord {

namespace {

using namespace std::chrono_literals;

constexpr auto tick_interval = 1s;  // of the session record, and of looking at the disk
// Of the thread that writes tracks which are not decoded: what a killed recorder loses by it is at
// most one more packet.
constexpr auto rest = 15ms;
constexpr auto closing_time = 10s;         // what a disk gets when the state goes down without EOS
constexpr GstClockTime zero_grid = 62500;  // ns; three samples, so that zero lies on a sample

std::string utc(const char* format) {
  GDateTime* now = g_date_time_new_now_utc();
  const GCharPtr text(g_date_time_format(now, format));
  g_date_time_unref(now);
  return text.get();
}

}  // namespace

Recording::Recording(GstBin* bin, GstElement* demux, GstElement* last_sink)
    : bin_(bin),
      last_sink_(last_sink),
      demux_sink_(gst_element_get_static_pad(demux, "sink")),
      manager_("discord-record", tick_interval, [this] { return tick(); }),
      journal_(GST_ELEMENT(bin), demux_sink_.get()) {}

// --- the manager: one thread that opens, closes and removes, so that no streaming thread waits ---

std::chrono::milliseconds Recording::tick() {
  look_at_disk();
  write_record(false);
  // A record that has grown long is written less often: 100 kB/s at most.
  return tick_interval * (1 + record_.bytes() / 100000);
}

void Recording::build(const OutputPtr& output) {
  begin_record();
  std::weak_ptr<RecordOutput> weak = output;
  const auto failed = [this, weak] {
    if (const OutputPtr o = weak.lock()) {
      file_failed(o);
    }
  };
  std::optional<std::string> problem = output->build(folder_, failed);
  if (problem && !output->given_up() && folder_there()) {
    // The folder may have been taken away meanwhile, and be there again.
    if (output->path().empty()) {
      problem = output->build(folder_, failed);
    }
  }
  if (!problem) {
    GST_DEBUG_OBJECT(bin_, "recording %s to %s", output->who().c_str(), output->path().c_str());
    note_file(output, false);
    return;
  }
  if (!output->give_up()) {
    close(output);
    return;
  }
  if (is_full(output->error())) {
    // Who begins to speak while the disk is full is recorded once there is space, as others are.
    interrupt(output, std::string(g_strerror(output->error())) + ".");
    return;
  }
  {
    Lock lock(mutex_);
    failed_++;
  }
  report_stopped(GST_ELEMENT(bin_), *output, others_go_on(output), *problem);
  close(output);
}

void Recording::close(const OutputPtr& output) {
  if (output->closed()) {
    return;
  }
  const auto branch = std::dynamic_pointer_cast<RecordBranch>(output);
  if (branch && branch->given_up()) {
    // While the branch is there it counts itself.
    branch->log()->identify(branch->user_id(), branch->ssrc(), branch->name());
    count_unwritten(branch->pad(), branch->log());
  }
  output->close();
  if (branch) {
    branch->log()->add(output->counts());
  }
  if (output->kept()) {
    note_file(output, true);
    report_file(GST_ELEMENT(bin_), output);
  } else if (const std::string path = output->path(); branch && !path.empty()) {
    branch->log()->no_file(path.substr(path.rfind('/') + 1));
  }
  {
    Lock lock(mutex_);
    std::erase(outputs_, output);
    files_ += output->kept() ? 1 : 0;
    const std::int64_t begin = branch ? branch->begin() : output->offset();
    longest_ = std::max(longest_,
                        output->duration() +
                            static_cast<GstClockTime>(media::duration_from_samples(begin).count()));
  }
  end_when_done();
}

// The mix ends when every speaker has, the whole when the mix has.
void Recording::end_when_done() {
  guint32 seqnum = 0;
  bool end_mix = false;
  std::shared_ptr<RecordMix> mix;
  {
    Lock lock(mutex_);
    changed_.notify_all();
    if (!eos_seqnum_ || eos_sent_) {
      return;
    }
    for (const OutputPtr& o : outputs_) {
      if (dynamic_cast<RecordBranch*>(o.get()) != nullptr) {
        return;
      }
    }
    if (!outputs_.empty()) {
      end_mix = !std::exchange(mix_ended_, true);
      if (!end_mix) {
        return;
      }
    } else {
      if (stopping_) {
        return;
      }
      eos_sent_ = true;
      seqnum = *eos_seqnum_;
    }
  }
  if (end_mix) {
    context()->mix->end(*context()->newest);
    return;
  }
  finish_journal();
  write_record(true);
  ObjectPtr<GstPad> pad(gst_element_get_static_pad(last_sink_, "sink"));
  GstEvent* eos = gst_event_new_eos();
  gst_event_set_seqnum(eos, seqnum);
  gst_pad_send_event(pad.get(), gst_event_new_stream_start("discordrecordsink"));
  gst_pad_send_event(pad.get(), eos);
}

// --- time, marks and gains ---

std::shared_ptr<const BranchContext> Recording::context() const {
  Lock lock(mutex_);
  return context_;
}

// Samples since the start of the recording.
std::int64_t Recording::now() const {
  const auto decided = context();
  GstClockTime zero = GST_CLOCK_TIME_NONE;
  {
    Lock lock(mutex_);
    zero = played_at_;
  }
  ObjectPtr<GstClock> clock(gst_element_get_clock(GST_ELEMENT(bin_)));
  if (!clock || !GST_CLOCK_TIME_IS_VALID(zero) || (decided && !decided->settings->live)) {
    return decided ? decided->newest->load() : 0;
  }
  const auto time = static_cast<std::int64_t>(gst_clock_get_time(clock.get())) -
                    static_cast<std::int64_t>(gst_element_get_base_time(GST_ELEMENT(bin_))) -
                    static_cast<std::int64_t>(zero / zero_grid * zero_grid);
  return std::max<std::int64_t>(media::samples_from_duration(Duration(time)), 0);
}

bool Recording::is_denied(guint64 user) const {
  return heard_upstream(demux_sink_.get(), user) == media::Admission::denied;
}

void Recording::mark(const std::string& label) {
  {
    Lock lock(mutex_);
    if (!started_) {
      early_marks_.push_back(label);
      return;
    }
  }
  record_.event({now(), "mark", 0, label, 0, 0});
  journal_.mark(label);
}

void Recording::set_gain(guint64 user, double gain) {
  Lock lock(mutex_);
  gains_[user] = gain;
  if (context_ && context_->mix) {
    context_->mix->set_gain(user, gain);
  }
}

// --- streaming thread ---

OutputSettingsPtr Recording::decide_settings() const {
  auto s = std::make_shared<OutputSettings>();
  QueryPtr query(gst_query_new_latency());
  gboolean live = FALSE;
  ObjectPtr<GstPad> sinkpad(gst_element_get_static_pad(GST_ELEMENT(bin_), "sink"));
  if (gst_pad_peer_query(sinkpad.get(), query.get())) {
    gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
  }
  s->live = live != FALSE;
  s->format = settings_.format;
  s->layout = settings_.layout;
  s->matroska = settings_.matroska;
  s->from_first = settings_.from_first && !settings_.matroska;
  s->bitrate = settings_.bitrate;
  s->riff_limit = settings_.riff_limit;
  s->disk = settings_.disk;
  if (encoder_) {
    s->encoder = ref_object(encoder_.get());
  }
  Lock lock(mutex_);
  if (s->live && GST_CLOCK_TIME_IS_VALID(played_at_)) {
    s->zero = played_at_ / zero_grid * zero_grid;
  }
  return s;
}

std::shared_ptr<const BranchContext> Recording::common_context() {
  if (auto decided = context()) {
    return decided;
  }
  auto fresh = std::make_shared<BranchContext>();
  fresh->settings = decide_settings();
  fresh->newest = std::make_shared<std::atomic<std::int64_t>>(0);
  if (fresh->settings->layout != Layout::Tracks) {
    fresh->mix = std::make_shared<RecordMix>();
  } else if (fresh->settings->format == Format::ogg) {
    fresh->turns = std::make_shared<BranchThread>(fresh->settings->live ? rest : 0ms);
  }
  Lock lock(mutex_);
  context_ = fresh;
  if (fresh->mix) {
    for (const auto& [user, gain] : gains_) {
      fresh->mix->set_gain(user, gain);
    }
    manager_.post([this] { start_mix(1, 0); });
  }
  return fresh;
}

void Recording::add_speaker(GstPad* pad) {
  const auto decided = common_context();
  auto branch = std::make_shared<RecordBranch>(bin_, pad, *decided, record_.speaker(), 0, 1);
  {
    Lock lock(mutex_);
    outputs_.push_back(branch);
  }
  manager_.post([this, branch] { build(branch); });
}

void Recording::stream_ended(guint32 seqnum) {
  {
    Lock lock(mutex_);
    eos_seqnum_ = seqnum;
  }
  manager_.post([this] { end_when_done(); });
}

void Recording::finish_journal() {
  GstClockTime longest;
  {
    Lock lock(mutex_);
    longest = longest_;
  }
  const std::string made =
      journal_.finish(folder_, {longest, settings_.matroska, settings_.journal});
  if (made.empty()) {
    return;
  }
  matroska_made_ = true;
  for (const SpeakerLogPtr& log : record_.speakers()) {
    log->file({made, 0, static_cast<std::uint64_t>(*context()->newest), true});
  }
  Lock lock(mutex_);
  files_++;
}

// --- messages ---

bool Recording::others_go_on(const OutputPtr& output) const {
  Lock lock(mutex_);
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [&](const OutputPtr& o) { return o != output && !o->given_up(); });
}

OutputPtr Recording::output_of(GstObject* object) const {
  Lock lock(mutex_);
  for (const OutputPtr& b : outputs_) {
    auto* bin = GST_OBJECT(b->bin());
    if (object == bin || gst_object_has_as_ancestor(object, bin)) {
      return b;
    }
  }
  return nullptr;
}

// A branch fails alone: its error becomes a warning of the recorder and the branch is taken out.
void Recording::contain(const OutputPtr& output, GstMessage* message) {
  if (!output->give_up()) {
    return;  // the rest of the branch complains about the same failure
  }
  GError* raw_error = nullptr;
  gchar* raw_debug = nullptr;
  gst_message_parse_error(message, &raw_error, &raw_debug);
  const GErrorPtr error(raw_error);
  const GCharPtr debug(raw_debug);
  {
    Lock lock(mutex_);
    failed_++;
  }
  report_stopped(GST_ELEMENT(bin_), *output, others_go_on(output), error->message, error.get(),
                 debug.get());
  manager_.post([this, output] { close(output); });
}

bool Recording::take_message(GstMessage* message) {
  const GstMessageType type = GST_MESSAGE_TYPE(message);
  if (type != GST_MESSAGE_WARNING && type != GST_MESSAGE_ERROR && type != GST_MESSAGE_EOS) {
    return false;
  }
  const OutputPtr output = output_of(GST_MESSAGE_SRC(message));
  // The warning: an encoder misses its end; why it has none has been said.
  if (!output || (type == GST_MESSAGE_WARNING && !output->given_up())) {
    return false;
  }
  const MessagePtr owned(message);
  if (type == GST_MESSAGE_ERROR) {
    contain(output, message);
  } else if (type == GST_MESSAGE_EOS && output->give_up()) {
    manager_.post([this, output] { close(output); });
  }
  return true;
}

// --- beginning and end ---

bool Recording::start(const RecordSettings& settings, GstElement* encoder) {
  ObjectPtr<GstPad> sinkpad(gst_element_get_static_pad(GST_ELEMENT(bin_), "sink"));
  session_.reset(gst_discord_session_find(sinkpad.get()));
  const std::uint64_t channel = session_ ? call_state(session_.get()).channel() : 0;
  started_at_ = utc("%Y-%m-%dT%H:%M:%SZ");
  folder_name_ = utc("%Y%m%dT%H%M%SZ-") + (channel != 0 ? std::to_string(channel) : "call");
  Result<RecordFolder, std::string> folder = folder_for(settings, folder_name_);
  if (!folder.ok()) {
    GST_ELEMENT_ERROR(bin_, RESOURCE, OPEN_WRITE,
                      ("%s Choose a folder you may write to.", folder.error().c_str()),
                      (nullptr));
    return false;
  }
  settings_ = settings;
  encoder_ = encoder != nullptr ? ref_object(encoder) : ObjectPtr<GstElement>();
  folder_ = std::move(folder).value();
  record_.reset();
  record_begun_ = false;
  record_length_ = -1;
  ledgers_off_ = 0;
  matroska_made_ = false;
  if (settings_.matroska) {
    settings_.layout = Layout::Tracks;
  }
  std::vector<std::string> marks;
  {
    Lock lock(mutex_);
    stopping_ = eos_sent_ = mix_ended_ = waited_for_space_ = false;
    eos_seqnum_.reset();
    waiting_.clear();
    context_.reset();
    played_at_ = GST_CLOCK_TIME_NONE;
    files_ = failed_ = 0;
    longest_ = 0;
    started_ = true;
    marks.swap(early_marks_);
  }
  const auto zero = [this] {
    const OutputSettingsPtr s = common_context()->settings;
    return JournalTap::Zero{s->zero, s->live};
  };
  if ((settings_.journal || settings_.matroska) && !journal_.start(folder_, zero)) {
    Lock lock(mutex_);
    started_ = false;
    early_marks_ = std::move(marks);
    return false;
  }
  for (const std::string& label : marks) {
    mark(label);
  }
  manager_.start();
  if (session_) {
    news_id_ =
        call_state(session_.get()).add_news_listener([this](const CallNews& n) { on_news(n); });
  }
  return true;
}

void Recording::played(GstClockTime running_time) {
  Lock lock(mutex_);
  if (!GST_CLOCK_TIME_IS_VALID(played_at_)) {
    played_at_ = running_time;
  }
}

void Recording::finish_files() {
  {
    Lock lock(mutex_);
    stopping_ = true;
  }
  gst_pad_send_event(demux_sink_.get(),
                     gst_event_new_eos());  // refused when there has been one: as good
  Lock lock(mutex_);
  const auto until = std::chrono::steady_clock::now() + closing_time;
  while (!outputs_.empty()) {
    if (changed_.wait_until(lock.native(), until) == std::cv_status::timeout) {
      GST_WARNING_OBJECT(bin_, "%zu files could not be completed in time", outputs_.size());
      break;
    }
  }
}

void Recording::stop() {
  if (!manager_.running()) {
    return;
  }
  if (session_) {
    call_state(session_.get()).remove_news_listener(news_id_);
    session_.reset();
  }
  {
    Lock lock(mutex_);
    started_ = false;
    for (const OutputPtr& b : outputs_) {
      manager_.post([this, b] { close(b); });
    }
  }
  manager_.post([this] {
    finish_journal();
    write_record(true);
  });
  manager_.finish();
  {
    Lock lock(mutex_);
    waiting_.clear();
    context_.reset();
  }
  if (!settings_.flat) {
    remove_if_empty(folder_);  // nobody spoke, or there was no call at all
  }
  folder_ = RecordFolder{};
  record_.reset();
  encoder_.reset();
}

GstStructure* Recording::stats() const {
  std::vector<OutputPtr> outputs;
  GstStructure* stats = nullptr;
  {
    Lock lock(mutex_);
    outputs = outputs_;
    stats = gst_structure_new("application/x-discordrecordsink-stats", "num-files-complete",
                              G_TYPE_UINT, files_, "num-failed", G_TYPE_UINT, failed_,
                              "num-interrupted", G_TYPE_UINT, static_cast<guint>(waiting_.size()),
                              nullptr);
  }
  std::vector<GstStructure*> rows;
  std::set<const SpeakerLog*> open;
  for (const OutputPtr& b : outputs) {
    const auto branch = std::dynamic_pointer_cast<RecordBranch>(b);
    const SpeakerLog* log = branch ? branch->log().get() : nullptr;
    open.insert(log);
    rows.push_back(file_stats(*b, log != nullptr ? log->view().counts.dropped : 0));
  }
  for (const SpeakerLogPtr& log : record_.speakers()) {
    const SpeakerLog::View v = log->view();
    if (v.counts.dropped > 0 && !open.contains(log.get())) {
      rows.push_back(unwritten_stats(v));
    }
  }
  add_list(stats, "files", rows);
  if (StructurePtr row(journal_.stats()); row) {
    gst_structure_set(stats, "journal", GST_TYPE_STRUCTURE, row.get(), nullptr);
  }
  return stats;
}

}  // namespace discord
