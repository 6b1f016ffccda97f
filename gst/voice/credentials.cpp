#include "voice/credentials.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

namespace discord::voice {
namespace {

constexpr std::size_t max_value_size = 4096;

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

bool is_host_character(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_';
}

bool is_ipv6_character(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

// Takes `scheme` off the front, whatever its case.
bool take_scheme(std::string_view& text, std::string_view scheme) noexcept {
  if (text.size() < scheme.size()) {
    return false;
  }
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (!std::equal(scheme.begin(), scheme.end(), text.begin(),
                  [&](char a, char b) { return a == lower(b); })) {
    return false;
  }
  text.remove_prefix(scheme.size());
  return true;
}

// Four decimal numbers and nothing else: "127.1" and "127.0.0.1.example" are names, and a name
// may be resolved to anywhere.
bool is_literal_loopback(std::string_view host) noexcept {
  if (host == "[::1]") {
    return true;
  }
  int parts = 0;
  bool loopback = false;
  while (parts < 4) {
    const std::size_t dot = host.find('.');
    const std::string_view part = host.substr(0, dot);
    if (part.empty() || part.size() > 3 || !std::all_of(part.begin(), part.end(), is_digit) ||
        (part.size() > 1 && part[0] == '0')) {
      return false;
    }
    int value = 0;
    std::from_chars(part.data(), part.data() + part.size(), value);
    if (value > 255) {
      return false;
    }
    if (parts == 0) {
      loopback = value == 127;
    }
    ++parts;
    if (dot == std::string_view::npos) {
      return parts == 4 && loopback;
    }
    host.remove_prefix(dot + 1);
  }
  return false;
}

bool is_visible_ascii(std::string_view text) noexcept {
  return text.size() <= max_value_size &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

std::string_view describe(EndpointError error) noexcept {
  switch (error) {
    case EndpointError::Empty:
      return "endpoint is empty; it is the host and port from Discord's voice server update";
    case EndpointError::UnknownScheme:
      return "endpoint starts with a scheme other than wss://; leave the scheme away";
    case EndpointError::PlainNotLoopback:
      return "endpoint asks for plain ws://, which is accepted only for 127.0.0.0/8 and [::1] "
             "because the token would travel readable; use wss://";
    case EndpointError::BadHost:
      return "endpoint does not start with a host name or address";
    case EndpointError::BadPort:
      return "endpoint has a port that is not a number from 1 to 65535";
    case EndpointError::HasPath:
      return "endpoint has a path or query behind the host; give host and port only";
  }
  return "endpoint cannot be used";
}

Result<std::string, EndpointError> gateway_url(std::string_view endpoint) {
  return websocket_url(endpoint, "/?v=8");
}

std::string endpoint_host(std::string_view endpoint) {
  if (!take_scheme(endpoint, "wss://")) {
    take_scheme(endpoint, "ws://");
  }
  const std::size_t end =
      endpoint.starts_with('[') ? endpoint.find(']') + 1 : endpoint.find_first_of(":/");
  std::string host(endpoint.substr(0, end));
  for (char& c : host) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  return host;
}

Result<std::string, EndpointError> websocket_url(std::string_view endpoint,
                                                 std::string_view path_and_query) {
  bool plain = false;
  if (!take_scheme(endpoint, "wss://")) {
    plain = take_scheme(endpoint, "ws://");
    if (!plain && endpoint.find("://") != std::string_view::npos) {
      return Failure{EndpointError::UnknownScheme};
    }
  }
  if (!endpoint.empty() && endpoint.back() == '/') {
    endpoint.remove_suffix(1);
  }
  if (endpoint.empty()) {
    return Failure{EndpointError::Empty};
  }
  if (endpoint.find_first_of("/?#") != std::string_view::npos) {
    return Failure{EndpointError::HasPath};
  }

  std::size_t host_size = 0;
  if (endpoint.front() == '[') {
    const std::size_t close = endpoint.find(']');
    if (close == std::string_view::npos || close < 3) {
      return Failure{EndpointError::BadHost};
    }
    const std::string_view inside = endpoint.substr(1, close - 1);
    if (!std::all_of(inside.begin(), inside.end(), is_ipv6_character)) {
      return Failure{EndpointError::BadHost};
    }
    host_size = close + 1;
  } else {
    host_size = std::min(endpoint.find(':'), endpoint.size());
  }
  const std::string_view host = endpoint.substr(0, host_size);
  if (host.empty() || host.size() > 253 ||
      (host.front() != '[' && !std::all_of(host.begin(), host.end(), is_host_character))) {
    return Failure{EndpointError::BadHost};
  }

  const std::string_view rest = endpoint.substr(host_size);
  if (!rest.empty()) {
    const std::string_view port = rest.substr(1);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
    if (rest.front() != ':' || port.empty() || error != std::errc{} ||
        end != port.data() + port.size() || value == 0 || value > 65535) {
      return Failure{EndpointError::BadPort};
    }
  }
  if (plain && !is_literal_loopback(host)) {
    return Failure{EndpointError::PlainNotLoopback};
  }

  std::string url = plain ? "ws://" : "wss://";
  url.append(endpoint);
  url.append(path_and_query);
  return url;
}

std::string problems(const Credentials& credentials) {
  std::vector<std::string> found;
  if (credentials.endpoint.empty()) {
    found.emplace_back("endpoint is missing");
  } else if (const auto url = gateway_url(credentials.endpoint); !url.ok()) {
    found.emplace_back(describe(url.error()));
  }
  const auto check_text = [&](std::string_view name, const std::string& value) {
    if (value.empty()) {
      found.push_back(std::string(name) + " is missing");
    } else if (!is_visible_ascii(value)) {
      found.push_back(std::string(name) + " contains characters that cannot be part of one");
    }
  };
  check_text("session-id", credentials.session_id);
  check_text("token", credentials.token.reveal());
  if (credentials.user_id == 0) {
    found.emplace_back("user-id is missing");
  }
  if (credentials.guild_id == 0) {
    found.emplace_back("guild-id is missing");
  }
  if (found.empty()) {
    return {};
  }
  std::string sentence = "The voice connection cannot be made: ";
  for (std::size_t i = 0; i < found.size(); ++i) {
    sentence += i == 0 ? "" : "; ";
    sentence += found[i];
  }
  return sentence + ".";
}

}  // namespace discord::voice
