// What a recording looks like while it goes on: one row a speaker.
#pragma once

#include "human.hpp"

#include <gst/gst.h>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pipelines {

struct Row {
  std::string name;
  bool speaking = false;
  std::optional<unsigned> level;  // -dBov: 0 loud, 127 silent
  std::uint64_t received = 0;
  std::uint64_t lost = 0;
  std::map<std::string, std::uint64_t> dropped;  // by cause, in words
  std::uint64_t unwritten = 0;                   // packets the disk was too slow for
  std::map<std::string, std::uint64_t> files;    // bytes of each, also of those that are complete

  std::uint64_t bytes() const;
  std::uint64_t drops() const;
};

// The elements of the chain; those that are not in it are null.
struct Chain {
  GstElement* source = nullptr;
  GstElement* decrypt = nullptr;
  GstElement* reorder = nullptr;
  GstElement* workers = nullptr;
  GstElement* record = nullptr;
};

// Ten cells and the figure of who speaks; no wider than 18 columns.
std::string level_bar(const Row& row);

// Collects the `stats` of the elements into rows, by user id.
class View {
 public:
  // `names`: user id to name, as far as known at the start.
  explicit View(std::map<std::uint64_t, std::string> names = {});

  void update(const Chain& chain);
  void set_name(std::uint64_t user, const std::string& name) { rows_[user].name = name; }
  // From the elements' messages, for chains whose statistics do not say.
  void set_speaking(std::uint64_t user, bool speaking);
  // What the top line says of the encryption.
  void set_encryption(const std::string& text) { encryption_ = text; }
  const std::map<std::uint64_t, Row>& rows() const { return rows_; }
  // What was dropped and belongs to nobody, by cause; empty when nothing was.
  const std::string& nobody() const { return nobody_; }
  // Bytes of all files and of the journal.
  std::uint64_t bytes() const;
  std::uint64_t journal_bytes() const { return journal_bytes_; }
  // Packets of speakers that are missing in the recording, for whatever reason.
  std::uint64_t missing() const;

  // The table for a terminal of 80 columns, one line an entry.
  std::vector<std::string> table(double seconds) const;
  // The same in one line, for a log.
  std::string line(double seconds) const;

 private:
  std::map<std::uint64_t, Row> rows_;
  std::optional<Row> mix_;  // the file of everybody
  std::map<std::uint64_t, bool> told_speaking_;
  std::string nobody_;
  std::string encryption_;
  std::uint64_t journal_bytes_ = 0;
  std::uint64_t kernel_drops_ = 0;
  std::uint64_t journal_drops_ = 0;
  std::uint64_t worker_lost_ = 0;
};

// Cuts a table so that a terminal of that size shows it whole, one line an entry: what wraps or
// scrolls cannot be drawn over. The last line stays; what is left out above it is counted.
std::vector<std::string> fit(std::vector<std::string> lines, std::size_t columns, std::size_t rows);

// Draws a table over the one before, on a terminal.
class Screen {
 public:
  void draw(std::vector<std::string> lines);
  // Something else has been printed: the next table begins below it.
  void forget() { drawn_ = 0; }

 private:
  std::size_t drawn_ = 0;
};

}  // namespace pipelines
