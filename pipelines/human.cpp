// SPDX-License-Identifier: LGPL-2.1-or-later
#include "human.hpp"

#include <glib.h>
#include <cstdio>

namespace pipelines {

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

std::string human_time(double seconds) {
  const long whole = static_cast<long>(seconds);
  char text[48];
  std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

std::string human_name(const std::string& name, std::size_t columns) {
  gchar* valid = g_utf8_make_valid(name.data(), static_cast<gssize>(name.size()));
  std::string out;
  for (const gchar* p = valid; *p != '\0' && columns > 0; p = g_utf8_next_char(p)) {
    const gunichar c = g_utf8_get_char(p);
    if (!g_unichar_isprint(c) || g_unichar_iszerowidth(c) != FALSE) {
      continue;
    }
    const std::size_t width = g_unichar_iswide(c) != FALSE ? 2 : 1;
    if (width > columns) {
      break;
    }
    out.append(p, static_cast<const gchar*>(g_utf8_next_char(p)));
    columns -= width;
  }
  g_free(valid);
  return out + std::string(columns, ' ');
}

}  // namespace pipelines
