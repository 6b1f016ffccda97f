#include "media/ledger.hpp"

namespace discord::media {

namespace {

// Everything but `received`.
void add_causes(Ledger& to, const Ledger& from) noexcept {
  to.played += from.played;
  to.silence += from.silence;
  to.padding_only += from.padding_only;
  to.late += from.late;
  to.duplicate += from.duplicate;
  to.not_audio += from.not_audio;
  to.no_user += from.no_user;
  to.no_key += from.no_key;
  to.bad_tag += from.bad_tag;
  to.not_a_frame += from.not_a_frame;
  to.replayed += from.replayed;
  to.evicted += from.evicted;
  to.paused += from.paused;
  to.denied += from.denied;
  to.ring_full += from.ring_full;
  to.skipped += from.skipped;
  to.held += from.held;
  to.in_flight += from.in_flight;
  to.lost.fec += from.lost.fec;
  to.lost.concealed += from.lost.concealed;
  to.lost.silent += from.lost.silent;
}

}  // namespace

Ledger& Ledger::operator+=(const Ledger& other) noexcept {
  received += other.received;
  add_causes(*this, other);
  return *this;
}

Ledger& Ledger::then(const Ledger& next) noexcept {
  in_flight += played + silence - next.received;
  played = 0;
  silence = 0;
  add_causes(*this, next);
  return *this;
}

}  // namespace discord::media
