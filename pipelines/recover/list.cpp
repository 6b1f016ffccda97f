// SPDX-License-Identifier: LGPL-2.1-or-later
#include "recover/list.hpp"

#include "human.hpp"

#include <glib.h>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace recover {

using namespace discord;
using namespace discord::record;
using pipelines::human_name;

namespace {

std::string valid(const std::string& text) {
  gchar* made = g_utf8_make_valid(text.data(), static_cast<gssize>(text.size()));
  std::string out(made);
  g_free(made);
  return out;
}

// What can be seen of a name.
std::string shown(const std::string& name, std::size_t columns) {
  const std::string seen = human_name(name, columns);
  return seen.find_first_not_of(' ') != std::string::npos ? seen : human_name("(no name)", columns);
}

std::string when(const JournalSession& session) {
  GDateTime* date = g_date_time_new_from_unix_utc(session.zero_utc_ns / 1'000'000'000);
  if (date == nullptr) {
    return "an unknown time";
  }
  gchar* text = g_date_time_format(date, "%Y-%m-%d %H:%M:%S UTC");
  const std::string out(text);
  g_free(text);
  g_date_time_unref(date);
  return out;
}

// Of what this speaker said, what arrived.
double share(const JournalSpeaker& s) {
  const double all = static_cast<double>(s.spoken + s.lost_samples);
  return all > 0 ? static_cast<double>(s.spoken) / all : 1;
}

}  // namespace

std::string clock_time(std::int64_t samples) {
  const std::int64_t tenths = std::max<std::int64_t>(samples, 0) / 4800;
  char text[48];
  std::snprintf(text, sizeof text, "%lld:%02lld:%02lld.%lld",
                static_cast<long long>(tenths / 36000), static_cast<long long>(tenths / 600 % 60),
                static_cast<long long>(tenths / 10 % 60), static_cast<long long>(tenths % 10));
  return text;
}

bool incomplete(const JournalSummary& s) {
  return s.damaged_stretches > 0 || s.missing_records > 0 || s.dropped > 0;
}

std::string table(const JournalSummary& s) {
  char text[256];
  std::string out = "Recording of " + (s.session ? when(*s.session) : "an unknown time") + ", " +
                    clock_time(s.length) + " long; " +
                    (s.ended ? "it ended in order." : "it was cut off.") + "\n\n";
  std::snprintf(text, sizeof text, "%-19s %-20s %9s %9s %6s %7s\n", "speaker", "user id (or SSRC)",
                "from", "spoken", "losses", "arrived");
  out += text;
  for (const auto& [key, speaker] : s.speakers) {
    std::snprintf(text, sizeof text, " %-20llu %9s %9s %6llu %6.2f%%\n",
                  static_cast<unsigned long long>(key.user_id != 0 ? key.user_id : key.ssrc),
                  clock_time(speaker.first).c_str(), clock_time(speaker.spoken).c_str(),
                  static_cast<unsigned long long>(speaker.losses), share(speaker) * 100);
    out += shown(speaker.name, 19) + text;
  }
  if (s.speakers.empty()) {
    out += "Nobody spoke.\n";
  }
  for (const JournalEvent& mark : s.marks) {
    out += "mark " + clock_time(mark.sample) + " " + human_name(mark.text, 60) + "\n";
  }
  if (s.damaged_stretches > 0) {
    std::snprintf(text, sizeof text,
                  "Stretches damaged: %llu (%llu bytes); records missing: at least %llu.\n",
                  static_cast<unsigned long long>(s.damaged_stretches),
                  static_cast<unsigned long long>(s.damaged_bytes),
                  static_cast<unsigned long long>(s.missing_records));
    out += text;
    for (std::size_t i = 0; i < std::min<std::size_t>(s.damage.size(), 10); i++) {
      const JournalDamage& d = s.damage[i];
      std::snprintf(text, sizeof text, "  at byte %zu: %zu bytes (%s)\n", d.offset, d.bytes,
                    to_string(d.cause));
      out += text;
    }
  }
  if (s.dropped > 0) {
    out += std::to_string(s.dropped) + " packets were dropped because the disk was too slow.\n";
  }
  return out;
}

std::string json(const JournalSummary& s) {
  nlohmann::json out = {
      {"ended", s.ended},
      {"seconds", static_cast<double>(s.length) / 48000},
      {"records", s.records},
      {"damaged_stretches", s.damaged_stretches},
      {"damaged_bytes", s.damaged_bytes},
      {"missing_records", s.missing_records},
      {"dropped_packets", s.dropped},
      {"speakers", nlohmann::json::array()},
      {"marks", nlohmann::json::array()},
  };
  if (s.session) {
    out["start"] = when(*s.session);
    out["software"] = valid(s.session->software);
  }
  for (const auto& [key, speaker] : s.speakers) {
    out["speakers"].push_back({{"user_id", std::to_string(key.user_id)},
                               {"ssrc", key.ssrc},
                               {"name", valid(speaker.name)},
                               {"packets", speaker.packets},
                               {"bytes", speaker.bytes},
                               {"first", static_cast<double>(speaker.first) / 48000},
                               {"end", static_cast<double>(speaker.end) / 48000},
                               {"spoken", static_cast<double>(speaker.spoken) / 48000},
                               {"losses", speaker.losses},
                               {"lost_packets", speaker.lost_packets},
                               {"lost", static_cast<double>(speaker.lost_samples) / 48000}});
  }
  for (const JournalEvent& mark : s.marks) {
    out["marks"].push_back(
        {{"at", static_cast<double>(mark.sample) / 48000}, {"label", valid(mark.text)}});
  }
  return out.dump();
}

}  // namespace recover
