// SPDX-License-Identifier: LGPL-2.1-or-later
#include "net/session_file.hpp"

#include "base/hex.hpp"

#include <fcntl.h>
#include <gio/gio.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <array>
#include <nlohmann/json.hpp>

namespace discord::net {

namespace {

using nlohmann::json;

std::string hash_of(const SecretString& token, const std::string& url,
                    std::optional<voice::gateway::Shard> shard) {
  std::array<std::uint8_t, 16> hash{};
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, hash.size());
  const auto add = [&](const std::string& part) {
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(part.c_str()),
                              part.size() + 1);
  };
  add(token.reveal());
  add(url);
  if (shard) {
    add(std::to_string(shard->first) + "/" + std::to_string(shard->second));
  }
  crypto_generichash_final(&state, hash.data(), hash.size());
  sodium_memzero(&state, sizeof state);
  return to_hex(hash);
}

}  // namespace

SessionFile::SessionFile(std::string folder, const SecretString& token, const std::string& url,
                         std::optional<voice::gateway::Shard> shard) {
  if (folder.empty()) {
    folder = std::string(g_get_user_state_dir()) + "/gst-discord";
  }
  path_ = folder + "/gateway-" + hash_of(token, url, shard) + ".json";
  if (g_mkdir_with_parents(folder.c_str(), 0700) != 0) {
    failures_++;
    return;
  }
  FileDescriptor lock(::open((path_ + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
    lock_ = std::move(lock);
  }
}

voice::gateway::Saved SessionFile::load() const {
  voice::gateway::Saved saved;
  gchar* content = nullptr;
  gsize size = 0;
  if (!held() || !g_file_get_contents(path_.c_str(), &content, &size, nullptr)) {
    return saved;
  }
  const json file = json::parse(content, content + size, nullptr, false);
  g_free(content);
  if (!file.is_object()) {
    return saved;
  }
  try {
    saved.session_id = file.value("session_id", "");
    saved.resume_url = file.value("resume_url", "");
    saved.seq = file.value("seq", std::uint64_t{0});
    saved.user = file.value("user", std::uint64_t{0});
    saved.application = file.value("application", std::uint64_t{0});
    saved.identifies = file.value("identifies", std::vector<std::int64_t>());
  } catch (const json::exception&) {
    saved = {};  // somebody wrote into it: as good as no file
  }
  return saved;
}

void SessionFile::save(const voice::gateway::Saved& saved) {
  if (!held()) {
    return;
  }
  const std::string content = json{
      {"session_id", saved.session_id},
      {"resume_url", saved.resume_url},
      {"seq", saved.seq},
      {"user", saved.user},
      {"application", saved.application},
      {"identifies",
       saved.identifies}}.dump(-1, ' ', false, json::error_handler_t::replace);
  if (!g_file_set_contents_full(path_.c_str(), content.data(), static_cast<gssize>(content.size()),
                                G_FILE_SET_CONTENTS_CONSISTENT, 0600, nullptr)) {
    failures_++;
  }
}

}  // namespace discord::net
