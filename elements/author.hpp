// What gst-inspect-1.0 shows as the author of every element.
#pragma once

namespace discord {

inline constexpr char element_author[] =
    "gst-discord maintainers <maintainers@gst-discord.invalid>";

}  // namespace discord
