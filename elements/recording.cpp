// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recording.hpp"

#include "discord/gstptr.hpp"
#include "elements/cook.hpp"
#include "elements/ledgerstats.hpp"

#include <chrono>
#include <utility>

GST_DEBUG_CATEGORY_EXTERN(discordrecordsink_debug);
#define GST_CAT_DEFAULT discordrecordsink_debug

namespace discord {

namespace {

using namespace std::chrono_literals;

constexpr auto header_interval = 5s;       // a recorder that is killed loses no more than this
constexpr auto closing_time = 10s;         // what a disk gets when the state goes down without EOS
constexpr GstClockTime zero_grid = 62500;  // ns; three samples, so that zero lies on a sample

std::string recording_name() {
  GDateTime* now = g_date_time_new_now_utc();
  const GCharPtr text(g_date_time_format(now, "%Y%m%dT%H%M%SZ-call"));
  g_date_time_unref(now);
  return text.get();
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
  auto refresh_at = std::chrono::steady_clock::now() + header_interval;
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
    if (changed_.wait_until(lock.native(), refresh_at) == std::cv_status::timeout) {
      const std::vector<BranchPtr> branches = branches_;
      lock.unlock();
      for (const BranchPtr& b : branches) {
        b->refresh_header();
      }
      refresh_at = std::chrono::steady_clock::now() + header_interval;
      lock.lock();
    }
  }
}

void Recording::build_branch(const BranchPtr& branch) {
  const std::optional<std::string> problem = branch->build(folder_);
  if (!problem) {
    GST_DEBUG_OBJECT(bin_, "recording %s to %s", branch->who().c_str(), branch->path().c_str());
    return;
  }
  if (branch->give_up()) {
    {
      Lock lock(mutex_);
      failed_++;
    }
    warn(*branch, nullptr, *problem, nullptr);
  }
  close_branch(branch, false);
}

void Recording::close_branch(const BranchPtr& branch, bool complete) {
  branch->close(complete);
  if (branch->kept()) {
    post_file_message(*branch);
  }
  {
    Lock lock(mutex_);
    std::erase(branches_, branch);
    files_ += branch->kept() ? 1 : 0;
    longest_ = std::max(longest_, branch->duration());
  }
  end_when_done();
}

void Recording::end_when_done() {
  guint32 seqnum;
  {
    Lock lock(mutex_);
    changed_.notify_all();
    if (!eos_seqnum_ || !branches_.empty() || eos_sent_ || stopping_) {
      return;
    }
    eos_sent_ = true;
    seqnum = *eos_seqnum_;
  }
  finish_journal();
  ObjectPtr<GstPad> pad(gst_element_get_static_pad(last_sink_, "sink"));
  GstEvent* eos = gst_event_new_eos();
  gst_event_set_seqnum(eos, seqnum);
  gst_pad_send_event(pad.get(), gst_event_new_stream_start("discordrecordsink"));
  gst_pad_send_event(pad.get(), eos);
}

// --- streaming thread ---

BranchSettings Recording::decide_settings() const {
  BranchSettings s;
  QueryPtr query(gst_query_new_latency());
  gboolean live = FALSE;
  ObjectPtr<GstPad> sinkpad(gst_element_get_static_pad(GST_ELEMENT(bin_), "sink"));
  if (gst_pad_peer_query(sinkpad.get(), query.get())) {
    gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
  }
  s.live = live != FALSE;
  s.format = settings_.format;
  s.bitrate = settings_.bitrate;
  Lock lock(mutex_);
  if (s.live && GST_CLOCK_TIME_IS_VALID(played_at_)) {
    s.zero = played_at_ / zero_grid * zero_grid;
  }
  return s;
}

const BranchSettings& Recording::common_settings() {
  if (!branch_settings_) {
    branch_settings_ = decide_settings();
  }
  return *branch_settings_;
}

void Recording::add_speaker(GstPad* pad) {
  if (settings_.format == RecordFormat::Mka) {
    return;  // made from the journal at the end, since matroskamux takes no track later
  }
  auto branch = std::make_shared<RecordBranch>(bin_, pad, common_settings());
  {
    Lock lock(mutex_);
    branches_.push_back(branch);
  }
  post_job([this, branch] { build_branch(branch); });
}

void Recording::stream_ended(guint32 seqnum) {
  {
    Lock lock(mutex_);
    eos_seqnum_ = seqnum;
  }
  post_job([this] { end_when_done(); });
}

// --- the journal ---

bool Recording::start_journal(const RecordSettings& settings) {
  if (!settings.journal && settings.format != RecordFormat::Mka) {
    return true;
  }
  ObjectPtr<GstPad> pad(gst_element_get_static_pad(demux_, "sink"));
  auto tap = JournalTap::create(GST_ELEMENT(bin_), pad.get(), folder_, [this] {
    const BranchSettings& s = common_settings();
    return JournalTap::Zero{s.zero, s.live};
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
  if (settings_.format == RecordFormat::Mka && longest > 0) {
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

void Recording::mark(const std::string& label) {
  std::shared_ptr<JournalTap> journal;
  {
    Lock lock(mutex_);
    journal = journal_;
  }
  if (journal) {
    journal->mark(label);
  }
}

// --- messages ---

void Recording::post_file_message(const RecordBranch& b) const {
  const BranchCounts& c = b.counts();
  StructurePtr ledger(gst_structure_new("ledger", "num-buffers", G_TYPE_UINT64, c.buffers.load(),
                                        "num-lost", G_TYPE_UINT64, c.lost.load(), "num-gaps",
                                        G_TYPE_UINT64, c.gaps.load(), "num-dropped", G_TYPE_UINT64,
                                        c.dropped.load(), nullptr));
  GstStructure* s = gst_structure_new("discord-file", "path", G_TYPE_STRING, b.path().c_str(),
                                      "user-id", G_TYPE_UINT64, b.user_id(), "ssrc", G_TYPE_UINT,
                                      b.ssrc(), "duration", G_TYPE_UINT64, b.duration(), "ledger",
                                      GST_TYPE_STRUCTURE, ledger.get(), nullptr);
  gst_element_post_message(GST_ELEMENT(bin_), gst_message_new_element(GST_OBJECT(bin_), s));
}

void Recording::warn(const RecordBranch& b, const GError* cause, const std::string& reason,
                     const gchar* debug) const {
  const std::string text = "The recording of " + b.who() +
                           (b.path().empty() ? std::string() : " to " + b.path()) +
                           " has stopped; the other speakers go on. " + reason;
  const GErrorPtr error(g_error_new_literal(
      cause != nullptr ? cause->domain : GST_RESOURCE_ERROR,
      cause != nullptr ? cause->code : static_cast<gint>(GST_RESOURCE_ERROR_OPEN_WRITE),
      text.c_str()));
  GST_WARNING_OBJECT(bin_, "%s (%s)", text.c_str(), debug != nullptr ? debug : "");
  gst_element_post_message(GST_ELEMENT(bin_),
                           gst_message_new_warning(GST_OBJECT(bin_), error.get(), debug));
}

Recording::BranchPtr Recording::branch_of(GstObject* object) const {
  Lock lock(mutex_);
  for (const BranchPtr& b : branches_) {
    auto* bin = GST_OBJECT(b->bin());
    if (object == bin || gst_object_has_as_ancestor(object, bin)) {
      return b;
    }
  }
  return nullptr;
}

// A branch fails alone: its error becomes a warning of the recorder and the branch is taken out.
void Recording::contain(const BranchPtr& branch, GstMessage* message) {
  if (!branch->give_up()) {
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
  warn(*branch, error.get(), error->message, debug.get());
  post_job([this, branch] { close_branch(branch, false); });
}

bool Recording::take_message(GstMessage* message) {
  const GstMessageType type = GST_MESSAGE_TYPE(message);
  if (type != GST_MESSAGE_WARNING && type != GST_MESSAGE_ERROR && type != GST_MESSAGE_EOS) {
    return false;
  }
  const BranchPtr branch = branch_of(GST_MESSAGE_SRC(message));
  // The warning: wavenc misses its end; why it has none has been said.
  if (!branch || (type == GST_MESSAGE_WARNING && !branch->given_up())) {
    return false;
  }
  const MessagePtr owned(message);
  if (type == GST_MESSAGE_ERROR) {
    contain(branch, message);
  } else if (type == GST_MESSAGE_EOS && branch->give_up()) {
    post_job([this, branch] { close_branch(branch, true); });
  }
  return true;
}

// --- beginning and end ---

bool Recording::possible(const RecordSettings& settings) const {
  for (const RecordBranch::Need& need : RecordBranch::needs(settings.format)) {
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

bool Recording::start(const RecordSettings& settings) {
  Result<RecordFolder, std::string> folder = open_record_folder(settings.location);
  if (folder.ok() && !settings.flat) {
    folder = make_record_folder(*folder, recording_name());
  }
  if (!folder.ok()) {
    GST_ELEMENT_ERROR(bin_, RESOURCE, OPEN_WRITE,
                      ("%s Set location to a folder you may write to.", folder.error().c_str()),
                      (nullptr));
    return false;
  }
  settings_ = settings;
  folder_ = std::move(folder).value();
  branch_settings_.reset();
  if (!start_journal(settings)) {
    return false;
  }
  {
    Lock lock(mutex_);
    longest_ = 0;
    quit_ = stopping_ = eos_sent_ = false;
    eos_seqnum_.reset();
    played_at_ = GST_CLOCK_TIME_NONE;
    files_ = failed_ = 0;
  }
  manager_ = g_thread_new("discord-record", manager_main, this);
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
  while (!branches_.empty()) {
    if (changed_.wait_until(lock.native(), until) == std::cv_status::timeout) {
      GST_WARNING_OBJECT(bin_, "%zu files could not be completed in time", branches_.size());
      break;
    }
  }
}

void Recording::stop() {
  if (manager_ == nullptr) {
    return;
  }
  {
    Lock lock(mutex_);
    for (const BranchPtr& b : branches_) {
      jobs_.push_back([this, b] {
        if (!b->closed()) {
          close_branch(b, false);
        }
      });
    }
    quit_ = true;
    changed_.notify_all();
  }
  g_thread_join(std::exchange(manager_, nullptr));
  finish_journal();
  if (!settings_.flat) {
    remove_if_empty(folder_);  // nobody spoke, or there was no call at all
  }
  folder_ = RecordFolder{};
}

GstStructure* Recording::stats() const {
  std::vector<BranchPtr> branches;
  GstStructure* stats;
  {
    Lock lock(mutex_);
    branches = branches_;
    stats = gst_structure_new("application/x-discordrecordsink-stats", "num-files-complete",
                              G_TYPE_UINT, files_, "num-failed", G_TYPE_UINT, failed_, nullptr);
  }
  std::vector<GstStructure*> rows;
  for (const BranchPtr& b : branches) {
    const BranchCounts& c = b->counts();
    rows.push_back(gst_structure_new(
        "file", "user-id", G_TYPE_UINT64, b->user_id(), "ssrc", G_TYPE_UINT, b->ssrc(), "path",
        G_TYPE_STRING, b->path().c_str(), "bytes", G_TYPE_UINT64, b->bytes(), "num-buffers",
        G_TYPE_UINT64, c.buffers.load(), "num-lost", G_TYPE_UINT64, c.lost.load(), "num-dropped",
        G_TYPE_UINT64, c.dropped.load(), nullptr));
  }
  add_list(stats, "files", rows);
  std::shared_ptr<JournalTap> journal;
  {
    Lock lock(mutex_);
    journal = journal_;
  }
  if (journal) {
    StructurePtr row(journal->stats());
    gst_structure_set(stats, "journal", GST_TYPE_STRUCTURE, row.get(), nullptr);
  }
  return stats;
}

}  // namespace discord
