// Numbers and names as people read them on a terminal.
#pragma once

#include <cstdint>
#include <string>

namespace pipelines {

std::string human_bytes(std::uint64_t bytes);
// "1:02:03"
std::string human_time(double seconds);
// A stranger's name without what would move the cursor, cut or filled up to so many columns.
std::string human_name(const std::string& name, std::size_t columns);

}  // namespace pipelines
