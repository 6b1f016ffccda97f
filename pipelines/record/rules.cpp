// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/rules.hpp"

#include <charconv>

namespace recorder {

std::optional<std::string> reason_to_stop(const Rules& rules, const Situation& now) {
  if (rules.max_seconds > 0 && now.seconds >= rules.max_seconds) {
    return "The recording is as long as --max-duration allows.";
  }
  if (rules.max_bytes > 0 && now.bytes >= rules.max_bytes) {
    return "The files are as large as --max-size allows.";
  }
  if (rules.min_free > 0 && now.free_bytes < rules.min_free) {
    return "Less is free on the disk than --min-free asks for.";
  }
  if (rules.empty_seconds > 0 && now.empty_since &&
      now.seconds - *now.empty_since >= rules.empty_seconds) {
    return "Everybody has left the call.";
  }
  return std::nullopt;
}

std::optional<double> parse_duration(const std::string& text) {
  double total = 0;
  const char* p = text.data();
  const char* end = p + text.size();
  int parts = 0;
  for (;;) {
    double value = 0;
    const auto [stop, error] = std::from_chars(p, end, value, std::chars_format::fixed);
    if (error != std::errc() || value < 0 || (parts > 0 && value >= 60) || ++parts > 3) {
      return std::nullopt;
    }
    total = total * 60 + value;
    p = stop;
    if (p == end || *p != ':') {
      break;
    }
    p++;
  }
  if (end - p == 1 && parts == 1) {
    const double unit = *p == 's' ? 1 : *p == 'm' ? 60 : *p == 'h' ? 3600 : 0;
    total *= unit;
    p = end;
  }
  return p == end && total > 0 && total < 1e9 ? std::optional(total) : std::nullopt;
}

std::optional<std::uint64_t> parse_size(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc()) {
    return std::nullopt;
  }
  double unit = 1;
  const char* p = stop;
  if (end - p == 1) {
    unit = *p == 'k' || *p == 'K' ? 1e3 : *p == 'M' ? 1e6 : *p == 'G' ? 1e9 : *p == 'T' ? 1e12 : 0;
    p++;
  }
  const double bytes = value * unit;
  return p == end && bytes >= 1 && bytes < 1e18 ? std::optional(static_cast<std::uint64_t>(bytes))
                                                : std::nullopt;
}

}  // namespace recorder
