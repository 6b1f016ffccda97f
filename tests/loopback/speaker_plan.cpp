#include "speaker_plan.hpp"

#include "audio_files.hpp"

#include <charconv>
#include <map>

namespace discord::loopback {

using nlohmann::json;

namespace {

constexpr const char* more_names[] = {"Bela", "Chen", "Dilara", "Emeka", "Freya", "Goran", "Hana"};
constexpr std::uint64_t first_user = 200000000000000001u;

Duration seconds(double s) {
  return Duration(static_cast<Duration::rep>(s * 1e9));
}

Duration length_of(std::size_t frames) {
  return Duration(static_cast<Duration::rep>(frames) * 1'000'000'000 / sample_rate);
}

struct Person {
  std::string name;
  const Voice* voice;
  std::size_t next_file;
};

void mix(SpeakerOptions& s, const PlanOptions& plan, std::size_t index) {
  static constexpr Channels channels[] = {Channels::mono, Channels::stereo, Channels::alternate};
  static const std::vector<int> frames[] = {{960}, {480}, {1920},          {2880},
                                            {120}, {240}, {960, 480, 1920}};
  if (plan.mix_channels) {
    s.channels = channels[index % std::size(channels)];
  }
  if (plan.mix_timestamps) {
    s.timestamps = index % 2 == 0 ? TimestampHabit::advance : TimestampHabit::freeze;
  }
  if (plan.mix_frames) {
    s.frame_ticks = frames[index % std::size(frames)];
  }
  if (plan.near_wrap) {
    s.first_sequence = static_cast<std::uint16_t>(65536 - 40 - index);
    s.first_timestamp = static_cast<std::uint32_t>(0xFFFFFFFFu - 48000u * 2 - 960u * index);
  }
}

}  // namespace

std::optional<int> frame_ticks_from_ms(double ms) noexcept {
  for (const int ticks : {120, 240, 480, 960, 1920, 2880}) {
    if (ms * 48 == ticks) {
      return ticks;
    }
  }
  return std::nullopt;
}

Result<std::vector<TalkerOptions>, std::string> make_conversation(const PlanOptions& plan) {
  const std::vector<Voice> voices = installed_voices();
  if (voices.empty()) {
    return Failure{no_voices_hint()};
  }
  Random random(derive_seed(plan.seed, "conversation"));
  std::vector<Person> people;
  for (int i = 0; i < plan.speakers; ++i) {
    const auto index = static_cast<std::size_t>(i);
    const Voice& voice = voices[index % voices.size()];
    const std::size_t again = index / voices.size();
    std::string name = voice.name;
    if (again > 0) {
      const std::size_t extra = index - voices.size();
      name = more_names[extra % std::size(more_names)];
      if (extra >= std::size(more_names)) {
        name += " " + std::to_string(extra / std::size(more_names) + 1);
      }
    }
    people.push_back({std::move(name), &voice, random.below(voice.files.size())});
  }

  std::vector<TalkerOptions> talkers(people.size());
  std::map<std::string, PcmPtr> loaded;
  const auto longest = static_cast<std::size_t>(plan.longest.count() * sample_rate / 1'000'000'000);
  Duration at{0};
  Duration end{0};
  for (int turn = 0; turn < plan.turns; ++turn) {
    for (std::size_t i = 0; i < people.size(); ++i) {
      Person& person = people[i];
      const std::string& path =
          person.voice->files[person.next_file++ % person.voice->files.size()];
      PcmPtr& pcm = loaded[path];
      if (!pcm) {
        auto read = read_audio_file(path);
        if (!read) {
          return Failure{read.error()};
        }
        pcm = *read;
      }
      Spurt spurt;
      spurt.pcm = pcm;
      spurt.start = at;
      spurt.frames = std::min(pcm->frames(), longest);
      const Duration length = length_of(spurt.frames);
      talkers[i].speaker.spurts.push_back(spurt);
      end = std::max(end, at + length);
      // A third of the turns begins before the previous speaker has finished.
      const double draw = random.unit();
      const bool overlap = random.percent(35);
      at += overlap ? std::max(length - seconds(0.3 + 0.9 * draw), seconds(0.2))
                    : length + seconds(0.2 + 0.5 * draw);
    }
  }
  for (std::size_t i = 0; i < people.size(); ++i) {
    std::vector<Spurt> spurts = std::move(talkers[i].speaker.spurts);
    SpeakerOptions& s = talkers[i].speaker;
    s = plan.speaker;
    s.user_id = first_user + i;
    s.name = people[i].name;
    s.ssrc = 0;
    s.spurts = std::move(spurts);
    s.repeat = plan.repeat ? end + seconds(1) : Duration{0};
    mix(s, plan, i);
    talkers[i].announce = i % 2 == 0 ? Announce::early : Announce::normal;
  }
  return talkers;
}

Result<TalkerOptions, std::string> talker_from_json(const json& j, const SpeakerOptions& defaults) {
  if (!j.is_object()) {
    return Failure{std::string("a speaker is a JSON object")};
  }
  static constexpr const char* known[] = {"name",           "user_id",
                                          "ssrc",           "files",
                                          "start",          "gap",
                                          "repeat",         "channels",
                                          "frame_ms",       "timestamps",
                                          "bitrate",        "fec",
                                          "first_sequence", "first_timestamp",
                                          "padding",        "extension",
                                          "silence_frames", "fewer_silence",
                                          "dtx_tail_ms",    "padding_burst",
                                          "flags",          "announce",
                                          "video_ssrc",     "expected_loss",
                                          "complexity",     "bot"};
  for (const auto& [key, value] : j.items()) {
    if (std::find(std::begin(known), std::end(known), key) == std::end(known)) {
      return Failure{"unknown key in a speaker: " + key};
    }
  }
  TalkerOptions out;
  SpeakerOptions& s = out.speaker;
  s = defaults;
  s.spurts.clear();
  try {
    s.name = j.value("name", "");
    s.bot = j.value("bot", false);
    if (j.contains("user_id")) {
      const std::string id = j.at("user_id");
      const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), s.user_id);
      if (error != std::errc() || end != id.data() + id.size()) {
        return Failure{"user_id is a string of digits, not " + id};
      }
    }
    s.ssrc = j.value("ssrc", std::uint32_t{0});
    s.bitrate = j.value("bitrate", s.bitrate);
    s.complexity = j.value("complexity", s.complexity);
    s.fec = j.value("fec", s.fec);
    s.expected_loss = j.value("expected_loss", s.expected_loss);
    s.extension = j.value("extension", s.extension);
    s.padding = j.value("padding", s.padding);
    s.silence_frames = j.value("silence_frames", s.silence_frames);
    s.fewer_silence = j.value("fewer_silence", s.fewer_silence);
    s.padding_burst = j.value("padding_burst", s.padding_burst);
    s.flags = j.value("flags", s.flags);
    if (j.contains("dtx_tail_ms")) {
      s.dtx_tail = seconds(j.at("dtx_tail_ms").get<double>() / 1000);
    }
    if (j.contains("first_sequence")) {
      s.first_sequence = j.at("first_sequence").get<std::uint16_t>();
    }
    if (j.contains("first_timestamp")) {
      s.first_timestamp = j.at("first_timestamp").get<std::uint32_t>();
    }
    s.repeat = seconds(j.value("repeat", 0.0));
    out.video_ssrc = j.value("video_ssrc", std::uint32_t{0});

    const std::string channels = j.value("channels", "mono");
    s.channels = channels == "stereo"      ? Channels::stereo
                 : channels == "alternate" ? Channels::alternate
                                           : Channels::mono;
    if (channels != "mono" && channels != "stereo" && channels != "alternate") {
      return Failure{"channels is mono, stereo or alternate, not " + channels};
    }
    const std::string habit = j.value("timestamps", "advance");
    if (habit != "advance" && habit != "freeze") {
      return Failure{"timestamps is advance or freeze, not " + habit};
    }
    s.timestamps = habit == "advance" ? TimestampHabit::advance : TimestampHabit::freeze;
    const std::string when = j.value("announce", "normal");
    if (when != "early" && when != "normal" && when != "late") {
      return Failure{"announce is early, normal or late, not " + when};
    }
    out.announce = when == "early"  ? Announce::early
                   : when == "late" ? Announce::late
                                    : Announce::normal;
    if (j.contains("frame_ms")) {
      s.frame_ticks.clear();
      const json list = j.at("frame_ms").is_array() ? j.at("frame_ms") : json{j.at("frame_ms")};
      for (const json& ms : list) {
        const auto ticks = frame_ticks_from_ms(ms.get<double>());
        if (!ticks) {
          return Failure{"frame_ms is 2.5, 5, 10, 20, 40 or 60, not " + ms.dump()};
        }
        s.frame_ticks.push_back(*ticks);
      }
    }
    Duration at = seconds(j.value("start", 0.0));
    const Duration gap = seconds(j.value("gap", 1.0));
    for (const json& file : j.value("files", json::array())) {
      auto pcm = read_audio_file(file.get<std::string>());
      if (!pcm) {
        return Failure{pcm.error()};
      }
      s.spurts.push_back({*pcm, at, 0, 0});
      at += length_of((*pcm)->frames()) + gap;
    }
  } catch (const json::exception& e) {
    return Failure{"speaker " + s.name + ": " + e.what()};
  }
  return out;
}

Result<std::vector<TalkerOptions>, std::string> talkers_from_json(const json& j,
                                                                  const SpeakerOptions& defaults) {
  if (!j.is_array()) {
    return Failure{std::string("a speakers file is a JSON array of speakers")};
  }
  std::vector<TalkerOptions> out;
  for (const json& one : j) {
    auto talker = talker_from_json(one, defaults);
    if (!talker) {
      return Failure{talker.error()};
    }
    out.push_back(std::move(*talker));
    if (out.back().speaker.name.empty()) {
      out.back().speaker.name = "Speaker " + std::to_string(out.size());
    }
  }
  return out;
}

}  // namespace discord::loopback
