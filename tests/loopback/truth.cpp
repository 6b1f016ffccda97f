#include "truth.hpp"

namespace discord::loopback {

nlohmann::json summary(const SpeakerTruth& t) {
  nlohmann::json spurts = nlohmann::json::array();
  for (const SpurtRecord& s : t.spurts) {
    spurts.push_back({{"start_ns", s.start_ns},
                      {"frames", s.frames},
                      {"packets", s.records},
                      {"source", s.pcm ? s.pcm->name : std::string()},
                      {"first_frame", s.first_frame}});
  }
  return {{"user_id", std::to_string(t.user_id)},
          {"name", t.name},
          {"ssrc", t.ssrc},
          {"packets", t.packets},
          {"delivered", t.delivered},
          {"lost", t.lost},
          {"duplicated", t.duplicated},
          {"displaced", t.displaced},
          {"not_forwarded", t.not_forwarded},
          {"samples", t.samples},
          {"spurts", std::move(spurts)}};
}

}  // namespace discord::loopback
