// One visitor from several lambdas, for std::visit.
#pragma once

namespace discord {

template <class... Ts> struct Overloaded : Ts... { using Ts::operator()...; };
template <class... Ts> Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace discord
