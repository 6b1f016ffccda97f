// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recording.hpp"

#include "discord/gstptr.hpp"
#include "elements/cook.hpp"
#include "elements/ledgerstats.hpp"
#include "elements/userfilter.hpp"
#include "media/timeline.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

GST_DEBUG_CATEGORY_EXTERN(discordrecordsink_debug);
#define GST_CAT_DEFAULT discordrecordsink_debug

namespace discord {

namespace {

using namespace std::chrono_literals;

constexpr auto tick_interval = 1s;         // of the session record, and of looking at the disk
constexpr auto closing_time = 10s;         // what a disk gets when the state goes down without EOS
constexpr GstClockTime zero_grid = 62500;  // ns; three samples, so that zero lies on a sample
// What a disk must have before recording goes on: a minute of ten speakers, not a few more pages.
constexpr std::uint64_t enough_space = 8 * 1024 * 1024;
// A new part starts on a multiple of this, which every format can.
constexpr std::int64_t part_grid = 120;

std::string utc(const char* format) {
  GDateTime* now = g_date_time_new_now_utc();
  const GCharPtr text(g_date_time_format(now, format));
  g_date_time_unref(now);
  return text.get();
}

bool is_full(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

}  // namespace

Recording::Recording(GstBin* bin, GstElement* demux, GstElement* last_sink)
    : bin_(bin), demux_(demux), last_sink_(last_sink) {}

// --- the manager: one thread that opens, closes and removes, so that no streaming thread waits ---

void Recording::post_job(std::function<void()> job) {
  Lock lock(mutex_);
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

gpointer Recording::manager_main(gpointer self) {
  static_cast<Recording*>(self)->manage();
  return nullptr;
}

void Recording::manage() {
  auto tick_at = std::chrono::steady_clock::now() + tick_interval;
  Lock lock(mutex_);
  while (!quit_ || !jobs_.empty()) {
    if (!jobs_.empty()) {
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
      continue;
    }
    if (changed_.wait_until(lock.native(), tick_at) == std::cv_status::timeout) {
      lock.unlock();
      tick();
      // A record that has grown long is written less often: 100 kB/s at most.
      tick_at = std::chrono::steady_clock::now() + tick_interval * (1 + record_.bytes() / 100000);
      lock.lock();
    }
  }
}

void Recording::tick() {
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
  write_record(false);
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
  if (output->give_up()) {
    {
      Lock lock(mutex_);
      failed_++;
    }
    warn_stopped(*output, nullptr, *problem, nullptr, others_go_on(output));
  }
  close(output);
}

void Recording::close(const OutputPtr& output) {
  if (output->closed()) {
    return;
  }
  output->close();
  if (const auto branch = std::dynamic_pointer_cast<RecordBranch>(output)) {
    branch->log()->add(output->counts());
  }
  if (output->kept()) {
    note_file(output, true);
    post_file_message(output);
  }
  {
    Lock lock(mutex_);
    std::erase(outputs_, output);
    files_ += output->kept() ? 1 : 0;
    const auto branch = dynamic_cast<const RecordBranch*>(output.get());
    const std::int64_t begin = branch != nullptr ? branch->begin() : output->offset();
    longest_ = std::max(longest_,
                        output->duration() +
                            static_cast<GstClockTime>(media::duration_from_samples(begin).count()));
  }
  end_when_done();
}

void Recording::note_file(const OutputPtr& output, bool complete) {
  const auto branch = std::dynamic_pointer_cast<RecordBranch>(output);
  const std::string path = output->path();
  if (branch && !path.empty()) {
    branch->log()->identify(branch->user_id(), branch->ssrc(), branch->name());
    branch->log()->file(
        {path.substr(path.rfind('/') + 1), branch->begin(), branch->samples(), complete});
  }
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
  write_record(true);
  finish_journal();
  ObjectPtr<GstPad> pad(gst_element_get_static_pad(last_sink_, "sink"));
  GstEvent* eos = gst_event_new_eos();
  gst_event_set_seqnum(eos, seqnum);
  gst_pad_send_event(pad.get(), gst_event_new_stream_start("discordrecordsink"));
  gst_pad_send_event(pad.get(), eos);
}

// --- a disk that takes no more ---

// Streaming thread of a file.
void Recording::file_failed(const OutputPtr& output) {
  if (!output->give_up()) {
    return;
  }
  post_job([this, output] {
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
    warn_stopped(*output, nullptr, std::string(g_strerror(error)) + ".", nullptr,
                 others_go_on(output));
    close(output);
  });
}

// Completes the file of a track that goes on in another one later.
void Recording::interrupt(const OutputPtr& output, const std::string& reason) {
  const auto branch = std::dynamic_pointer_cast<RecordBranch>(output);
  bool first = false;
  {
    Lock lock(mutex_);
    waiting_.push_back({branch ? ref_object(branch->pad()) : ObjectPtr<GstPad>(),
                        branch ? branch->log() : nullptr, output->part() + 1});
    first = !std::exchange(waited_for_space_, true);
  }
  if (!branch) {
    context()->mix->set_output(nullptr);
  }
  if (first || !is_full(output->error())) {
    warn("The recording of " + output->who() + " to " + output->path() +
             " is interrupted: " + reason +
             " What was written is kept, the call goes on, and recording resumes in a new "
             "file as soon as that is possible.",
         nullptr, nullptr);
  }
  record_.event({now(), "interrupted", branch ? branch->user_id() : 0, reason, 0, 0});
  close(output);
}

void Recording::resume() {
  std::vector<Waiting> waiting;
  {
    Lock lock(mutex_);
    if (eos_seqnum_ || stopping_) {
      return;
    }
    waiting.swap(waiting_);
    waited_for_space_ = false;
  }
  const std::int64_t newest = *context()->newest;
  const std::int64_t offset = (newest + part_grid - 1) / part_grid * part_grid;
  for (Waiting& w : waiting) {
    record_.event({offset, "resumed", 0, {}, 0, 0});
    if (!w.pad) {
      start_mix(w.part, context()->mix->position());
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
    if (!branch->given_up()) {
      GST_ELEMENT_INFO(
          bin_, RESOURCE, WRITE,
          ("The recording of %s goes on in %s.", branch->who().c_str(), branch->path().c_str()),
          (nullptr));
    }
  }
}

// Makes the folder anew when somebody took it away.
bool Recording::folder_there() {
  if (!folder_is_gone(folder_)) {
    return true;
  }
  Result<RecordFolder, std::string> folder = open_record_folder(settings_.location);
  if (folder.ok() && !settings_.flat) {
    folder = make_record_folder(*folder, folder_name_);
  }
  if (!folder.ok()) {
    return false;
  }
  folder_ = std::move(folder).value();
  record_begun_ = false;
  begin_record();
  return true;
}

void Recording::start_mix(unsigned part, std::int64_t offset) {
  const auto output = std::make_shared<MixOutput>(bin_, context()->settings, offset, part);
  {
    Lock lock(mutex_);
    outputs_.push_back(output);
  }
  build(output);
  if (!output->given_up()) {
    context()->mix->set_output(output);
  }
}

// --- the session record ---

void Recording::begin_record() {
  if (record_begun_ || !context()) {
    return;
  }
  record_begun_ = true;
  if (const std::string problem = record_.begin(folder_, started_at_, *context()->settings);
      !problem.empty()) {
    warn("There is no record of the session. " + problem, nullptr, nullptr);
  }
}

void Recording::write_record(bool complete) {
  if (!record_begun_) {
    return;
  }
  SessionRecord::Open open;
  std::vector<OutputPtr> outputs;
  {
    Lock lock(mutex_);
    outputs = outputs_;
  }
  for (const OutputPtr& o : outputs) {
    if (const auto branch = std::dynamic_pointer_cast<RecordBranch>(o)) {
      open.emplace_back(branch->log(), &o->counts());
      note_file(o, false);
    }
  }
  const std::int64_t length = *context()->newest;
  if (!complete && length == record_length_) {
    return;  // nothing happened
  }
  record_length_ = length;
  if (!record_.write(folder_, length, open, complete)) {
    GST_DEBUG_OBJECT(bin_, "session record not written");  // what ails the disk is said elsewhere
  }
}

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

void Recording::on_news(const CallNews& news) {
  if (news.what != CallNews::What::encryption &&
      !is_heard(ObjectPtr<GstPad>(gst_element_get_static_pad(demux_, "sink")).get(), news.user)) {
    return;
  }
  const std::int64_t at = now();
  switch (news.what) {
    case CallNews::What::joined:
      record_.event({at, "joined", news.user, {}, 0, 0});
      break;
    case CallNews::What::left:
      record_.event({at, "left", news.user, {}, 0, 0});
      break;
    case CallNews::What::encryption:
      record_.event({at, "encryption", 0, news.privacy_code, news.version, news.epoch});
      break;
  }
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
  if (const auto tap = journal()) {
    tap->mark(label);
  }
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
  s->from_first = settings_.from_first;
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
  }
  Lock lock(mutex_);
  context_ = fresh;
  if (fresh->mix) {
    for (const auto& [user, gain] : gains_) {
      fresh->mix->set_gain(user, gain);
    }
    jobs_.push_back([this] { start_mix(1, 0); });
  }
  return fresh;
}

void Recording::add_speaker(GstPad* pad) {
  if (settings_.matroska) {
    return;  // made from the journal at the end, since matroskamux takes no track later
  }
  const auto decided = common_context();
  auto branch = std::make_shared<RecordBranch>(bin_, pad, *decided, record_.speaker(), 0, 1);
  {
    Lock lock(mutex_);
    outputs_.push_back(branch);
  }
  post_job([this, branch] { build(branch); });
}

void Recording::stream_ended(guint32 seqnum) {
  {
    Lock lock(mutex_);
    eos_seqnum_ = seqnum;
  }
  post_job([this] { end_when_done(); });
}

// --- the journal ---

bool Recording::start_journal() {
  if (!settings_.journal && !settings_.matroska) {
    return true;
  }
  ObjectPtr<GstPad> pad(gst_element_get_static_pad(demux_, "sink"));
  auto tap = JournalTap::create(GST_ELEMENT(bin_), pad.get(), folder_, [this] {
    const OutputSettingsPtr s = common_context()->settings;
    return JournalTap::Zero{s->zero, s->live};
  });
  if (!tap.ok()) {
    GST_ELEMENT_ERROR(bin_, RESOURCE, OPEN_WRITE, ("%s", tap.error().c_str()), (nullptr));
    return false;
  }
  Lock lock(mutex_);
  journal_ = std::move(tap).value();
  return true;
}

void Recording::finish_journal() {
  std::shared_ptr<JournalTap> journal;
  GstClockTime longest;
  {
    Lock lock(mutex_);
    journal.swap(journal_);
    longest = longest_;
  }
  if (!journal) {
    return;
  }
  longest = std::max(longest, journal->length());
  journal->finish(longest);
  if (settings_.matroska && longest > 0) {
    cook(journal->path());
  }
}

void Recording::cook(const std::string& journal) {
  GstElement* element = GST_ELEMENT(bin_);
  const auto progress = [element](GstProgressType type, const std::string& text) {
    gst_element_post_message(
        element, gst_message_new_progress(GST_OBJECT(element), type, "cook", text.c_str()));
  };
  progress(GST_PROGRESS_TYPE_START, "Making the Matroska file");
  const auto cooked = cook_matroska(journal, folder_, "recording", [&](double part) {
    progress(GST_PROGRESS_TYPE_CONTINUE,
             "Making the Matroska file: " + std::to_string(static_cast<int>(part * 100)) + " %");
  });
  if (!cooked.ok()) {
    progress(GST_PROGRESS_TYPE_ERROR, cooked.error());
    GST_ELEMENT_WARNING(element, RESOURCE, WRITE,
                        ("%s The journal %s is kept; discord-recover makes the file from it.",
                         cooked.error().c_str(), journal.c_str()),
                        (nullptr));
    return;
  }
  progress(GST_PROGRESS_TYPE_COMPLETE, "The Matroska file is complete");
  {
    Lock lock(mutex_);
    files_++;
  }
  GstStructure* s = gst_structure_new("discord-file", "path", G_TYPE_STRING, cooked->path.c_str(),
                                      "user-id", G_TYPE_UINT64, G_GUINT64_CONSTANT(0), "ssrc",
                                      G_TYPE_UINT, 0U, "duration", G_TYPE_UINT64, cooked->duration,
                                      "tracks", G_TYPE_UINT, cooked->tracks, nullptr);
  gst_element_post_message(element, gst_message_new_element(GST_OBJECT(element), s));
  if (!settings_.journal && cooked->damaged == 0) {
    remove_recorded_file(folder_, journal);
  }
}

std::shared_ptr<JournalTap> Recording::journal() const {
  Lock lock(mutex_);
  return journal_;
}

// --- messages ---

void Recording::post_file_message(const OutputPtr& output) const {
  const RecordOutput& b = *output;
  const OutputCounts& c = b.counts();
  StructurePtr ledger(gst_structure_new(
      "ledger", "num-buffers", G_TYPE_UINT64, c.buffers.load(), "num-silence", G_TYPE_UINT64,
      c.silence.load(), "num-lost", G_TYPE_UINT64, c.lost.load(), "num-recovered", G_TYPE_UINT64,
      c.recovered.load(), "num-concealed", G_TYPE_UINT64, c.concealed.load(), "num-gaps",
      G_TYPE_UINT64, c.gaps.load(), "num-dropped", G_TYPE_UINT64, c.dropped.load(), nullptr));
  const auto branch = std::dynamic_pointer_cast<RecordBranch>(output);
  const std::int64_t begin = branch ? branch->begin() : b.offset();
  const std::string verdict = branch ? branch->log()->verdict(nullptr) : std::string();
  GstStructure* s = gst_structure_new(
      "discord-file", "path", G_TYPE_STRING, b.path().c_str(), "user-id", G_TYPE_UINT64,
      b.user_id(), "ssrc", G_TYPE_UINT, b.ssrc(), "duration", G_TYPE_UINT64, b.duration(), "offset",
      G_TYPE_UINT64,
      static_cast<guint64>(media::duration_from_samples(std::max<std::int64_t>(begin, 0)).count()),
      "part", G_TYPE_UINT, b.part(), "mix", G_TYPE_BOOLEAN, gboolean{branch == nullptr}, "verdict",
      G_TYPE_STRING, verdict.c_str(), "ledger", GST_TYPE_STRUCTURE, ledger.get(), nullptr);
  gst_element_post_message(GST_ELEMENT(bin_), gst_message_new_element(GST_OBJECT(bin_), s));
}

bool Recording::others_go_on(const OutputPtr& output) const {
  Lock lock(mutex_);
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [&](const OutputPtr& o) { return o != output && !o->given_up(); });
}

void Recording::warn(const std::string& text, const GError* cause, const gchar* debug) const {
  const GErrorPtr error(g_error_new_literal(
      cause != nullptr ? cause->domain : GST_RESOURCE_ERROR,
      cause != nullptr ? cause->code : static_cast<gint>(GST_RESOURCE_ERROR_WRITE), text.c_str()));
  GST_WARNING_OBJECT(bin_, "%s (%s)", text.c_str(), debug != nullptr ? debug : "");
  gst_element_post_message(GST_ELEMENT(bin_),
                           gst_message_new_warning(GST_OBJECT(bin_), error.get(), debug));
}

void Recording::warn_stopped(const RecordOutput& b, const GError* cause, const std::string& reason,
                             const gchar* debug, bool others) const {
  warn("The recording of " + b.who() + (b.path().empty() ? std::string() : " to " + b.path()) +
           " has stopped; " +
           (others ? "the other speakers go on. " : "nobody else is being recorded. ") + reason,
       cause, debug);
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
  warn_stopped(*output, error.get(), error->message, debug.get(), others_go_on(output));
  post_job([this, output] { close(output); });
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
    post_job([this, output] { close(output); });
  }
  return true;
}

// --- beginning and end ---

bool Recording::possible(const RecordSettings& settings) const {
  for (const Need& need :
       settings.matroska ? needs_of_matroska() : needs_of(settings.format, settings.layout)) {
    ObjectPtr<GstElementFactory> factory(gst_element_factory_find(need.factory));
    if (!factory) {
      GST_ELEMENT_ERROR(bin_, CORE, MISSING_PLUGIN,
                        ("The element %s is missing. On Debian it is in the package %s.",
                         need.factory, need.package),
                        (nullptr));
      return false;
    }
  }
  if (settings.location.empty()) {
    GST_ELEMENT_ERROR(bin_, RESOURCE, NOT_FOUND,
                      ("No folder to record to. Set location to one; it is created if missing."),
                      (nullptr));
    return false;
  }
  const Result<RecordFolder, std::string> folder = open_record_folder(settings.location);
  if (!folder.ok()) {
    GST_ELEMENT_ERROR(bin_, RESOURCE, OPEN_WRITE,
                      ("%s Set location to a folder you may write to.", folder.error().c_str()),
                      (nullptr));
    return false;
  }
  return true;
}

bool Recording::start(const RecordSettings& settings, GstElement* encoder) {
  ObjectPtr<GstPad> sinkpad(gst_element_get_static_pad(GST_ELEMENT(bin_), "sink"));
  session_.reset(gst_discord_session_find(sinkpad.get()));
  const std::uint64_t channel = session_ ? call_state(session_.get()).channel() : 0;
  started_at_ = utc("%Y-%m-%dT%H:%M:%SZ");
  folder_name_ = utc("%Y%m%dT%H%M%SZ-") + (channel != 0 ? std::to_string(channel) : "call");
  Result<RecordFolder, std::string> folder = open_record_folder(settings.location);
  if (folder.ok() && !settings.flat) {
    folder = make_record_folder(*folder, folder_name_);
  }
  if (!folder.ok()) {
    GST_ELEMENT_ERROR(bin_, RESOURCE, OPEN_WRITE,
                      ("%s Set location to a folder you may write to.", folder.error().c_str()),
                      (nullptr));
    return false;
  }
  settings_ = settings;
  encoder_ = encoder != nullptr ? ref_object(encoder) : ObjectPtr<GstElement>();
  folder_ = std::move(folder).value();
  record_.reset();
  record_begun_ = false;
  record_length_ = -1;
  if (settings_.matroska) {
    settings_.layout = Layout::Tracks;
  }
  std::vector<std::string> marks;
  {
    Lock lock(mutex_);
    quit_ = stopping_ = eos_sent_ = mix_ended_ = waited_for_space_ = false;
    eos_seqnum_.reset();
    waiting_.clear();
    context_.reset();
    played_at_ = GST_CLOCK_TIME_NONE;
    files_ = failed_ = 0;
    longest_ = 0;
    started_ = true;
    marks.swap(early_marks_);
  }
  if (!start_journal()) {
    Lock lock(mutex_);
    started_ = false;
    early_marks_ = std::move(marks);
    return false;
  }
  for (const std::string& label : marks) {
    mark(label);
  }
  manager_ = g_thread_new("discord-record", manager_main, this);
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
  ObjectPtr<GstPad> pad(gst_element_get_static_pad(demux_, "sink"));
  gst_pad_send_event(pad.get(), gst_event_new_eos());  // refused when there has been one: as good
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
  if (manager_ == nullptr) {
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
      jobs_.push_back([this, b] { close(b); });
    }
    jobs_.push_back([this] { write_record(true); });
    quit_ = true;
    changed_.notify_all();
  }
  g_thread_join(std::exchange(manager_, nullptr));
  finish_journal();
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
  for (const OutputPtr& b : outputs) {
    const OutputCounts& c = b->counts();
    rows.push_back(gst_structure_new(
        "file", "user-id", G_TYPE_UINT64, b->user_id(), "ssrc", G_TYPE_UINT, b->ssrc(), "path",
        G_TYPE_STRING, b->path().c_str(), "bytes", G_TYPE_UINT64, b->bytes(), "num-buffers",
        G_TYPE_UINT64, c.buffers.load(), "num-lost", G_TYPE_UINT64, c.lost.load(), "num-dropped",
        G_TYPE_UINT64, c.dropped.load(), nullptr));
  }
  add_list(stats, "files", rows);
  if (const auto tap = journal()) {
    StructurePtr row(tap->stats());
    gst_structure_set(stats, "journal", GST_TYPE_STRUCTURE, row.get(), nullptr);
  }
  return stats;
}

}  // namespace discord
