#pragma once

#include <map>
#include <string>

namespace baleen {

/// Numbers that a recipe gives, by name, to a loss or an augmentation that Baleen does not know:
/// `parameters: {gamma: 2.0}`.
using Parameters = std::map<std::string, double>;

/// All parameters of one such thing: the given ones, and the defaults of the others.
/// @param what      whose they are, for messages: "loss 'focal'"
/// @param defaults  every parameter there is
/// @throws Error kConfiguration for a name that is not among the defaults, with the nearest one.
Parameters complete_parameters(const std::string& what, const Parameters& defaults,
                               const Parameters& given);

}  // namespace baleen
