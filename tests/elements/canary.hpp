// Looks for secrets in everything GStreamer says.
#pragma once

#include "rig.hpp"

namespace discord::test {

class Canary {
 public:
  explicit Canary(std::vector<std::string> secrets) : secrets_(std::move(secrets)) {}
  ~Canary() {
    gst_debug_set_default_threshold(GST_LEVEL_NONE);
    (gst_debug_remove_log_function)(&Canary::on_log);
  }
  Canary(const Canary&) = delete;
  Canary& operator=(const Canary&) = delete;

  void add(const std::vector<std::string>& secrets) {
    Lock lock(mutex_);
    secrets_.insert(secrets_.end(), secrets.begin(), secrets.end());
  }
  // To every line of every log from now on, in place of the terminal.
  void listen() {
    (gst_debug_remove_log_function)(gst_debug_log_default);
    (gst_debug_add_log_function)(&Canary::on_log, this, nullptr);
    gst_debug_set_default_threshold(GST_LEVEL_MEMDUMP);
  }
  void look(const char* where, const char* text) {
    Lock lock(mutex_);
    looked_++;
    for (const std::string& secret : secrets_) {
      if (std::string_view(text).find(secret) != std::string_view::npos) {
        found_.push_back(std::string(where) + ": " + std::string(text).substr(0, 200));
      }
    }
  }
  // The pipeline's graph, and the statistics of these elements.
  void dump(Pipeline& p, const std::vector<const char*>& names) {
    const GCharPtr dot(gst_debug_bin_to_dot_data(GST_BIN(p.element()), GST_DEBUG_GRAPH_SHOW_ALL));
    look("dot dump", dot.get());
    for (const char* name : names) {
      const GCharPtr stats(gst_structure_to_string(stats_of(p.get(name).get()).get()));
      look("stats", stats.get());
    }
  }
  void expect_nothing() {
    Lock lock(mutex_);
    EXPECT_GT(looked_, 1000u);
    EXPECT_EQ(found_, std::vector<std::string>());
  }

 private:
  static void on_log(GstDebugCategory* category, GstDebugLevel, const gchar*, const gchar*, gint,
                     GObject*, GstDebugMessage* message, gpointer self) {
    static_cast<Canary*>(self)->look(gst_debug_category_get_name(category),
                                     gst_debug_message_get(message));
  }

  Mutex mutex_;
  std::vector<std::string> secrets_ GUARDED_BY(mutex_);
  std::vector<std::string> found_ GUARDED_BY(mutex_);
  std::size_t looked_ GUARDED_BY(mutex_) = 0;
};

}  // namespace discord::test
