// What the demo shows while it records: one row a speaker.
#pragma once

#include <gst/gst.h>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace demo {

struct Row {
  std::string name;
  bool speaking = false;
  std::optional<unsigned> level;  // -dBov: 0 loud, 127 silent
  std::uint64_t received = 0;
  std::uint64_t lost = 0;
  std::string dropped;  // "late 2, duplicate 1"
  std::uint64_t bytes = 0;
  std::string path;
};

// Collects the `stats` of the elements into rows, by user id.
class View {
 public:
  // `names`: user id to name, as the loopback gave them.
  explicit View(std::map<std::uint64_t, std::string> names);

  void update(GstElement* decoder, GstElement* record);
  const std::map<std::uint64_t, Row>& rows() const { return rows_; }
  // What was dropped and belongs to nobody, by cause; empty when nothing was.
  const std::string& nobody() const { return nobody_; }

  // The table for a terminal, one line an entry.
  std::vector<std::string> table(double seconds) const;
  // The same in one line, for a log.
  std::string line(double seconds) const;

 private:
  std::map<std::uint64_t, Row> rows_;
  std::string nobody_;
};

// Cuts a table so that a terminal of that size shows it whole, one line an entry: what wraps or
// scrolls cannot be drawn over. The last line stays; what is left out above it is counted.
std::vector<std::string> fit(std::vector<std::string> lines, std::size_t columns, std::size_t rows);

std::string human_bytes(std::uint64_t bytes);

}  // namespace demo
