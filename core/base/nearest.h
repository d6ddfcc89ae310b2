#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace baleen {

/// Number of insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`
/// (each stretch edited once: the optimal string alignment distance), letters compared without
/// case.
int64_t edit_distance(std::string_view a, std::string_view b);

/// The candidate that a mistyped `word` most likely means; empty when none is close (more than a
/// third of the letters, at least two, would have to change). The first of equals.
std::string nearest_name(std::string_view word, std::span<const std::string> candidates);

/// For messages about an unknown name: "did you mean 'x'?" when one is near, else "known: a, b, c".
/// Empty without candidates.
std::string suggestion(std::string_view word, std::span<const std::string> candidates);

}  // namespace baleen
