// A DAVE participant as a program, for tests against other implementations: one JSON object per
// line in, one out, bytes as lower-case hex. {"error": "..."} refuses and leaves the state as
// before. The commands are described in docs/design/dave.md "dave-peer".
#include "base/hex.hpp"
#include "dave/codes.hpp"
#include "dave/epoch_list.hpp"
#include "dave/frame_opener.hpp"
#include "dave/member.hpp"

#include <chrono>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>

using namespace discord;
using namespace discord::dave;
using nlohmann::json;

namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw std::runtime_error(why);
}

std::uint64_t id_of(const json& value) {
  const std::string text = value.get<std::string>();
  std::size_t used = 0;
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) {
    refuse("an id is a decimal string");
  }
  const std::uint64_t id = std::stoull(text, &used);
  return id;
}

Bytes bytes_of(const json& request, const char* name) {
  const auto bytes = from_hex(request.at(name).get<std::string>());
  if (!bytes) {
    refuse(std::string(name) + " is not hex");
  }
  return *bytes;
}

UserSet users_of(const json& request) {
  UserSet users;
  for (const json& user : request.at("recognised")) {
    users.insert(id_of(user));
  }
  return users;
}

// CPU time of what a command does, without JSON and hex.
class Stopwatch {
 public:
  explicit Stopwatch(std::int64_t& out) : out_(out), begin_(now()) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { out_ = now() - begin_; }

 private:
  static std::int64_t now() {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
  }
  std::int64_t& out_;
  std::int64_t begin_;
};

class Peer {
 public:
  json answer(const json& request) {
    const std::string cmd = request.at("cmd").get<std::string>();
    if (cmd == "init") {
      return init(request);
    }
    if (!member_) {
      refuse("init comes first");
    }
    if (cmd == "external_sender") {
      check(member_->set_external_sender(bytes_of(request, "body")));
      return json::object();
    }
    if (cmd == "timing") {
      return {{"cpu_ns", cpu_ns_}};
    }
    if (cmd == "key_package") {
      return {{"key_package", to_hex(take(member_->start_over()))}};
    }
    if (cmd == "proposals") {
      return proposals(request);
    }
    if (cmd == "commit") {
      const Bytes body = bytes_of(request, "body");
      const Stopwatch watch(cpu_ns_);
      if (take(member_->commit(body)) == CommitOutcome::advanced) {
        entered_epoch();
      } else {
        sender_.reset();
      }
      return json::object();
    }
    if (cmd == "welcome") {
      static_cast<void>(users_of(request));  // must be there, but nobody is refused for it
      const Bytes body = bytes_of(request, "body");
      const Stopwatch watch(cpu_ns_);
      check(member_->welcome(body));
      entered_epoch();
      return json::object();
    }
    if (cmd == "encrypt") {
      return encrypt(bytes_of(request, "frame"));
    }
    if (cmd == "decrypt") {
      return decrypt(id_of(request.at("user_id")), bytes_of(request, "frame"));
    }
    if (cmd == "info") {
      return info();
    }
    if (cmd == "verification_code") {
      return verification(id_of(request.at("user_id")));
    }
    refuse("unknown command " + cmd);
  }

 private:
  static Time now() {
    return time_from_ns(std::chrono::duration_cast<std::chrono::nanoseconds>(
                            std::chrono::steady_clock::now().time_since_epoch())
                            .count());
  }
  static void check(const std::optional<MemberFailure>& failure) {
    if (failure) {
      refuse(describe(*failure));
    }
  }
  template <class T> static T take(Result<T, MemberFailure> result) {
    if (!result) {
      refuse(describe(result.error()));
    }
    return std::move(result.value());
  }

  json init(const json& request) {
    if (request.at("protocol_version").get<int>() != 1) {
      refuse("only version 1 is known");
    }
    auto key = mls::KeyPair::from_private(bytes_of(request, "signature_private"));
    if (!key) {
      refuse("signature_private is no key");
    }
    if (!std::ranges::equal(key->public_key(), bytes_of(request, "signature_public"))) {
      refuse("the keys do not belong together");
    }
    member_.emplace(id_of(request.at("user_id")), id_of(request.at("channel_id")), std::move(*key),
                    random_);
    epochs_.clear();
    opener_ = FrameOpener();
    sender_.reset();
    return json::object();
  }

  json proposals(const json& request) {
    const Bytes body = bytes_of(request, "body");
    if (body.empty()) {
      refuse("empty body");
    }
    const UserSet recognised = users_of(request);
    const auto made = [&] {
      const Stopwatch watch(cpu_ns_);
      return take(member_->proposals(body[0], ByteSpan(body).subspan(1), recognised));
    }();
    return {{"commit_welcome", made ? json(to_hex(*made)) : json()}};
  }

  // As transition 0: receiving and sending change together.
  void entered_epoch() {
    const Time time = now();
    epochs_.expire(time);
    epochs_.execute(epochs_.add(member_->epoch(), member_->sender_keys(), time), time);
    auto keys = std::make_shared<MediaKeys>();
    keys->active = true;
    keys->epochs = epochs_.entries();
    opener_.use(std::move(keys), time);
    sender_.emplace(*member_->base_secret(member_->user()));
  }

  json encrypt(const Bytes& plain) {
    if (!sender_) {
      refuse("not in a group");
    }
    if (is_silence(plain)) {
      return {{"frame", to_hex(plain)}};
    }
    Bytes room(plain.size() + frame_max_footer);
    const auto frame = sender_->seal(plain, {}, room);
    if (!frame) {
      refuse("cannot be sealed");
    }
    return {{"frame", to_hex(*frame)}};
  }

  json decrypt(std::uint64_t user, Bytes frame) {
    const OpenedFrame opened = opener_.open(user, frame, now());
    if (!opened.deliverable()) {
      refuse(to_string(opened.outcome));
    }
    return {{"frame", to_hex(opened.plain)}};
  }

  json info() const {
    if (!member_->established()) {
      refuse("not in a group");
    }
    json members = json::array();
    for (const GroupMember& member : member_->members()) {
      members.push_back(std::to_string(member.user));
    }
    return {{"epoch", member_->epoch()},
            {"members", std::move(members)},
            {"voice_privacy_code", member_->privacy_code()}};
  }

  json verification(std::uint64_t user) const {
    for (const GroupMember& member : member_->members()) {
      if (member.user != user) {
        continue;
      }
      const auto code = verification_code(member_->signature_key().public_key(), member_->user(),
                                          member.signature_key, user);
      if (!code) {
        refuse("out of memory");
      }
      return {{"code", *code}};
    }
    refuse("no such member");
  }

  std::int64_t cpu_ns_ = 0;
  mls::SystemRandom random_;
  std::optional<Member> member_;
  EpochList epochs_;
  FrameOpener opener_;
  std::optional<SendRatchet> sender_;
};

}  // namespace

int main() {
  Peer peer;
  for (std::string line; std::getline(std::cin, line);) {
    json reply;
    try {
      reply = peer.answer(json::parse(line));
    } catch (const std::exception& e) {
      reply = {{"error", e.what()}};
    }
    std::cout << reply.dump() << std::endl;
  }
}
