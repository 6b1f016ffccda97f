#pragma once

// What the hostile worker does, passed as the uid it is to take.
enum class Misbehaviour {
  none = 1,
  dies_of_poison,   // honest, but its decoder crashes on a packet that ends in POISON
  hangs_on_poison,  // … or never returns
  exits,
  answers_nothing,
  garbage,
  oversize,
  wrong_ssrc,
  wrong_id,
  wrong_user,
  far_future,
  babbles,
  finishes_twice,
  bad_ledger,
  impossible_counter,  // claims to have opened a frame that nobody can have sent yet
  lying_row,
  stranger_cannot_be_opened,
  shrinks_memory,
  last,
};
