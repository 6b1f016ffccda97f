#include "people.hpp"

#include "audio_files.hpp"

#include <unistd.h>
#include <atomic>
#include <map>
#include <mutex>

namespace discord::e2e {

using namespace loopback;

namespace {

constexpr std::uint64_t first_user = 300000000000000001u;
constexpr std::size_t files_per_voice = 4;

const std::vector<Voice>& voices() {
  static const std::vector<Voice> all = installed_voices();
  return all;
}

// Each file is decoded once a program.
PcmPtr sound(const std::string& path) {
  static std::mutex mutex;
  static std::map<std::string, PcmPtr> read;
  const std::lock_guard lock(mutex);
  PcmPtr& pcm = read[path];
  if (!pcm) {
    pcm = read_audio_file(path).value();
  }
  return pcm;
}

// The voice on the left, and 10 ms later and softer on the right: channels that differ.
PcmPtr widened(const PcmPtr& pcm) {
  constexpr std::size_t delay = 480;
  auto out = std::make_shared<Pcm>();
  out->channels = 2;
  out->name = pcm->name;
  out->samples.resize(pcm->frames() * 2);
  for (std::size_t i = 0; i < pcm->frames(); ++i) {
    const std::size_t step = static_cast<std::size_t>(pcm->channels);
    out->samples[2 * i] = pcm->samples[i * step];
    out->samples[2 * i + 1] = i < delay
                                  ? std::int16_t{0}
                                  : static_cast<std::int16_t>(pcm->samples[(i - delay) * step] / 2);
  }
  return out;
}

Duration seconds(double s) {
  return Duration(static_cast<Duration::rep>(s * 1e9));
}

}  // namespace

TalkerOptions person(const Talk& talk) {
  const Voice& voice = voices()[talk.index % voices().size()];
  TalkerOptions out;
  SpeakerOptions& s = out.speaker;
  s.user_id = first_user + talk.index;
  s.name = voice.name + "-" + std::to_string(talk.index);
  s.timestamps = talk.index % 2 == 0 ? TimestampHabit::advance : TimestampHabit::freeze;
  s.channels = talk.index % 3 == 0 ? Channels::mono : Channels::stereo;
  double at = 0.15 * static_cast<double>(talk.index % 8);
  for (int i = 0; i < talk.spurts; ++i) {
    const std::size_t file = (talk.index + static_cast<std::size_t>(i)) % files_per_voice;
    Spurt spurt;
    spurt.pcm = sound(voice.files[file % voice.files.size()]);
    if (s.channels == Channels::stereo) {
      spurt.pcm = widened(spurt.pcm);
    }
    spurt.start = seconds(at);
    spurt.frames = static_cast<std::size_t>(talk.length * sample_rate);
    s.spurts.push_back(spurt);
    // No two pauses alike, so that nothing fits by chance.
    at += talk.length + talk.gap + 0.037 * i + 0.013 * static_cast<double>(talk.index % 7);
  }
  return out;
}

Options call_of(std::size_t count, int spurts) {
  Options options;
  CallOptions call;
  call.guild_id = 400000000000000001u;
  call.channel_id = 400000000000000002u;
  for (std::size_t i = 0; i < count; ++i) {
    call.talkers.push_back(person({.index = i, .spurts = spurts}));
  }
  options.calls.push_back(std::move(call));
  return options;
}

Options short_spurts(bool encrypted, double seconds) {
  using namespace std::chrono_literals;
  constexpr double period = 0.7;
  Options options = call_of(2, static_cast<int>(seconds / period));
  for (TalkerOptions& talker : options.calls.front().talkers) {
    Duration at = talker.speaker.spurts.front().start;
    for (Spurt& spurt : talker.speaker.spurts) {
      spurt.start = at;
      spurt.frames = sample_rate * 4 / 10;
      // No two pauses in a row alike, so that nothing fits by chance.
      at += Duration(static_cast<Duration::rep>(period * 1e9)) + at % 37ms;
    }
  }
  static std::atomic<int> calls = 0;
  options.main.bot_token = "e2e-" + std::to_string(++calls) + "-" + std::to_string(getpid());
  options.dave.delivery.version = encrypted ? 1 : 0;
  return options;
}

bool Calls::can_talk() {
  return !voices().empty();
}

void Calls::SetUp() {
  if (!can_talk()) {
    GTEST_SKIP() << no_voices_hint();
  }
}

}  // namespace discord::e2e
