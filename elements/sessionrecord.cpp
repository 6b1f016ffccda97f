// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/sessionrecord.hpp"

#include "config.h"
#include "elements/recordname.hpp"
#include "elements/structurejson.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

namespace discord {

namespace {

using nlohmann::json;

// Twice what a call of a day of short words needs; nobody's list grows without end.
constexpr std::size_t most_spans = 200000;
constexpr std::size_t most_events = 100000;
// Packets closer than this belong to one spurt.
constexpr std::int64_t same_spurt = 48000 / 5;

void extend(std::vector<SpeakerLog::Span>& spans, std::int64_t begin, std::int64_t end, bool join) {
  if (join && !spans.empty()) {
    spans.back().second = std::max(spans.back().second, end);
  } else if (spans.size() < most_spans) {
    spans.emplace_back(begin, end);
  }
}

json spans_of(const std::vector<SpeakerLog::Span>& spans) {
  json out = json::array();
  for (const auto& [begin, end] : spans) {
    out.push_back({begin, end});
  }
  return out;
}

// A name that is not UTF-8 must not take the whole record with it.
std::string text_of(const json& record) {
  return record.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string percent(double part) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", part);
  return text;
}

std::string clock_of(std::int64_t sample) {
  const std::int64_t ms = sample / 48;
  char text[48];
  std::snprintf(text, sizeof text, "%lld:%02lld:%02lld.%03lld",
                static_cast<long long>(ms / 3600000), static_cast<long long>(ms / 60000 % 60),
                static_cast<long long>(ms / 1000 % 60), static_cast<long long>(ms % 1000));
  return text;
}

std::string verdict_of(const SpeakerLog::View& v) {
  const SpeakerLog::Counts& c = v.counts;
  std::string who = v.name.empty() ? "" : v.name + " ";
  who += v.user != 0 ? "(" + std::to_string(v.user) + ")"
                     : "(SSRC " + std::to_string(v.ssrcs.empty() ? 0 : v.ssrcs.front()) + ")";
  const guint64 missing = c.lost + c.recovered + c.concealed + c.dropped;
  const auto all = static_cast<double>(c.packets - std::min(c.packets, c.dropped) + missing);
  if (missing == 0 || all == 0) {
    return who + ": complete, " + std::to_string(v.spurts.size()) +
           (v.spurts.size() == 1 ? " talk spurt" : " talk spurts");
  }
  std::string out =
      who + ": " + percent(100.0 * (all - static_cast<double>(missing)) / all) + " original";
  if (c.recovered != 0) {
    out += ", " + percent(100.0 * static_cast<double>(c.recovered) / all) + " recovered";
  }
  if (c.lost + c.concealed != 0) {
    out += ", " + percent(100.0 * static_cast<double>(c.lost + c.concealed) / all) + " lost";
  }
  if (c.dropped != 0) {
    out += ", " + percent(100.0 * static_cast<double>(c.dropped) / all) + " not written";
  }
  if (!v.losses.empty()) {
    out += ", first at " + clock_of(v.losses.front().first);
  }
  return out;
}

}  // namespace

void add_counts(SpeakerLog::Counts& to, const OutputCounts& c) {
  to.packets += c.buffers;
  to.silence += c.silence;
  to.lost += c.lost;
  to.recovered += c.recovered;
  to.concealed += c.concealed;
  to.dropped += c.dropped;
}

// --- a speaker ---

void SpeakerLog::identify(guint64 user, guint32 ssrc, const std::string& name) {
  Lock lock(mutex_);
  all_.user = user != 0 ? user : all_.user;
  if (!name.empty()) {
    all_.name = name;
  }
  if (std::find(all_.ssrcs.begin(), all_.ssrcs.end(), ssrc) == all_.ssrcs.end() &&
      all_.ssrcs.size() < 1000) {
    all_.ssrcs.push_back(ssrc);
  }
}

void SpeakerLog::packet(std::int64_t begin, std::int64_t end, bool silence) {
  Lock lock(mutex_);
  if (silence) {
    speaking_ = false;
    return;
  }
  const bool same = !all_.spurts.empty() && begin - all_.spurts.back().second < same_spurt;
  extend(all_.spurts, begin, end, speaking_ && same);
  speaking_ = true;
}

void SpeakerLog::loss(std::int64_t begin, std::int64_t end) {
  Lock lock(mutex_);
  extend(all_.losses, begin, end, !all_.losses.empty() && begin - all_.losses.back().second <= 1);
}

void SpeakerLog::file(const File& file) {
  Lock lock(mutex_);
  for (File& known : all_.files) {
    if (known.name == file.name) {
      known = file;
      return;
    }
  }
  all_.files.push_back(file);
}

void SpeakerLog::no_file(const std::string& name) {
  Lock lock(mutex_);
  std::erase_if(all_.files, [&](const File& known) { return known.name == name; });
}

void SpeakerLog::add(const OutputCounts& counts) {
  Lock lock(mutex_);
  add_counts(all_.counts, counts);
}

void SpeakerLog::unwritten(guint64 packets) {
  Lock lock(mutex_);
  all_.counts.packets += packets;
  all_.counts.dropped += packets;
}

std::string SpeakerLog::verdict(const OutputCounts* open) const {
  View v = view();
  if (open != nullptr) {
    add_counts(v.counts, *open);
  }
  return verdict_of(v);
}

SpeakerLog::View SpeakerLog::view() const {
  Lock lock(mutex_);
  return all_;
}

// --- the file ---

std::string SessionRecord::begin(const RecordFolder& folder, const std::string& started,
                                 const OutputSettings& settings) {
  Result<RecordFile, std::string> file = RecordFile::create(folder, "session", "json");
  if (!file.ok()) {
    return file.error();
  }
  Lock lock(mutex_);
  const std::string& path = file->path();
  name_ = path.substr(path.rfind('/') + 1);
  started_ = started;
  format_ = settings.matroska ? "mka" : record::extension(settings.format);
  layout_ = settings.layout == Layout::Tracks ? "tracks"
            : settings.layout == Layout::Mix  ? "mix"
                                              : "both";
  align_ = settings.from_first ? "speaker" : "session";
  return {};
}

void SessionRecord::event(Event event) {
  Lock lock(mutex_);
  if (events_.size() < most_events) {
    events_.push_back(std::move(event));
  }
}

std::set<guint64> SessionRecord::unheard() const {
  Lock lock(mutex_);
  std::set<guint64> users;
  for (const Event& e : events_) {
    users.insert(e.user);
  }
  users.erase(0);
  for (const SpeakerLogPtr& speaker : speakers_) {
    users.erase(speaker->view().user);
  }
  return users;
}

void SessionRecord::forget(guint64 user) {
  Lock lock(mutex_);
  std::erase_if(events_, [user](const Event& e) { return e.user == user; });
}

SpeakerLogPtr SessionRecord::speaker() {
  Lock lock(mutex_);
  speakers_.push_back(std::make_shared<SpeakerLog>());
  return speakers_.back();
}

std::vector<SpeakerLogPtr> SessionRecord::speakers() const {
  Lock lock(mutex_);
  return speakers_;
}

std::string SessionRecord::name() const {
  Lock lock(mutex_);
  return name_;
}

bool SessionRecord::write(const RecordFolder& folder, std::int64_t length, const Open& open,
                          const GstStructure* ledgers, bool complete) {
  json out;
  std::vector<SpeakerLogPtr> speakers;
  std::string name;
  {
    Lock lock(mutex_);
    if (name_.empty()) {
      return true;
    }
    name = name_;
    out = {{"version", 1},        {"software", "gst-discord " PACKAGE_VERSION},
           {"started", started_}, {"rate", 48000},
           {"samples", length},   {"complete", complete},
           {"format", format_},   {"layout", layout_},
           {"align", align_}};
    json events = json::array();
    for (const Event& e : events_) {
      json one = {{"at", e.sample}, {"what", e.what}};
      if (e.user != 0) {
        one["user-id"] = std::to_string(e.user);
      }
      if (e.what == "encryption") {
        one["version"] = e.number;
        one["epoch"] = e.epoch;
        one["privacy-code"] = e.text;
      } else if (!e.text.empty()) {
        one[e.what == "mark" ? "label" : "text"] = e.text;
      }
      events.push_back(std::move(one));
    }
    out["events"] = std::move(events);
    speakers = speakers_;
  }
  json list = json::array();
  for (const SpeakerLogPtr& s : speakers) {
    SpeakerLog::View v = s->view();
    for (const auto& [speaker, counts] : open) {
      if (speaker == s && counts != nullptr) {
        add_counts(v.counts, *counts);
      }
    }
    json files = json::array();
    for (const SpeakerLog::File& f : v.files) {
      files.push_back({{"name", f.name},
                       {"offset", f.offset},
                       {"samples", f.samples},
                       {"complete", f.complete}});
    }
    list.push_back({{"user-id", std::to_string(v.user)},
                    {"name", v.name},
                    {"ssrcs", v.ssrcs},
                    {"files", std::move(files)},
                    {"spurts", spans_of(v.spurts)},
                    {"losses", spans_of(v.losses)},
                    {"ledger",
                     {{"packets", v.counts.packets},
                      {"silence", v.counts.silence},
                      {"lost", v.counts.lost},
                      {"recovered", v.counts.recovered},
                      {"concealed", v.counts.concealed},
                      {"dropped", v.counts.dropped}}},
                    {"verdict", verdict_of(v)}});
  }
  out["speakers"] = std::move(list);
  out["ledgers"] = json_of(ledgers);
  for (json& element : out["ledgers"]) {
    if (element.is_object() && !complete) {
      element.erase("speakers");
    }
  }
  const std::string text = text_of(out);
  bytes_ = text.size();

  Result<RecordFile, std::string> fresh = RecordFile::create(folder, "." + name, "new");
  if (!fresh.ok()) {
    return false;
  }
  const std::string temporary = fresh->path().substr(fresh->path().rfind('/') + 1);
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fresh->fd(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      fresh->remove();
      return false;
    }
    done += static_cast<std::size_t>(n);
  }
  if (renameat(folder.fd.get(), temporary.c_str(), folder.fd.get(), name.c_str()) != 0) {
    fresh->remove();
    return false;
  }
  return true;
}

std::optional<SessionWithout> session_without(const std::string& text, guint64 user) {
  json record = json::parse(text, nullptr, false);
  if (!record.is_object() || !record["speakers"].is_array() || !record["events"].is_array()) {
    return std::nullopt;
  }
  const auto is_of = [id = std::to_string(user)](const json& one) {
    return one.is_object() && one.value("user-id", json()) == id;
  };
  std::set<json> ssrcs;
  for (const json& speaker : record["speakers"]) {
    if (is_of(speaker)) {
      const json list = speaker.value("ssrcs", json::array());
      ssrcs.insert(list.begin(), list.end());
    }
  }
  const auto is_theirs = [&](const json& speaker) {
    if (is_of(speaker) || !speaker.is_object() || speaker.value("user-id", json()) != "0") {
      return is_of(speaker);
    }
    const json list = speaker.value("ssrcs", json::array());
    return std::any_of(list.begin(), list.end(),
                       [&](const json& ssrc) { return ssrcs.count(ssrc) != 0; });
  };
  SessionWithout out;
  json speakers = json::array();
  json events = json::array();
  for (const json& speaker : record["speakers"]) {
    if (!is_theirs(speaker)) {
      speakers.push_back(speaker);
      continue;
    }
    for (const json& file : speaker.value("files", json::array())) {
      if (file.is_object() && file.value("name", json()).is_string()) {
        out.files.push_back(file["name"].get<std::string>());
      }
    }
  }
  if (json& ledgers = record["ledgers"]; ledgers.is_object()) {
    for (json& element : ledgers) {
      if (element.is_object() && element.value("speakers", json()).is_array()) {
        json others = json::array();
        std::copy_if(element["speakers"].begin(), element["speakers"].end(),
                     std::back_inserter(others), [&](const json& row) {
                       return !is_of(row) &&
                              (!row.is_object() || ssrcs.count(row.value("ssrc", json())) == 0);
                     });
        element["speakers"] = std::move(others);
      }
    }
  }
  std::copy_if(record["events"].begin(), record["events"].end(), std::back_inserter(events),
               [&](const json& event) { return !is_of(event); });
  if (speakers.size() == record["speakers"].size() && events.size() == record["events"].size()) {
    return std::nullopt;
  }
  record["speakers"] = std::move(speakers);
  record["events"] = std::move(events);
  out.text = text_of(record);
  return out;
}

void SessionRecord::reset() {
  Lock lock(mutex_);
  name_.clear();
  events_.clear();
  speakers_.clear();
}

}  // namespace discord
