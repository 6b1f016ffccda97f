// A recording from joining the call to the last file.
#pragma once

#include "discord/gstptr.hpp"
#include "liveview.hpp"
#include "record/commands.hpp"
#include "record/options.hpp"
#include "record/pipeline.hpp"

#include <gio/gio.h>
#include <gst/gst.h>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace recorder {

enum ExitStatus { exit_complete = 0, exit_failed = 1, exit_usage = 2, exit_lossy = 3 };

// Text of strangers as UTF-8.
std::string valid(const std::string& text);

// Everything happens on the main loop of the thread that calls run().
class Recorder {
 public:
  explicit Recorder(Options options);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Until the recording has ended; the status for exit().
  int run();

 private:
  struct File {
    std::string path;
    std::uint64_t user_id = 0;
    bool everybody = false;  // a mix, or a file of many tracks
    double seconds = 0;
  };
  struct MainLoopFree {
    void operator()(GMainLoop* loop) const { g_main_loop_unref(loop); }
  };

  // Beginning and end.
  bool start();
  void stop(const std::string& reason);
  void fail(const std::string& sentence);
  int finish();

  // What the pipeline says.
  static gboolean on_bus(GstBus* bus, GstMessage* message, gpointer self);
  void hear(GstMessage* message);
  void hear_element(const GstStructure* s);
  void hear_encryption(const GstStructure* s);
  void hear_file(const GstStructure* s);
  void hear_people(const GstStructure* s);
  void hear_info(const GstStructure* s);

  // What people and programs say.
  static gboolean on_interrupt(gpointer self);
  static gboolean on_mark_signal(gpointer self);
  static gboolean on_key(gint fd, GIOCondition condition, gpointer self);
  static void on_line(GObject* source, GAsyncResult* result, gpointer self);
  void read_line();
  void obey(const Command& command);
  void mark(const std::string& label);
  void set_name(std::uint64_t user, const std::string& name);

  // What is said to them.
  static gboolean on_tick(gpointer self);
  void tick();
  void check_rules();
  void say(const std::string& sentence);
  void event(nlohmann::json object);
  nlohmann::json stats() const;
  void print_result();

  // Whether this user is recorded, as far as is known.
  bool hears(std::uint64_t user) const;
  // Somebody has come or gone, or is known to be a bot: who is not recorded is told nowhere, and
  // keeps no recording going.
  void count(std::uint64_t user);

  double elapsed() const;
  pipelines::Chain chain() const;
  // A figure for people: 0 once nothing is missing.
  std::uint64_t missing() const;

  Options options_;
  std::unique_ptr<GMainLoop, MainLoopFree> loop_;
  RecorderPipeline elements_;
  pipelines::View view_;
  pipelines::Screen screen_;
  std::vector<File> files_;
  std::map<std::uint64_t, std::string> names_;
  std::map<std::uint64_t, bool> bots_;  // of those whose names are known
  std::set<std::uint64_t> present_;     // all others in the call
  std::set<std::uint64_t> people_;      // those of them who are recorded
  std::optional<double> empty_since_;
  std::string privacy_code_;
  discord::GObjectPtr<GDataInputStream> input_;
  discord::GObjectPtr<GCancellable> cancel_;
  gint64 started_ = 0;
  gint64 next_line_ = 0;
  unsigned marks_ = 0;
  unsigned warnings_ = 0;
  bool journal_fails_ = false;  // and has not gone on yet
  bool terminal_ = false;
  bool keys_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  bool failed_ = false;
  bool unheard_ = false;  // an event could not be written
};

}  // namespace recorder
