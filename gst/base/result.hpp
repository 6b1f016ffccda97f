// What a parser or a cipher returns: a value, or a typed reason why there is none.
#pragma once

#include <cassert>
#include <utility>
#include <variant>

namespace discord {

template <class E> struct Failure { E error; };
template <class E> Failure(E) -> Failure<E>;

template <class T, class E> class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Failure<E> failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  // The caller has asked `ok()` first; asking for the wrong side is a programming error.
  T& value() & noexcept {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& noexcept {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && noexcept {
    assert(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  const E& error() const noexcept {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }

  T& operator*() & noexcept { return value(); }
  const T& operator*() const& noexcept { return value(); }
  T* operator->() noexcept { return &value(); }
  const T* operator->() const noexcept { return &value(); }

 private:
  std::variant<T, E> state_;
};

}  // namespace discord
