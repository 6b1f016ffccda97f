// Names of recordings: from what a stranger chose as a name to a part of a file name, and to a tag.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace discord {

// A part of a file name from any bytes: at most `max_bytes` of valid UTF-8 with no path separator,
// control, format or bidirectional character, no space, no leading '.' or '-' and no trailing '.'.
// Empty when nothing is left.
std::string safe_name(std::string_view any, std::size_t max_bytes = 80);

// What a stranger chose as a name, as a tag: valid UTF-8, without control characters, which a
// reader that prints tags would hand to its terminal.
std::string tag_text(std::string_view any);

// `<stem>.<ext>`, or `<stem>-<n>.<ext>` from the second try on (`attempt` counts from 1).
std::string numbered_name(std::string_view stem, std::string_view extension, unsigned attempt);

}  // namespace discord
