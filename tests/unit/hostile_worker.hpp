#pragma once

// What the hostile worker does, passed as the uid it is to take.
enum class Misbehaviour {
  none = 1,
  dies_of_poison,   // honest, but its decoder crashes on a packet that ends in POISON
  hangs_on_poison,  // … or never returns
  eats_on_poison,   // … or takes memory until RLIMIT_AS
  oom_on_poison,    // … or takes memory in a control group that has little, see `oom_group`
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
  scribbles,  // over all the memory it may write to
  bad_tail,   // says that it has read what nobody has written
  last,
};

// Control groups that a test makes and a worker enters, of version 1 and 2.
inline constexpr const char* oom_groups[] = {"/sys/fs/cgroup/memory/gst-discord-chaos",
                                             "/sys/fs/cgroup/gst-discord-chaos"};
