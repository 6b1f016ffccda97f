// SPDX-License-Identifier: LGPL-2.1-or-later
#include "liveview.hpp"

#include <sys/ioctl.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <utility>

namespace pipelines {

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

// The causes under which packets of a ledger were dropped, in words. What is missing afterwards is
// counted apart from what should not have come.
struct Cause {
  const char* field;
  const char* word;
  bool missing;
};
constexpr std::array<Cause, 11> causes = {{
    {"late", "late", true},
    {"duplicate", "duplicate", false},
    {"not-audio", "not audio", false},
    {"no-user", "no user", true},
    {"no-key", "no key", true},
    {"bad-tag", "not authentic", false},
    {"not-a-frame", "malformed", false},
    {"replayed", "replayed", false},
    {"evicted", "evicted", true},
    {"denied", "denied", false},
    {"padding-only", "empty", false},
}};

void add_drops(const GstStructure* ledger, std::map<std::string, std::uint64_t>& dropped) {
  for (const Cause& cause : causes) {
    if (const std::uint64_t count = number(ledger, cause.field); count > 0) {
      dropped[cause.word] += count;
    }
  }
}

std::string words(const std::map<std::string, std::uint64_t>& dropped) {
  std::string out;
  for (const auto& [word, count] : dropped) {
    out += (out.empty() ? "" : ", ") + word + " " + std::to_string(count);
  }
  return out;
}

}  // namespace

std::string level_bar(const Row& row) {
  constexpr int cells = 10;
  if (!row.speaking || !row.level) {
    return std::string(cells, '.') + (row.speaking ? " talks" : "");
  }
  // Speech lies between -60 dBov and -10 dBov.
  const int level = -static_cast<int>(*row.level);
  const int full = std::min(std::max((level + 60) * cells / 50, 0), cells);
  char text[32];
  std::snprintf(text, sizeof text, " %4d dB", level);
  return std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(cells - full), '.') + text;
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

// --- View ---

std::uint64_t Row::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [path, size] : files) {
    sum += size;
  }
  return sum;
}

std::uint64_t Row::drops() const {
  std::uint64_t sum = unwritten;
  for (const auto& [word, count] : dropped) {
    sum += count;
  }
  return sum;
}

View::View(std::map<std::uint64_t, std::string> names) {
  for (auto& [user, name] : names) {
    rows_[user].name = std::move(name);
  }
}

void View::set_speaking(std::uint64_t user, bool speaking) {
  told_speaking_[user] = speaking;
}

std::uint64_t View::bytes() const {
  std::uint64_t sum = journal_bytes_ + (mix_ ? mix_->bytes() : 0);
  for (const auto& [user, row] : rows_) {
    sum += row.bytes();
  }
  return sum;
}

std::uint64_t View::missing() const {
  std::uint64_t sum = kernel_drops_ + journal_drops_ + worker_lost_;
  for (const auto& [user, row] : rows_) {
    sum += row.lost + row.unwritten;
    for (const Cause& cause : causes) {
      // A late packet has been counted as lost when its turn came.
      const auto count = row.dropped.find(cause.word);
      if (cause.missing && count != row.dropped.end() && count->first != "late") {
        sum += count->second;
      }
    }
  }
  return sum;
}

void View::update(const Chain& chain) {
  for (auto& [user, row] : rows_) {
    row.received = row.lost = row.unwritten = 0;
    row.speaking = false;
    row.dropped.clear();
  }
  nobody_.clear();
  if (chain.source != nullptr) {
    kernel_drops_ = number(stats_of(chain.source).get(), "kernel-drops");
  }
  for (GstElement* opener : {chain.decrypt, chain.workers}) {
    if (opener == nullptr) {
      continue;
    }
    const StructurePtr opened = stats_of(opener);
    // Of those who have a row it is part of what they lost.
    std::uint64_t skipped = number(opened.get(), "skipped");
    for_each_row(opened.get(), "speakers", [&](const GstStructure* speaker) {
      Row& row = rows_[number(speaker, "user-id")];
      skipped -= std::min(skipped, number(speaker, "skipped"));
      row.received += number(speaker, "received");
      gboolean speaking = FALSE;
      gst_structure_get_boolean(speaker, "speaking", &speaking);
      row.speaking = row.speaking || speaking != FALSE;
      guint level = 0;
      if (gst_structure_get_uint(speaker, "audio-level", &level)) {
        row.level = level;
      }
      add_drops(speaker, row.dropped);
    });
    if (const std::uint64_t forged = number(opened.get(), "bad-tag"); forged > 0) {
      nobody_ = "not authentic " + std::to_string(forged);
    }
    if (const std::uint64_t other = number(opened.get(), "not-audio"); other > 0) {
      nobody_ += (nobody_.empty() ? "" : ", ") + std::string("not audio ") + std::to_string(other);
    }
    if (opener == chain.workers) {
      worker_lost_ = number(opened.get(), "lost-concealed") + number(opened.get(), "lost-silent") +
                     number(opened.get(), "frames-dropped") + number(opened.get(), "ring-full") +
                     skipped;
    }
  }
  if (chain.reorder != nullptr) {
    const StructurePtr ordered = stats_of(chain.reorder);
    for_each_row(ordered.get(), "speakers", [&](const GstStructure* speaker) {
      Row& row = rows_[number(speaker, "user-id")];
      row.lost += number(speaker, "lost");
      add_drops(speaker, row.dropped);
    });
  }
  if (chain.record != nullptr) {
    const StructurePtr recorded = stats_of(chain.record);
    for_each_row(recorded.get(), "files", [&](const GstStructure* file) {
      guint ssrc = 0;
      gst_structure_get_uint(file, "ssrc", &ssrc);
      const std::uint64_t user = number(file, "user-id");
      Row& row = user == 0 && ssrc == 0 ? mix_.emplace(mix_.value_or(Row())) : rows_[user];
      row.unwritten += number(file, "num-dropped");
      const gchar* path = gst_structure_get_string(file, "path");
      if (path != nullptr && *path != '\0') {
        row.files[path] = number(file, "bytes");
      }
    });
    if (const GValue* journal = gst_structure_get_value(recorded.get(), "journal")) {
      journal_bytes_ = number(gst_value_get_structure(journal), "bytes");
      journal_drops_ = number(gst_value_get_structure(journal), "num-dropped");
    }
  }
  for (const auto& [user, speaking] : told_speaking_) {
    rows_[user].speaking = rows_[user].speaking || speaking;
  }
}

std::vector<std::string> View::table(double seconds) const {
  std::vector<std::string> lines;
  lines.push_back(human_time(seconds) + "  " + human_bytes(bytes()) +
                  (encryption_.empty() ? "" : "  " + encryption_));
  char text[256];
  std::snprintf(text, sizeof text, "%-22s %-18s %8s %6s %8s %9s", "speaker", "level", "received",
                "lost", "dropped", "file");
  lines.emplace_back(text);
  std::map<std::string, std::uint64_t> why;
  for (const auto& [user, row] : rows_) {
    std::snprintf(text, sizeof text, " %-18s %8llu %6llu %8llu %9s", level_bar(row).c_str(),
                  static_cast<unsigned long long>(row.received),
                  static_cast<unsigned long long>(row.lost),
                  static_cast<unsigned long long>(row.drops()), human_bytes(row.bytes()).c_str());
    lines.push_back(human_name(row.name.empty() ? std::to_string(user) : row.name, 22) + text);
    for (const auto& [word, count] : row.dropped) {
      why[word] += count;
    }
    if (row.unwritten > 0) {
      why["disk too slow"] += row.unwritten;
    }
  }
  if (mix_) {
    std::snprintf(text, sizeof text, " %-18s %8s %6s %8s %9s", "", "", "", "",
                  human_bytes(mix_->bytes()).c_str());
    lines.push_back(human_name("everybody", 22) + text);
  }
  lines.push_back("dropped: " + (why.empty() ? "-" : words(why)) +
                  "; of nobody: " + (nobody_.empty() ? "-" : nobody_));
  return lines;
}

std::string View::line(double seconds) const {
  std::string out = human_time(seconds) + " " + human_bytes(bytes());
  char text[256];
  for (const auto& [user, row] : rows_) {
    const std::string why = words(row.dropped);
    std::snprintf(text, sizeof text, " | %llu %s %s rcv %llu lost %llu drop %s %s",
                  static_cast<unsigned long long>(user), human_name(row.name, 20).c_str(),
                  row.speaking && row.level
                      ? (std::to_string(-static_cast<int>(*row.level)) + " dBov").c_str()
                  : row.speaking ? "talks"
                                 : "quiet",
                  static_cast<unsigned long long>(row.received),
                  static_cast<unsigned long long>(row.lost), why.empty() ? "-" : why.c_str(),
                  human_bytes(row.bytes()).c_str());
    out += text;
  }
  if (mix_) {
    out += " | everybody " + human_bytes(mix_->bytes());
  }
  return out + " | nobody: " + (nobody_.empty() ? "-" : nobody_);
}

void Screen::draw(std::vector<std::string> lines) {
  std::string out = drawn_ > 0 ? "\033[" + std::to_string(drawn_) + "A" : "";
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    lines = fit(std::move(lines), size.ws_col, size.ws_row);
  }
  for (const std::string& line : lines) {
    out += "\033[2K" + line + "\n";
  }
  drawn_ = lines.size();
  g_print("%s", out.c_str());
}

}  // namespace pipelines
