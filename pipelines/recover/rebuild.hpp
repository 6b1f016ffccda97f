// Makes files of a journal.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace recover {

struct Wish {
  std::string journal;
  std::string format = "mka";
  std::string layout;  // as discordrecordsink has it; not for mka
  std::string folder;
  unsigned bitrate = 0;           // kbit/s; 0 = what the format does by itself
  std::set<std::uint64_t> users;  // empty: everybody
};

struct Made {
  struct File {
    std::string path;
    std::uint64_t user_id = 0;
    double seconds = 0;
  };
  std::vector<File> files;
  std::vector<std::string> warnings;
  // Sentences, one a speaker: what is not in any file.
  std::vector<std::string> unwritten;
};

// The formats that can be made: those of discordrecordsink, as it is installed, and mka.
std::vector<std::string> formats();

// Writes the files; `progress` gets 0 to 1. The error is a sentence.
discord::Result<Made, std::string> rebuild(const Wish& wish,
                                           const std::function<void(double)>& progress);

}  // namespace recover
