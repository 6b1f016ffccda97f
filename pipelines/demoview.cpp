// SPDX-License-Identifier: LGPL-2.1-or-later
#include "demoview.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <utility>

namespace demo {

namespace {

struct StructureFree {
  void operator()(GstStructure* s) const { gst_structure_free(s); }
};
using StructurePtr = std::unique_ptr<GstStructure, StructureFree>;

StructurePtr stats_of(GstElement* element) {
  GstStructure* stats = nullptr;
  g_object_get(element, "stats", &stats, nullptr);
  return StructurePtr(stats);
}

std::uint64_t number(const GstStructure* s, const char* field) {
  guint64 value = 0;
  gst_structure_get_uint64(s, field, &value);
  return value;
}

void for_each_row(const GstStructure* stats, const char* list,
                  const std::function<void(const GstStructure*)>& visit) {
  const GValue* rows = gst_structure_get_value(stats, list);
  for (guint i = 0; rows != nullptr && i < gst_value_array_get_size(rows); i++) {
    visit(gst_value_get_structure(gst_value_array_get_value(rows, i)));
  }
}

// The causes under which packets of a ledger were dropped, in words.
std::string drops(const GstStructure* ledger) {
  static constexpr std::array<std::pair<const char*, const char*>, 13> causes = {{
      {"late", "late"},
      {"duplicate", "duplicate"},
      {"not-audio", "not audio"},
      {"no-user", "no user"},
      {"no-key", "no key"},
      {"bad-tag", "not authentic"},
      {"not-a-frame", "malformed"},
      {"replayed", "replayed"},
      {"evicted", "evicted"},
      {"denied", "denied"},
      {"ring-full", "ring full"},
      {"skipped", "skipped"},
      {"padding-only", "empty"},
  }};
  std::string out;
  for (const auto& [field, word] : causes) {
    if (const std::uint64_t count = number(ledger, field); count > 0) {
      out += (out.empty() ? "" : ", ") + std::string(word) + " " + std::to_string(count);
    }
  }
  return out;
}

std::string level_bar(const Row& row) {
  constexpr int cells = 10;
  if (!row.speaking || !row.level) {
    return std::string(cells, '.') + "         ";
  }
  // Speech lies between -60 dBov and -10 dBov.
  const int level = -static_cast<int>(*row.level);
  const int full = std::min(std::max((level + 60) * cells / 50, 0), cells);
  char text[32];
  std::snprintf(text, sizeof text, " %4d dBov", level);
  return std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(cells - full), '.') + text;
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  char text[32];
  if (bytes < 1000) {
    std::snprintf(text, sizeof text, "%d B", static_cast<int>(bytes));
  } else if (bytes < 1'000'000) {
    std::snprintf(text, sizeof text, "%.1f kB", static_cast<double>(bytes) / 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  }
  return text;
}

std::vector<std::string> fit(std::vector<std::string> lines, std::size_t columns,
                             std::size_t rows) {
  // The cursor needs a line of its own below the table, and the note of what is left out one in it.
  if (rows >= 4 && lines.size() >= rows) {
    const auto keep = static_cast<std::ptrdiff_t>(rows - 3);
    const std::size_t hidden = lines.size() - 1 - static_cast<std::size_t>(keep);
    lines.erase(lines.begin() + keep, lines.end() - 1);
    lines.insert(lines.end() - 1, "         ... and " + std::to_string(hidden) + " more");
  }
  for (std::string& line : lines) {
    if (static_cast<std::size_t>(g_utf8_strlen(line.c_str(), -1)) > columns) {
      line.erase(static_cast<std::size_t>(
          g_utf8_offset_to_pointer(line.c_str(), static_cast<glong>(columns)) - line.c_str()));
    }
  }
  return lines;
}

View::View(std::map<std::uint64_t, std::string> names) {
  for (auto& [user, name] : names) {
    rows_[user].name = std::move(name);
  }
}

void View::update(GstElement* decoder, GstElement* record) {
  const StructurePtr decoded = stats_of(decoder);
  const StructurePtr recorded = stats_of(record);
  for (auto& [user, row] : rows_) {
    row.received = 0;
    row.lost = 0;
    row.speaking = false;
    row.dropped.clear();
  }
  for_each_row(decoded.get(), "speakers", [&](const GstStructure* speaker) {
    Row& row = rows_[number(speaker, "user-id")];
    row.received += number(speaker, "received");
    row.lost += number(speaker, "lost-fec") + number(speaker, "lost-concealed") +
                number(speaker, "lost-silent");
    gboolean speaking = FALSE;
    gst_structure_get_boolean(speaker, "speaking", &speaking);
    row.speaking = row.speaking || speaking != FALSE;
    guint level = 0;
    if (gst_structure_get_uint(speaker, "audio-level", &level)) {
      row.level = level;
    }
    const std::string more = drops(speaker);
    row.dropped += (row.dropped.empty() || more.empty() ? "" : ", ") + more;
  });
  for_each_row(recorded.get(), "files", [&](const GstStructure* file) {
    Row& row = rows_[number(file, "user-id")];
    row.bytes = number(file, "bytes");
    if (const gchar* path = gst_structure_get_string(file, "path")) {
      row.path = path;
    }
  });
  nobody_.clear();
  if (const std::uint64_t forged = number(decoded.get(), "bad-tag"); forged > 0) {
    nobody_ = "not authentic " + std::to_string(forged);
  }
  if (const std::uint64_t other = number(decoded.get(), "not-audio"); other > 0) {
    nobody_ += (nobody_.empty() ? "" : ", ") + std::string("not audio ") + std::to_string(other);
  }
}

std::vector<std::string> View::table(double seconds) const {
  std::vector<std::string> lines;
  char text[256];
  std::snprintf(text, sizeof text, "%5.1f s  %-20s %-10s %-19s %8s %6s %9s  %s", seconds, "user id",
                "name", "level", "received", "lost", "file", "dropped");
  lines.emplace_back(text);
  for (const auto& [user, row] : rows_) {
    std::snprintf(text, sizeof text, "         %-20llu %-10s %-19s %8llu %6llu %9s  %s",
                  static_cast<unsigned long long>(user), row.name.c_str(), level_bar(row).c_str(),
                  static_cast<unsigned long long>(row.received),
                  static_cast<unsigned long long>(row.lost), human_bytes(row.bytes).c_str(),
                  row.dropped.empty() ? "-" : row.dropped.c_str());
    lines.emplace_back(text);
  }
  lines.push_back("         belongs to nobody: " + (nobody_.empty() ? "-" : nobody_));
  return lines;
}

std::string View::line(double seconds) const {
  char text[256];
  std::snprintf(text, sizeof text, "%5.1f s", seconds);
  std::string out = text;
  for (const auto& [user, row] : rows_) {
    std::snprintf(text, sizeof text, " | %llu %s %s rcv %llu lost %llu drop %s %s",
                  static_cast<unsigned long long>(user), row.name.c_str(),
                  row.speaking && row.level
                      ? (std::to_string(-static_cast<int>(*row.level)) + " dBov").c_str()
                      : "quiet",
                  static_cast<unsigned long long>(row.received),
                  static_cast<unsigned long long>(row.lost),
                  row.dropped.empty() ? "-" : row.dropped.c_str(), human_bytes(row.bytes).c_str());
    out += text;
  }
  return out + " | nobody: " + (nobody_.empty() ? "-" : nobody_);
}

}  // namespace demo
