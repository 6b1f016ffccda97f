// A disk that is slow, full or taken away.
#include "record_rig.hpp"

#include "elements/trackwriter.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace {

using namespace discord;
using namespace discord::test;

// Does what a test says.
class FakeDisk final : public Disk {
 public:
  ssize_t write(int fd, const void* data, std::size_t size, off_t at) override {
    {
      Lock lock(mutex_);
      waiting_ = stalled_;
      changed_.notify_all();
      changed_.wait(lock.native(), [this] { return !stalled_; });
      struct stat info;
      const bool grows = fstat(fd, &info) == 0 && at + static_cast<off_t>(size) > info.st_size;
      if (full_ && grows) {
        // Half of it still fits.
        if (size > 1 && !std::exchange(half_, true)) {
          return Disk::write(fd, data, size / 2, at);
        }
        errno = ENOSPC;
        return -1;
      }
    }
    struct stat before;
    fstat(fd, &before);
    const ssize_t n = Disk::write(fd, data, size, at);
    Lock lock(mutex_);
    (at >= before.st_size ? appended_ : again_) +=
        static_cast<std::uint64_t>(std::max(n, ssize_t{0}));
    return n;
  }
  std::uint64_t free_bytes(int folder) const override {
    Lock lock(mutex_);
    return full_ ? 0 : Disk::free_bytes(folder);
  }
  void stall(bool on) {
    Lock lock(mutex_);
    stalled_ = on;
    changed_.notify_all();
  }
  // Until somebody waits in it.
  void wait_for_victim() {
    Lock lock(mutex_);
    changed_.wait_for(lock.native(), std::chrono::seconds(20), [this] { return waiting_; });
  }
  void set_full(bool on) {
    Lock lock(mutex_);
    full_ = on;
  }

  // Bytes that were put behind the end of a file, and over what was there.
  std::pair<std::uint64_t, std::uint64_t> written() const {
    Lock lock(mutex_);
    return {appended_, again_};
  }

 private:
  mutable Mutex mutex_;
  std::condition_variable changed_;
  bool stalled_ = false;
  bool waiting_ = false;
  bool full_ = false;
  bool half_ = false;
  std::uint64_t appended_ = 0;
  std::uint64_t again_ = 0;
};

class RecordDisk : public RecorderTest {
 protected:
  bool start_with_disk(const char* format) {
    GstElement* e = make_recorder();
    g_object_set(e, "location", where_.c_str(), nullptr);
    gst_util_set_object_arg(G_OBJECT(e), "format", format);
    set_record_disk(GST_DISCORD_RECORD_SINK(e), disk_, record::default_riff_limit);
    return feeder_.start(e);
  }
  // Packets that are in no file.
  static guint64 unwritten(GstElement* e) {
    GstStructure* raw = nullptr;
    g_object_get(e, "stats", &raw, nullptr);
    const StructurePtr stats(raw);
    const GValue* list = gst_structure_get_value(raw, "files");
    guint64 all = 0;
    for (guint n = 0; list != nullptr && n < gst_value_array_get_size(list); n++) {
      guint64 dropped = 0;
      gst_structure_get_uint64(gst_value_get_structure(gst_value_array_get_value(list, n)),
                               "num-dropped", &dropped);
      all += dropped;
    }
    return all;
  }
  std::string message_text(GstMessageType type) {
    const MessagePtr m = feeder_.message(type);
    if (!m) {
      return {};
    }
    GError* raw = nullptr;
    type == GST_MESSAGE_WARNING ? gst_message_parse_warning(m.get(), &raw, nullptr)
                                : gst_message_parse_info(m.get(), &raw, nullptr);
    const GErrorPtr error(raw);
    return error->message;
  }
  std::shared_ptr<FakeDisk> disk_ = std::make_shared<FakeDisk>();
};

TEST_F(RecordDisk, AStallOfTwoSecondsCostsNothing) {
  for (const char* format : {"wav", "ogg"}) {
    Feeder feeder;
    feeder.live = true;
    GstElement* e = make_recorder();
    g_object_set(e, "location", where_.c_str(), nullptr);
    gst_util_set_object_arg(G_OBJECT(e), "format", format);
    set_record_disk(GST_DISCORD_RECORD_SINK(e), disk_, record::default_riff_limit);
    ASSERT_TRUE(feeder.start(e));
    Tone tone(440);
    for (unsigned i = 0; i < 50; i++) {
      feeder.push(100, 7, i * frame, tone.next());
    }
    disk_->stall(true);
    feeder.push(100, 7, 50 * frame, tone.next());
    disk_->wait_for_victim();
    for (unsigned i = 51; i < 150; i++) {
      EXPECT_EQ(feeder.push(100, 7, i * frame, tone.next()), GST_FLOW_OK) << "nobody waits";
    }
    disk_->stall(false);
    feeder.eos();
    const MessagePtr m = feeder.message(GST_MESSAGE_ELEMENT);
    ASSERT_TRUE(m);
    GstStructure* ledger = nullptr;
    ASSERT_TRUE(gst_structure_get(gst_message_get_structure(m.get()), "ledger", GST_TYPE_STRUCTURE,
                                  &ledger, nullptr));
    const StructurePtr owned(ledger);
    guint64 dropped = 1;
    guint64 buffers = 0;
    gst_structure_get_uint64(ledger, "num-dropped", &dropped);
    gst_structure_get_uint64(ledger, "num-buffers", &buffers);
    EXPECT_EQ(dropped, 0u);
    EXPECT_EQ(buffers, 150u);
    guint64 duration = 0;
    gst_structure_get_uint64(gst_message_get_structure(m.get()), "duration", &duration);
    EXPECT_EQ(duration, 3 * GST_SECOND);
  }
}

// What comes from the encoder is put at the end and left alone; only sizes in front are refreshed.
TEST_F(RecordDisk, EveryByteOfSoundIsWrittenOnce) {
  for (const char* format : {"wav", "flac", "mp3", "ogg"}) {
    SCOPED_TRACE(format);
    Feeder feeder;
    const auto disk = std::make_shared<FakeDisk>();
    GstElement* e = make_recorder();
    g_object_set(e, "location", where_.c_str(), "flat", TRUE, nullptr);
    gst_util_set_object_arg(G_OBJECT(e), "format", format);
    set_record_disk(GST_DISCORD_RECORD_SINK(e), disk, record::default_riff_limit);
    ASSERT_TRUE(feeder.start(e));
    Tone tone(440);
    for (unsigned i = 0; i < 500; i++) {
      feeder.push(100, 7, i * frame, tone.next());
    }
    feeder.eos();
    const MessagePtr m =
        feeder.message(static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    ASSERT_TRUE(m && GST_MESSAGE_TYPE(m.get()) == GST_MESSAGE_EOS);
    const auto [appended, again] = disk->written();
    EXPECT_EQ(appended, fs::file_size(file("7." + std::string(format))));
    EXPECT_LT(again, appended * 3 / 10) << "only what changes in front";
  }
}

TEST_F(RecordDisk, AFullDiskMakesAPauseAndANewPart) {
  for (const char* format : {"wav", "flac", "mp3", "ogg"}) {
    const std::string ext = std::string(".") + format;
    disk_ = std::make_shared<FakeDisk>();
    Feeder feeder;
    GstElement* e = make_recorder();
    const std::string folder = (where_ / format).string();
    g_object_set(e, "location", folder.c_str(), "flat", TRUE, nullptr);
    gst_util_set_object_arg(G_OBJECT(e), "format", format);
    set_record_disk(GST_DISCORD_RECORD_SINK(e), disk_, record::default_riff_limit);
    ASSERT_TRUE(feeder.start(e));
    Tone tone(440);
    unsigned i = 0;
    for (; i < 50; i++) {
      feeder.push(100, 7, i * frame, tone.next());
    }
    // Until half a second is in the file.
    for (guint64 bytes = 0; bytes < 3000;) {
      GstStructure* raw = nullptr;
      g_object_get(e, "stats", &raw, nullptr);
      const StructurePtr stats(raw);
      const GValue* list = gst_structure_get_value(raw, "files");
      if (list != nullptr && gst_value_array_get_size(list) == 1) {
        gst_structure_get_uint64(
            static_cast<const GstStructure*>(g_value_get_boxed(gst_value_array_get_value(list, 0))),
            "bytes", &bytes);
      }
      sched_yield();
    }
    disk_->set_full(true);
    MessagePtr told;
    // Its queue takes what is pushed; sooner or later the file is written to.
    for (; i < 1000 && !told; i++) {
      EXPECT_EQ(feeder.push(100, 7, i * frame, tone.next()), GST_FLOW_OK) << "the call goes on";
      told = feeder.message(GST_MESSAGE_WARNING, i < 100 ? 0 : 10 * GST_MSECOND);
    }
    ASSERT_TRUE(told) << format;
    for (unsigned n = 0; n < 50; n++, i++) {
      EXPECT_EQ(feeder.push(100, 7, i * frame, tone.next()), GST_FLOW_OK) << "the call goes on";
    }
    EXPECT_GE(unwritten(e), 50u) << "what comes while there is no file is counted";
    disk_->set_full(false);
    ASSERT_TRUE(feeder.message(GST_MESSAGE_INFO)) << "the user is told that it goes on";
    for (unsigned n = 0; n < 50; n++, i++) {
      EXPECT_EQ(feeder.push(100, 7, i * frame, tone.next()), GST_FLOW_OK);
    }
    feeder.eos();
    const MessagePtr end =
        feeder.message(static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    ASSERT_TRUE(end && GST_MESSAGE_TYPE(end.get()) == GST_MESSAGE_EOS);
    const fs::path first = folder + "/7" + ext;
    const fs::path second = folder + "/7.part2" + ext;
    ASSERT_TRUE(fs::exists(second)) << format;
    std::size_t first_heard = 0;
    if (has_program("ffmpeg")) {
      const auto a = heard_by_ffmpeg(first);
      const auto b = heard_by_ffmpeg(second);
      std::printf("  %s: %zu samples before, %zu after\n", format, a.size(), b.size());
      EXPECT_GT(a.size(), 960u) << "what was written is kept";
      first_heard = a.size();
      EXPECT_GE(b.size(), 50u * 960 - 240);
      EXPECT_GT(rms(b, b.size() - 20000, b.size() - 2000), 4000);
    }
    if (std::string(format) == "flac" && has_program("flac")) {
      EXPECT_EQ(run({"flac", "-t", "-s", first.string()}).status, 0) << "no half frame";
    }
    std::ifstream in(folder + "/session.json");
    const auto record = nlohmann::json::parse(in);
    const auto& files = record["speakers"][0]["files"];
    ASSERT_EQ(files.size(), 2u);
    // Once what came between the failure and the end of the branch was taken for written.
    if (first_heard != 0) {
      EXPECT_NEAR(files[0]["samples"].get<double>(), static_cast<double>(first_heard),
                  ext == ".mp3" ? 1152 : 0);
    }
    EXPECT_GE(record["speakers"][0]["ledger"]["dropped"].get<std::uint64_t>(), 50u) << record;
    EXPECT_EQ(files[0]["offset"], 0);
    EXPECT_GE(files[1]["offset"].get<std::int64_t>(), files[0]["samples"].get<std::int64_t>());
    EXPECT_EQ(files[1]["offset"].get<std::int64_t>() + files[1]["samples"].get<std::int64_t>(),
              record["samples"].get<std::int64_t>());
  }
}

// Somebody whose file cannot even be created is recorded as soon as there is space, as those are
// whose file was interrupted.
TEST_F(RecordDisk, WhoBeginsToSpeakOnAFullDiskIsRecordedLater) {
  for (const char* format : {"wav", "flac", "mp3", "ogg"}) {
    SCOPED_TRACE(format);
    disk_ = std::make_shared<FakeDisk>();
    Feeder feeder;
    feeder.live = true;
    GstElement* e = make_recorder();
    const std::string folder = (where_ / format).string();
    g_object_set(e, "location", folder.c_str(), "flat", TRUE, nullptr);
    gst_util_set_object_arg(G_OBJECT(e), "format", format);
    set_record_disk(GST_DISCORD_RECORD_SINK(e), disk_, record::default_riff_limit);
    ASSERT_TRUE(feeder.start(e));
    disk_->set_full(true);
    Tone tone(440);
    unsigned i = 0;
    feeder.push(100, 7, i++ * frame, tone.next());
    // The header of an MP3 comes with its first frame.
    MessagePtr told;
    for (; i < 1000 && !told; i++) {
      EXPECT_EQ(feeder.push(100, 7, i * frame, tone.next()), GST_FLOW_OK) << "the call goes on";
      told = feeder.message(GST_MESSAGE_WARNING, 10 * GST_MSECOND);
    }
    ASSERT_TRUE(told);
    disk_->set_full(false);
    ASSERT_TRUE(feeder.message(GST_MESSAGE_INFO)) << "the user is told that it goes on";
    const guint64 before = unwritten(e);
    for (unsigned n = 0; n < 50; n++, i++) {
      EXPECT_EQ(feeder.push(100, 7, i * frame, tone.next()), GST_FLOW_OK);
    }
    feeder.eos();
    const MessagePtr end =
        feeder.message(static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    ASSERT_TRUE(end && GST_MESSAGE_TYPE(end.get()) == GST_MESSAGE_EOS);
    EXPECT_GE(before, 1u) << "what came while there was no file is counted";
    const fs::path second = folder + "/7.part2." + format;
    ASSERT_TRUE(fs::exists(second));
    if (has_program("ffmpeg")) {
      const auto heard = heard_by_ffmpeg(second);
      EXPECT_GE(heard.size(), 50u * 960 - 240);
      EXPECT_GT(rms(heard, heard.size() - 20000, heard.size() - 2000), 4000);
    }
    std::ifstream in(folder + "/session.json");
    const auto record = nlohmann::json::parse(in);
    const auto& files = record["speakers"][0]["files"];
    ASSERT_EQ(files.size(), 1u) << record;
    EXPECT_EQ(files[0]["offset"].get<std::int64_t>() + files[0]["samples"].get<std::int64_t>(),
              record["samples"].get<std::int64_t>());
  }
}

TEST_F(RecordDisk, AFolderThatIsTakenAwayIsMadeAnew) {
  ASSERT_TRUE(start_with_disk("wav"));
  Tone tone(440);
  unsigned i = 0;
  for (; i < 50; i++) {
    feeder_.push(100, 7, i * frame, tone.next());
  }
  while (files().empty()) {
    feeder_.message(GST_MESSAGE_ELEMENT, GST_MSECOND);
  }
  fs::remove_all(where_);
  EXPECT_NE(message_text(GST_MESSAGE_WARNING).find("deleted"), std::string::npos);
  ASSERT_TRUE(feeder_.message(GST_MESSAGE_INFO));
  for (unsigned n = 0; n < 50; n++, i++) {
    feeder_.push(100, 7, i * frame, tone.next());
  }
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const auto track = read_wav(file("7.part2.wav"));
  ASSERT_TRUE(track);
  EXPECT_GT(rms(*track, 960, track->size() - 960), 4000);
}

TEST_F(RecordDisk, WhenEverybodyHasStoppedTheWarningSaysSo) {
  ASSERT_TRUE(start());
  feeder_.push(100, 7, 0);
  // With its header: a file that cannot begin is tried once more.
  while (files().empty() || fs::file_size(files()[0]) == 0) {
    feeder_.message(GST_MESSAGE_ELEMENT, GST_MSECOND);
  }
  // Descriptors that cannot be written to, as on a disk that failed.
  const std::string path = files()[0].string();
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (fs::read_symlink(entry.path(), gone) == path) {
      const int reading = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      dup3(reading, std::stoi(entry.path().filename().string()), O_CLOEXEC);
      close(reading);
      break;
    }
  }
  for (unsigned i = 1; i < 10; i++) {
    feeder_.push(100, 7, i * frame);
  }
  const std::string text = message_text(GST_MESSAGE_WARNING);
  EXPECT_NE(text.find("nobody else is being recorded"), std::string::npos) << text;
}

TEST_F(RecordDisk, TheSessionRecordTellsWhoSpokeWhenAndWhatWasLost) {
  ASSERT_TRUE(start());
  name(7, "Zo\xc3\xab");
  two_speakers();
  g_signal_emit_by_name(feeder_.element.get(), "mark", "here");
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  fs::path path;
  for (const auto& entry : fs::recursive_directory_iterator(where_)) {
    path = entry.path().filename() == "session.json" ? entry.path() : path;
  }
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::ifstream in(path);
  const auto record = nlohmann::json::parse(in);
  EXPECT_TRUE(record["complete"]);
  EXPECT_EQ(record["samples"], 96000);
  ASSERT_EQ(record["speakers"].size(), 2u);
  const auto& zoe = record["speakers"][0];
  EXPECT_EQ(zoe["user-id"], "7");
  EXPECT_EQ(zoe["name"], "Zo\xc3\xab");
  EXPECT_EQ(zoe["ssrcs"], nlohmann::json::array({100}));
  EXPECT_EQ(zoe["spurts"], nlohmann::json::parse("[[0,24000],[48000,96000]]"));
  EXPECT_EQ(zoe["losses"], nlohmann::json::parse("[[67200,68160]]"));
  EXPECT_EQ(zoe["ledger"]["packets"], 74);
  EXPECT_EQ(zoe["ledger"]["lost"], 1);
  EXPECT_EQ(zoe["files"][0]["samples"], 96000);
  EXPECT_TRUE(zoe["files"][0]["complete"]);
  std::printf("  %s\n", zoe["verdict"].get<std::string>().c_str());
  EXPECT_NE(zoe["verdict"].get<std::string>().find("98.7 % original"), std::string::npos);
  EXPECT_EQ(record["speakers"][1]["verdict"], "(9): complete, 1 talk spurt");
  bool marked = false;
  for (const auto& e : record["events"]) {
    marked = marked || (e["what"] == "mark" && e["label"] == "here");
  }
  EXPECT_TRUE(marked);
}

TEST_F(RecordDisk, OneTrackPerUserWhateverHappensToTheSsrc) {
  ASSERT_TRUE(start());
  Tone tone(440);
  for (unsigned i = 0; i < 60; i++) {
    feeder_.push(i < 20 ? 100 : i < 40 ? 333 : 555, 7, i * frame, tone.next());
  }
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  ASSERT_EQ(files().size(), 1u);
  const auto track = read_wav(files()[0]);
  ASSERT_TRUE(track);
  EXPECT_EQ(track->size(), 60u * 960);
}

// --- names ---

TEST_F(RecordDisk, NoNameLeavesTheFolder) {
  std::vector<std::string> names = {"/",
                                    "../../etc/passwd",
                                    "..",
                                    ".",
                                    "",
                                    "a/b",
                                    "con",
                                    "%s%n%05d",
                                    std::string(300, 'x'),
                                    "\xe2\x80\xae"
                                    "gpj.exe",
                                    "-rf",
                                    "a\nb",
                                    "\x7f\x1b[31m",
                                    "\xf0\x9f\x91\xbb"};
  if (const char* shared = std::getenv("DISCORD_SHARED")) {
    std::ifstream in(std::string(shared) + "/data/naughty-names/blns.json");
    if (in) {
      for (const auto& n : nlohmann::json::parse(in)) {
        names.push_back(n.get<std::string>());
      }
    }
  }
  std::erase_if(names, [](const std::string& n) {
    return n.find('\0') != std::string::npos || !g_utf8_validate(n.c_str(), -1, nullptr);
  });
  // As many at once as a recorder takes.
  std::size_t users = 0;
  while (users < names.size()) {
    Feeder feeder;
    GstElement* e = make_recorder();
    g_object_set(e, "location", where_.c_str(), "flat", TRUE, nullptr);
    ASSERT_TRUE(feeder.start(e));
    for (std::size_t n = 0; n < 250 && users < names.size(); n++) {
      const std::uint64_t user = 1000 + users;
      gst_pad_push_event(
          feeder.pad.get(),
          gst_event_new_custom(
              GST_EVENT_CUSTOM_DOWNSTREAM,
              gst_structure_new("discord-user-info", "user-id", G_TYPE_UINT64, guint64{user},
                                "display-name", G_TYPE_STRING, names[users++].c_str(), nullptr)));
      feeder.push(static_cast<std::uint32_t>(users), user, 0);
    }
    feeder.eos();
    const MessagePtr m =
        feeder.message(static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    ASSERT_TRUE(m && GST_MESSAGE_TYPE(m.get()) == GST_MESSAGE_EOS);
  }
  std::size_t found = 0;
  for (const auto& entry : fs::recursive_directory_iterator(base_)) {
    if (!entry.is_regular_file()) {
      continue;
    }
    EXPECT_EQ(entry.path().parent_path(), where_);
    const std::string leaf = entry.path().filename();
    EXPECT_LE(leaf.size(), 120u);
    EXPECT_TRUE(g_utf8_validate(leaf.c_str(), -1, nullptr)) << leaf;
    struct stat info;
    ASSERT_EQ(lstat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    found += entry.path().extension() == ".wav" ? 1 : 0;
  }
  EXPECT_EQ(found, users) << "one file each, none shared";
}

TEST_F(RecordDisk, TwoRecordersInOneFolderNeverCollide) {
  for (const bool flat : {true, false}) {
    Feeder one;
    Feeder two;
    for (Feeder* f : {&one, &two}) {
      GstElement* e = make_recorder();
      g_object_set(e, "location", (where_ / (flat ? "flat" : "deep")).c_str(), "flat", flat,
                   nullptr);
      ASSERT_TRUE(f->start(e));
    }
    for (unsigned i = 0; i < 10; i++) {
      one.push(100, 7, i * frame);
      two.push(100, 7, i * frame);
    }
    for (Feeder* f : {&one, &two}) {
      f->eos();
      const MessagePtr m =
          f->message(static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
      ASSERT_TRUE(m && GST_MESSAGE_TYPE(m.get()) == GST_MESSAGE_EOS);
    }
  }
  EXPECT_EQ(files().size(), 4u);
  for (const fs::path& f : files()) {
    const auto track = read_wav(f);
    ASSERT_TRUE(track) << f;
    EXPECT_EQ(track->size(), 9600u);
  }
}

}  // namespace
